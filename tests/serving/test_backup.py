"""Backup and restore, on both databases: what comes back is what was there, and nothing is overwritten or guessed."""

import io
import json
import os
import shutil
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, func, insert, select, update
from typer.testing import CliRunner

from serving.backup import MANIFEST, create_backup, restore_backup, verify_restored
from serving.commands import backup as commands
from serving.dump import BackupError
from serving.errors import StoreError
from serving.settings import Settings
from serving.store.audit import verify
from serving.store.database import Database, open_database, upgrade
from serving.store.keyring import Keyring
from serving.store.schema import api_keys, audit, leads

TEXT = "村干部把低保名额给了自己亲戚。"
NOW = datetime(2024, 6, 7, tzinfo=UTC)
on_sqlite = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
needs_tools = pytest.mark.skipif(shutil.which("pg_dump") is None, reason="pg_dump is not installed")


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    database = open_database(settings.database, settings.secret)
    yield database
    database.engine.dispose()


def add(database: Database, count: int = 1) -> None:
    """Further leads, each with its record in the audit chain."""
    for _ in range(count):
        with database.writing("key:test") as writing:
            id = str(uuid4())
            row = {
                "id": id,
                "source": "hotline",
                "external_id": None,
                "channel": "hotline",
                "received_at": NOW,
                "content": database.keyring.encrypt(TEXT.encode(), f"leads.content:{id}"),
                "redacted": None,
                "content_digest": "0" * 64,
            }
            seq = writing.connection.execute(insert(leads).values(row).returning(leads.c.seq)).scalar_one()
            writing.record("submit", leads, id, {"seq": seq, **row})


def contents(settings: Settings) -> dict[str, list[Any]]:
    with opened(settings) as database, database.reading() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(table.c[0]))]
            for table in (leads, audit, api_keys)
        }


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_tools)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Settings]]:
    """Makes empty places for a service: a folder of its own and, on PostgreSQL, a database of its own."""
    with_server = request.param == "postgresql"
    server: Engine | None = request.getfixturevalue("postgresql_server") if with_server else None
    made: list[str] = []

    def make(name: str) -> Settings:
        folder = tmp_path / name
        if server is None:
            return Settings(data_dir=folder)
        database = f"fenzhen_test_{uuid4().hex}"
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {database}")
        made.append(database)
        url = server.url.set(database=database, password="unused").render_as_string(hide_password=False)
        return Settings(data_dir=folder, database_url=url)

    yield make
    for database in made:
        assert server is not None
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.fixture
def full(place: Callable[[str], Settings]) -> Settings:
    """A service that has taken three leads."""
    settings = place("full")
    upgrade(settings.database)
    with opened(settings) as database:
        add(database, 3)
    return settings


def keep_secret(old: Settings, new: Settings) -> None:
    """What an operator does who kept the secret file elsewhere."""
    new.secret.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(old.secret, new.secret)


def test_what_comes_back_is_what_was_there(full: Settings, place: Callable[[str], Settings], tmp_path: Path) -> None:
    before = contents(full)
    made = create_backup(full, tmp_path / "a.backup")
    new = place("new")
    keep_secret(full, new)
    restored = restore_backup(new, tmp_path / "a.backup")
    assert restored == made
    assert (restored.point.leads, restored.point.seq, restored.with_secret) == (3, 3, False)
    assert verify_restored(new, restored).records == 3
    assert contents(new) == before
    with opened(new) as database:
        with database.reading() as connection:
            row = connection.execute(select(leads).limit(1)).mappings().one()
        assert database.keyring.decrypt(row["content"], f"leads.content:{row['id']}").decode() == TEXT
        add(database, 2)  # numbers go on where they were
        with database.reading() as connection:
            assert connection.execute(select(func.max(leads.c.seq))).scalar() == 5
        assert verify(database, noted=made.point.hash).findings == ()


