"""How a message proves who sent it: Standard Webhooks 1.0, symmetric (standardwebhooks.com).

The secret is ``whsec_`` and base64 of 24 to 64 bytes; the signature is ``v1,`` and base64 of HMAC-SHA256 over
``<id>.<timestamp>.<body>``.
"""

import base64
import binascii
import hmac
import secrets

from data.errors import InputError

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes
_NEW = 32
WRONG = f"签名密钥 secret 应为 {PREFIX} 加 {SHORTEST} 到 {LONGEST} 个字节的 base64；不给则由系统生成。"


def new_secret() -> str:
    """A secret of 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_NEW)).decode("ascii")


def signing_key(secret: str) -> bytes:
    """The bytes of ``secret``; raises InputError secret_invalid, never repeating it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise InputError("secret_invalid", WRONG)
    return key


def signed_headers(key: bytes, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that go with ``body``; ``timestamp`` is the time of this attempt in whole seconds since 1970."""
    digest = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, "sha256")
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode('ascii')}",
    }
