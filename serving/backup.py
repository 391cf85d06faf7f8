"""Backups: one file with the whole database as it stood at one moment, and proof on restoring that nothing is missing.

The file is a gzipped tar of ``backup.json``, the database and, if asked for, the secret. Text in it is encrypted as in
the database: without the secret nobody reads it.
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from serving.dump import BackupError, Point, check_empty, dump, kind_of, load
from serving.settings import Settings
from serving.store.audit import Report, verify
from serving.store.database import open_database
from serving.store.keyring import Keyring, put_secret
from serving.version import program_version

FORMAT = 1
MANIFEST, DATABASE, SECRET = "backup.json", "database", "secret.key"
LONGEST_MANIFEST, LONGEST_SECRET = 64 * 1024, 1024
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a backup file holds: of which kind of database, where that stood and when, whether the secret is in it."""

    kind: str
    created: str
    point: Point
    digest: str  # SHA-256 of the database's copy
    with_secret: bool


def create_backup(settings: Settings, file: Path, *, with_secret: bool = False) -> Backup:
    """Write a backup of the running or stopped service to the new file ``file``, which only its owner reads.

    Raises BackupError, StoreError for a secret that is not that of the database, DatabaseUnavailable.
    """
    if file.exists():
        raise BackupError(f"{file} 已经存在，不会覆盖。")
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".fenzhen-backup-", dir=file.parent) as folder:
        copy = Path(folder) / DATABASE
        point = dump(settings.database, copy)
        _check_secret(settings.secret, point)
        backup = Backup(
            kind=kind_of(settings.database),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            point=point,
            digest=_digest(copy),
            with_secret=with_secret,
        )
        members = {SECRET: settings.secret, DATABASE: copy} if with_secret else {DATABASE: copy}
        _pack(Path(folder) / "backup", backup, members)
        os.link(Path(folder) / "backup", file)
    return backup


def restore_backup(settings: Settings, file: Path) -> Backup:
    """Bring a backup into the empty place that ``settings`` describe, which the service then finds complete.

    Raises BackupError if the place is not empty, the file is damaged or the secret is missing; StoreError.
    """
    with _opened(file) as archive, _room(settings) as folder:
        backup = _read_manifest(archive)
        if backup.kind != kind_of(settings.database):
            raise BackupError(f"这是 {backup.kind} 的备份，设置的数据库是 {kind_of(settings.database)}，不能互换。")
        check_empty(settings.database)
        _restore_secret(settings.secret, archive, backup)
        copy = folder / DATABASE
        if _unpack(archive, copy) != backup.digest:
            raise BackupError(f"{file} 已损坏：数据库的校验值不符。")
        load(settings.database, copy)
    return backup


def verify_restored(settings: Settings, backup: Backup) -> Report:
    """The audit report of a restored database, whose chain must end exactly where the backup's did.

    Raises BackupError if it does not agree with itself or with the backup, StoreError for a PostgreSQL of an older
    revision than the program's.
    """
    database = open_database(settings.database, settings.secret)
    try:
        report = verify(database, noted=backup.point.hash)
    finally:
        database.engine.dispose()
    if report.findings or report.head != backup.point.hash:
        found = "；".join(map(str, report.findings[:5])) or "审计链的末尾与备份时不同"
        raise BackupError(f"恢复的内容与审计链不符，共 {len(report.findings)} 处：{found}")
    return report


@contextmanager
def _room(settings: Settings) -> Iterator[Path]:
    """A folder that goes away again, on the disk that has to hold the data anyway."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".fenzhen-restore-", dir=settings.data_dir) as folder:
        yield Path(folder)


def _check_secret(secret: Path, point: Point) -> None:
    if not secret.exists():
        raise BackupError(f"没有密钥文件 {secret}：缺了它，备份里的投诉原文无法解开。")
    if point.key_check not in {None, Keyring.load(secret).key_check}:
        raise BackupError(f"密钥文件 {secret} 不是这个数据库的那个。")


def _restore_secret(secret: Path, archive: tarfile.TarFile, backup: Backup) -> None:
    """See to it that the secret of the backup is in place; one that is there is never replaced."""
    if not secret.exists():
        if not backup.with_secret:
            raise BackupError(f"备份不含密钥文件：请先把原来的密钥文件放到 {secret}（权限 600），再恢复。")
        put_secret(secret, _member(archive, SECRET, LONGEST_SECRET))
    _check_secret(secret, backup.point)


def _pack(target: Path, backup: Backup, members: Mapping[str, Path]) -> None:
    about = {"format": FORMAT, "program": program_version(), **asdict(backup)}
    manifest = target.with_name(MANIFEST)
    manifest.write_text(json.dumps(about, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
            for name, member in {MANIFEST: manifest, **members}.items():
                archive.add(member, arcname=name, recursive=False)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    """The archive; whatever is wrong with its bytes is one error."""
    try:
        with tarfile.open(file, mode="r:gz") as archive:
            yield archive
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BackupError(f"{file} 不是备份文件，或已损坏。") from error


def _read_manifest(archive: tarfile.TarFile) -> Backup:
    about: dict[str, Any] = json.loads(_member(archive, MANIFEST, LONGEST_MANIFEST))
    if about.get("format") != FORMAT:
        raise BackupError(f"备份的格式是 {about.get('format')}，本程序只认 {FORMAT}，请用做备份时的或更新的程序。")
    try:
        point = Point(**about["point"])
        fields = {name: about[name] for name in ("kind", "created", "digest", "with_secret")}
    except (KeyError, TypeError) as error:
        raise BackupError("备份的说明不完整，文件已损坏。") from error
    return Backup(point=point, **fields)


def _member(archive: tarfile.TarFile, name: str, most: int) -> bytes:
    """A small file of the archive."""
    return _source(archive, name).read(most)


def _unpack(archive: tarfile.TarFile, copy: Path) -> str:
    """Write the database's copy to ``copy``; returns its digest."""
    source, digest = _source(archive, DATABASE), hashlib.sha256()
    with copy.open("wb") as file:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _source(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    source = archive.extractfile(name) if name in archive.getnames() else None
    if source is None:
        raise BackupError(f"备份中没有 {name}，文件已损坏。")
    return source


def _digest(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