def test_with_the_secret_a_new_place_needs_nothing_else(
    full: Settings, place: Callable[[str], Settings], tmp_path: Path
) -> None:
    file = tmp_path / "b.backup"
    create_backup(full, file, with_secret=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    new = place("new")
    verify_restored(new, restore_backup(new, file))
    assert new.secret.read_bytes() == full.secret.read_bytes()
    assert stat.S_IMODE(new.secret.stat().st_mode) == 0o600


@on_sqlite
def test_without_the_secret_it_holds_neither_text_nor_secret(full: Settings, tmp_path: Path) -> None:
    create_backup(full, tmp_path / "c.backup")
    with tarfile.open(tmp_path / "c.backup") as archive:
        assert archive.getnames() == ["backup.json", "database"]
        content = b"".join(file.read() for name in archive.getnames() if (file := archive.extractfile(name)))
    assert TEXT.encode() not in content
    assert full.secret.read_bytes().strip() not in content


def test_a_backup_is_one_moment_of_a_service_that_goes_on_writing(
    full: Settings, place: Callable[[str], Settings], tmp_path: Path
) -> None:
    stop = threading.Event()
    with opened(full) as database:

        def write() -> None:
            while not stop.is_set():
                add(database)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            made = [create_backup(full, tmp_path / f"{number}.backup") for number in range(3)]
        finally:
            stop.set()
            writer.join()
    assert made[0].point.seq < made[2].point.seq
    new = place("new")
    keep_secret(full, new)
    report = verify_restored(new, restore_backup(new, tmp_path / "2.backup"))
    assert report.records == made[2].point.seq == made[2].point.leads


# --- refusals of create


@on_sqlite
def test_a_file_is_never_overwritten(full: Settings, tmp_path: Path) -> None:
    file = tmp_path / "a.backup"
    create_backup(full, file)
    before = file.read_bytes()
    with pytest.raises(BackupError, match="已经存在"):
        create_backup(full, file)
    assert file.read_bytes() == before
    assert not list(tmp_path.glob(".fenzhen-backup-*"))


def test_where_nothing_is_nothing_is_backed_up(place: Callable[[str], Settings], tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="没有可备份的内容"):
        create_backup(place("empty"), tmp_path / "out" / "a.backup")
    assert not list(tmp_path.rglob("*.backup"))


def test_a_service_that_has_taken_nothing_can_be_backed_up(place: Callable[[str], Settings], tmp_path: Path) -> None:
    settings, new = place("fresh"), place("new")
    upgrade(settings.database)
    with opened(settings):
        pass
    create_backup(settings, tmp_path / "a.backup", with_secret=True)
    assert verify_restored(new, restore_backup(new, tmp_path / "a.backup")).records == 0


@on_sqlite
@pytest.mark.parametrize("wrong", ["absent", "other"])
def test_a_backup_without_its_secret_is_not_made(full: Settings, tmp_path: Path, wrong: str) -> None:
    full.secret.unlink()
    if wrong == "other":
        Keyring.load(full.secret)
    with pytest.raises(BackupError, match="密钥文件"):
        create_backup(full, tmp_path / "a.backup")
    assert not (tmp_path / "a.backup").exists()
    assert full.secret.exists() == (wrong == "other")


def test_without_pg_dump_it_says_what_to_install(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url=postgresql_url)
    upgrade(settings.database)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match="找不到 pg_dump"):
        create_backup(settings, tmp_path / "a.backup")


