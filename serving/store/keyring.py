"""The secret of a deployment and what is made from it: encryption of text, keyed digests.

One file holds 32 random bytes in base64. HKDF-SHA256 derives a key for every purpose, so that what one purpose gives
away helps nowhere else. Whoever loses the file loses the text of every complaint.
"""

import base64
import binascii
import hmac
import os
import stat
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from serving.errors import StoreError

SECRET_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
VERSION = b"\x01"  # AES-256-GCM; first byte of every ciphertext
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Keyring:
    """Encrypts, decrypts and digests with keys derived from one secret of 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise StoreError(f"密钥应为 {SECRET_BYTES} 个字节。")
        self._derive = lru_cache(maxsize=64)(lambda purpose: _derived(secret, purpose))
        self._cipher = AESGCM(self._derive("encryption"))
        self.key_check = self.digest("key check", b"")

    @classmethod
    def load(cls, path: Path) -> "Keyring":
        """The keyring of the secret in ``path``; an absent file is made (0600, new folders 0700).

        Raises StoreError if others may read the file or if it does not hold a secret, OSError if it cannot be read.
        """
        if not path.exists():
            put_secret(path, base64.b64encode(os.urandom(SECRET_BYTES)) + b"\n")
        if os.name == "posix" and path.stat().st_mode & _OTHERS:
            raise StoreError(f"密钥文件 {path} 别人也能读，请先执行：chmod 600 {path}")
        try:
            secret = base64.b64decode(path.read_bytes().strip(), validate=True)
        except binascii.Error:
            secret = b""
        if len(secret) != SECRET_BYTES:
            raise StoreError(f"密钥文件 {path} 的内容不是密钥：应为 {SECRET_BYTES} 个字节的 base64。")
        return cls(secret)

    def encrypt(self, plain: bytes, context: str) -> bytes:
        """``plain`` so that only this keyring reads it, and only where it stands: ``context`` such as
        ``leads.content:<lead id>`` is authenticated. 29 bytes longer than ``plain``."""
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, plain, context.encode())

    def decrypt(self, cipher: bytes, context: str) -> bytes:
        """What was encrypted for ``context``; raises StoreError if it was changed, moved or encrypted by another."""
        start = len(VERSION) + NONCE_BYTES
        if cipher[: len(VERSION)] != VERSION or len(cipher) < start + TAG_BYTES:
            raise StoreError("存储的密文格式不对，可能被改动过。")
        try:
            return self._cipher.decrypt(cipher[len(VERSION) : start], cipher[start:], context.encode())
        except InvalidTag:
            raise StoreError("存储的密文无法解开：内容被改动过，或密钥文件不是原来的。") from None

    def digest(self, purpose: str, data: bytes) -> str:
        """HMAC-SHA256 of ``data`` under the key of ``purpose``, 64 hexadecimal digits."""
        return hmac.digest(self._derive(purpose), data, "sha256").hex()


def _derived(secret: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"fenzhen:{purpose}".encode()).derive(secret)


def put_secret(path: Path, content: bytes) -> None:
    """Puts a secret file in place, whole or not at all and safe from a power cut, unless another process was faster."""
    for folder in reversed([path.parent, *path.parent.parents]):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}.new")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
