"""The secret file, what it encrypts and what it digests."""

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.errors import StoreError
from serving.store.keyring import Keyring

PLAIN = "窗口让我跑了三趟".encode()
CONTEXT = "leads.content:7f"
OTHER = bytes(31) + b"\x01"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "deep" / "secret.key"


def test_an_absent_file_is_made_for_its_owner_alone(path: Path) -> None:
    made = Keyring.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)] == [0o700, 0o700]
    assert len(base64.b64decode(path.read_bytes())) == 32
    assert os.listdir(path.parent) == [path.name]
    assert Keyring.load(path).key_check == made.key_check


def test_two_secrets_differ(tmp_path: Path) -> None:
    assert Keyring.load(tmp_path / "a").key_check != Keyring.load(tmp_path / "b").key_check


def test_processes_that_start_together_share_one_secret(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(Keyring.load, [path] * 8))
    assert len({one.key_check for one in made}) == 1
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_reach_is_refused(path: Path, mode: int) -> None:
    Keyring.load(path)
    path.chmod(mode)
    with pytest.raises(StoreError, match=f"chmod 600 {path}"):
        Keyring.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"abc", base64.b64encode(bytes(31)), base64.b64encode(bytes(33)), bytes(32), b"\xff" * 44]
)
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StoreError, match="不是密钥"):
        Keyring.load(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("plain", [b"", b"\x00", PLAIN, b"a" * 100_000])
def test_what_is_encrypted_is_read_again_and_never_stands_there_in_clear(keyring: Keyring, plain: bytes) -> None:
    cipher = keyring.encrypt(plain, CONTEXT)
    assert keyring.decrypt(cipher, CONTEXT) == plain
    assert len(cipher) == len(plain) + 29
    assert cipher[0] == 1
    assert cipher != keyring.encrypt(plain, CONTEXT)
    assert len(plain) < 8 or plain not in cipher


def test_every_byte_is_authenticated(keyring: Keyring) -> None:
    cipher = keyring.encrypt(PLAIN, CONTEXT)
    for at in range(len(cipher)):
        altered = cipher[:at] + bytes([cipher[at] ^ 1]) + cipher[at + 1 :]
        with pytest.raises(StoreError):
            keyring.decrypt(altered, CONTEXT)
    for length in range(len(cipher)):
        with pytest.raises(StoreError):
            keyring.decrypt(cipher[:length], CONTEXT)


def test_a_ciphertext_is_read_only_where_it_belongs(keyring: Keyring) -> None:
    cipher = keyring.encrypt(PLAIN, CONTEXT)
    with pytest.raises(StoreError) as refused:
        keyring.decrypt(cipher, "leads.content:80")
    with pytest.raises(StoreError):
        Keyring(OTHER).decrypt(cipher, CONTEXT)
    assert "窗口" not in str(refused.value)


def test_a_digest_depends_on_secret_purpose_and_data() -> None:
    one, other = Keyring(bytes(32)), Keyring(OTHER)
    digests = {
        one.digest("search", b"a"),
        one.digest("search", b"b"),
        one.digest("audit row", b"a"),
        other.digest("search", b"a"),
        one.key_check,
        other.key_check,
    }
    assert len(digests) == 6
    assert all(len(digest) == 64 for digest in digests)
    assert one.digest("search", b"a") == Keyring(bytes(32)).digest("search", b"a")


def test_keys_stay_what_they_are() -> None:
    """A new way to derive them would make every stored text unreadable."""
    fixed = Keyring(bytes(range(32)))
    cipher = bytes.fromhex("01000102030405060708090a0b")
    assert fixed.key_check == "37d5a7f133a0e3be0288b754930b5127b32a779bcc1e64ea23ac9e484ed34cc8"
    assert (
        fixed.decrypt(
            cipher + bytes.fromhex("fda0aaeb58d6d290121c161480f74465ee221c9ad005fe699625d6849045ed009dfd48c0dbc15624"),
            CONTEXT,
        )
        == PLAIN
    )


def test_a_secret_of_another_length_is_refused() -> None:
    with pytest.raises(StoreError):
        Keyring(bytes(16))