@pytest.mark.parametrize("given", ["postgres:unused@127.0.0.1/{}", "postgres@127.0.0.1/{}?password=unused"])
def test_what_the_tool_says_is_repeated_and_the_password_is_not_among_its_arguments(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    url = "postgresql+psycopg://" + given.format(postgresql_url.rpartition("/")[2])
    full = Settings(data_dir=tmp_path / "data", database_url=url)
    upgrade(url)
    tool = tmp_path / "bin" / "pg_dump"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "server version mismatch; $PGPASSWORD given; $*" >&2\nexit 1\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    with pytest.raises(BackupError, match="server version mismatch; unused given") as caught:
        create_backup(full, tmp_path / "a.backup")
    assert str(caught.value).count("unused") == 1


@on_sqlite
@pytest.mark.parametrize("page", [1, 20])
def test_a_damaged_database_is_not_backed_up(full: Settings, tmp_path: Path, page: int) -> None:
    file = full.data_dir / "fenzhen.sqlite3"
    content = file.read_bytes()
    file.write_bytes(content[: page * 4096] + b"\xff" * (len(content) - page * 4096))
    with pytest.raises((BackupError, StoreError), match=r"不能完整读出|malformed"):
        create_backup(full, tmp_path / "a.backup")
    assert not (tmp_path / "a.backup").exists()


# --- refusals of restore


@pytest.fixture
def file(full: Settings, tmp_path: Path) -> Path:
    """A backup with the secret."""
    create_backup(full, tmp_path / "whole.backup", with_secret=True)
    return tmp_path / "whole.backup"


def test_what_is_there_is_never_overwritten(full: Settings, file: Path) -> None:
    before = contents(full)
    with pytest.raises(BackupError, match="不会覆盖"):
        restore_backup(full, file)
    assert contents(full) == before


@on_sqlite
def test_without_its_secret_nothing_is_restored(
    full: Settings, place: Callable[[str], Settings], tmp_path: Path
) -> None:
    create_backup(full, tmp_path / "bare.backup")
    new = place("new")
    with pytest.raises(BackupError, match="备份不含密钥文件"):
        restore_backup(new, tmp_path / "bare.backup")
    assert not new.secret.exists()
    Keyring.load(new.secret)
    with pytest.raises(BackupError, match="不是这个数据库的那个"):
        restore_backup(new, tmp_path / "bare.backup")
    keep_secret(full, new)
    restore_backup(new, tmp_path / "bare.backup")  # nothing had been put into the place before


@on_sqlite
def test_another_secret_is_not_replaced(file: Path, place: Callable[[str], Settings]) -> None:
    new = place("new")
    Keyring.load(new.secret)
    before = new.secret.read_bytes()
    with pytest.raises(BackupError, match="不是这个数据库的那个"):
        restore_backup(new, file)
    assert new.secret.read_bytes() == before


@on_sqlite
def test_a_backup_of_the_other_database_is_refused(full: Settings, file: Path, tmp_path: Path) -> None:
    other = "" if full.database_url else "postgresql+psycopg://postgres@127.0.0.1/nothing"
    with pytest.raises(BackupError, match="不能互换"):
        restore_backup(Settings(data_dir=tmp_path / "other", database_url=other), file)


def repack(file: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The same backup with changed members; None leaves one out."""
    target = file.with_name("changed.backup")
    with tarfile.open(file) as old, tarfile.open(target, "w:gz") as new:
        for member in old.getmembers():
            source = old.extractfile(member)
            assert source is not None
            content = change(member.name, source.read())
            if content is not None:
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))
    return target


def flipped(name: str, content: bytes) -> bytes:
    if name != "database":
        return content
    half = len(content) // 2
    return content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]


def about(**fields: Any) -> Callable[[str, bytes], bytes]:
    return lambda name, content: json.dumps({**json.loads(content), **fields}).encode() if name == MANIFEST else content


DAMAGES: dict[str, tuple[Callable[[str, bytes], bytes | None], str]] = {
    "a flipped bit": (flipped, "校验值不符"),
    "no database": (lambda name, content: None if name == "database" else content, "已损坏"),
    "no manifest": (lambda name, content: None if name == MANIFEST else content, "已损坏"),
    "a later format": (about(format=99), "格式是 99"),
    "an incomplete manifest": (about(point={}), "不完整"),
    "a manifest that is none": (lambda name, content: b"{" if name == MANIFEST else content, "已损坏"),
}


@on_sqlite
@pytest.mark.parametrize(("change", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused_and_nothing_is_left_in_the_place(
    file: Path, place: Callable[[str], Settings], change: Callable[[str, bytes], bytes | None], said: str
) -> None:
    new = place("new")
    with pytest.raises(BackupError, match=said):
        restore_backup(new, repack(file, change))
    assert not (new.data_dir / "fenzhen.sqlite3").exists()
    restore_backup(new, file)


@on_sqlite
@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00" + b"\x00" * 50])
def test_what_is_no_backup_is_said(place: Callable[[str], Settings], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BackupError, match="不是备份文件"):
        restore_backup(place("new"), tmp_path / "x")


@on_sqlite
def test_a_truncated_file_is_refused(file: Path, place: Callable[[str], Settings]) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(BackupError, match="已损坏"):
        restore_backup(place("new"), file)


def test_a_database_that_was_tampered_with_before_the_backup_is_found(
    full: Settings, place: Callable[[str], Settings], tmp_path: Path
) -> None:
    with opened(full) as database, database.engine.begin() as connection:
        connection.execute(update(leads).where(leads.c.seq == 2).values(channel="letter"))
    create_backup(full, tmp_path / "a.backup", with_secret=True)
    new = place("new")
    restored = restore_backup(new, tmp_path / "a.backup")
    with pytest.raises(BackupError, match="与审计链不符，共 1 处"):
        verify_restored(new, restored)


# --- commands


def test_the_commands_do_it_and_warn(
    full: Settings, place: Callable[[str], Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, file, new = CliRunner(), tmp_path / "a.backup", place("new")

    def run(settings: Settings, *arguments: str) -> Any:
        monkeypatch.setenv("FENZHEN_DATA_DIR", str(settings.data_dir))
        monkeypatch.setenv("FENZHEN_DATABASE_URL", settings.database_url)
        return runner.invoke(commands.app, list(arguments))

    made = run(full, "create", str(file))
    assert made.exit_code == 0, made.exception
    assert "投诉 3 条" in made.stdout
    assert "备份不含密钥文件" in made.stderr
    file.unlink()
    assert "请加密保管" in run(full, "create", str(file), "--with-secret").stderr
    restored = run(new, "restore", str(file))
    assert restored.exit_code == 0, restored.exception
    assert "与审计链相符" in restored.stdout
    assert contents(new) == contents(full)
