"""The key of this machine: where the database is the file beside it, whoever may read the file may also ask."""

import os
from pathlib import Path

from serving.roles import Role
from serving.store.access import AccessStore
from serving.store.keys import MOST_PER_MINUTE, ApiKey, KeyOrder, KeyStatus, KeyStore

NAME = "local"
FILE = "local.key"


def local_key(access: AccessStore, data_dir: Path) -> Path | None:
    """The file (0600) with the secret of a case-system key ``local`` that works; None once that key was revoked.

    The file is reused as long as its key works; a new key is made in place of one that expired or whose file is gone.
    """
    path, keys = data_dir / FILE, access.keys
    own = [key for key in keys.list() if key.name == NAME and key.role is Role.CASE_SYSTEM]
    if own and keys.status(own[0]) is KeyStatus.REVOKED:
        return None
    if path.is_file() and own and _key_in(path, keys) == own[0] and keys.status(own[0]) is KeyStatus.ACTIVE:
        return path
    if own and keys.status(own[0]) is KeyStatus.ACTIVE:
        keys.revoke(NAME, own[0].id)  # its secret is lost, or in a file that nobody reads any more
    order = KeyOrder(name=NAME, role=Role.CASE_SYSTEM, source=NAME, per_minute=MOST_PER_MINUTE)
    _write(path, keys.create(NAME, order).secret)
    return path


def _key_in(path: Path, keys: KeyStore) -> ApiKey | None:
    return keys.look_up(path.read_text("ascii", "replace").strip()).key


def _write(path: Path, secret: str) -> None:
    """Readable by its owner from the first moment, and there as a whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(secret + "\n")
    fresh.replace(path)
