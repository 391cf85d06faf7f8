"""The key of this machine: there at every start, gone for good once revoked."""

import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

from serving.access import Role
from serving.local_key import FILE, local_key
from serving.store.access import AccessStore
from serving.store.keys import KeyStatus


def secret(path: Path | None) -> str:
    assert path is not None
    return path.read_text().strip()


def test_the_key_works_and_only_its_owner_may_read_it(access: AccessStore, tmp_path: Path) -> None:
    path = local_key(access, tmp_path)
    assert path == tmp_path / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = access.keys.look_up(secret(path)).key
    assert key is not None
    assert (key.name, key.role, key.source) == ("local", Role.CASE_SYSTEM, "local")
    assert [entry.name for entry in tmp_path.iterdir() if FILE in entry.name] == [FILE]


def test_it_is_the_same_at_every_start(access: AccessStore, tmp_path: Path) -> None:
    first = secret(local_key(access, tmp_path))
    assert secret(local_key(access, tmp_path)) == first
    assert len(access.keys.list()) == 1


def test_an_expired_one_is_replaced(access: AccessStore, tmp_path: Path, clock: Any) -> None:
    first = secret(local_key(access, tmp_path))
    clock.now += timedelta(days=365)
    second = secret(local_key(access, tmp_path))
    assert second != first
    assert [access.keys.status(key) for key in access.keys.list()] == [KeyStatus.ACTIVE, KeyStatus.EXPIRED]


def test_a_revoked_one_stays_revoked(access: AccessStore, tmp_path: Path, clock: Any) -> None:
    path = local_key(access, tmp_path)
    access.keys.revoke("test", access.keys.list()[0].id)
    assert local_key(access, tmp_path) is None
    assert path is not None
    path.unlink()
    clock.now += timedelta(days=1000)
    assert local_key(access, tmp_path) is None
    assert len(access.keys.list()) == 1


def test_one_whose_file_is_lost_or_foreign_is_replaced_and_revoked(
    access: AccessStore, tmp_path: Path, clock: Any
) -> None:
    path = local_key(access, tmp_path)
    assert path is not None
    path.unlink()
    clock.now += timedelta(minutes=1)
    second = secret(local_key(access, tmp_path))
    path.write_bytes(b"fz_\xff of another database\n")
    clock.now += timedelta(minutes=1)
    third = secret(local_key(access, tmp_path))
    statuses = [access.keys.status(key) for key in access.keys.list()]
    assert statuses == [KeyStatus.ACTIVE, KeyStatus.REVOKED, KeyStatus.REVOKED]
    assert secret(local_key(access, tmp_path)) == third != second
