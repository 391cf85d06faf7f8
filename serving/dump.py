"""The whole database into a file and back, while the service goes on writing: SQLite's own copy, PostgreSQL's tools."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, NullPool, create_engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from data.errors import FenzhenError
from serving.store.chain import START
from serving.store.engines import connect, make_file, outages, parsed
from serving.store.revisions import revision_of
from serving.store.schema import chain_head, leads

_SAID = 300  # characters of what a tool said that are repeated


class BackupError(FenzhenError):
    """A backup was not made or not restored; the message says why and what to do."""

    code = "backup_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where a database stood: its revision, the last record of its audit chain, how many leads it had, and the check of
    the secret it belongs to, which is None before anything was written."""

    revision: str
    seq: int
    hash: str
    key_check: str | None
    leads: int


def kind_of(url: str) -> str:
    """``sqlite`` or ``postgresql``; raises StoreError for any other."""
    return parsed(url).get_backend_name()


def dump(url: str, file: Path) -> Point:
    """Write the database as it stands to ``file`` and say where it stood; raises BackupError, DatabaseUnavailable."""
    if kind_of(url) == "sqlite":
        return _dump_sqlite(url, file)
    revision = _revision(url)
    program = _program("pg_dump")
    engine = connect(url, limited=False, poolclass=NullPool, isolation_level="REPEATABLE READ")
    with outages(), engine.connect() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
        point = _point(connection, revision)
        _run([program, "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}",
              f"--file={file}"], parsed(url))  # fmt: skip
    return point


def _dump_sqlite(url: str, file: Path) -> Point:
    source = Path(str(parsed(url).database))
    try:
        revision = _revision(url)
        with closing(_open(source)) as live, closing(sqlite3.connect(file)) as copy:
            live.backup(copy)  # in one go: in parts it would begin anew with every write of the service
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            if copy.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("quick_check")
        with create_engine(f"sqlite:///{file}", poolclass=NullPool).connect() as connection:
            return _point(connection, revision)
    except (sqlite3.Error, DBAPIError) as error:
        raise BackupError(f"{source} 不能完整读出，可能已损坏或磁盘已满：{type(error).__name__}") from error


def _revision(url: str) -> str:
    found = revision_of(url)
    if found is None:
        raise BackupError("没有数据库，或是空的：没有可备份的内容。")
    return found


def _open(source: Path) -> sqlite3.Connection:
    """The database if it exists; a plain connect would make an empty one."""
    return sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)


def _point(connection: Connection, revision: str) -> Point:
    head = connection.execute(select(chain_head)).first()
    return Point(
        revision=revision,
        seq=head.seq if head else 0,
        hash=head.hash if head else START,
        key_check=head.key_check if head else None,
        leads=connection.execute(select(func.count()).select_from(leads)).scalar_one(),
    )


def check_empty(url: str) -> None:
    """Raises BackupError unless ``url`` is an absent SQLite file or a PostgreSQL database without tables."""
    if kind_of(url) == "sqlite":
        path = Path(str(parsed(url).database))
        if path.exists():
            raise BackupError(f"{path} 已经存在。恢复不会覆盖已有的数据：请先停止服务，把它移到别处。")
        return
    engine = connect(url, limited=False, poolclass=NullPool)
    with outages("数据库连不上；恢复前请先建好一个空的数据库。"), engine.connect() as connection:
        if inspect(connection).get_table_names():
            raise BackupError("数据库里已有表。恢复不会覆盖已有的数据：请新建一个空的数据库。")


def load(url: str, file: Path) -> None:
    """Bring what `dump` wrote back into an empty place. Raises BackupError."""
    if kind_of(url) == "sqlite":
        make_file(parsed(url))
        shutil.copyfile(file, str(parsed(url).database))
        return
    program = _program("pg_restore")
    _run([program, "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", str(file)], parsed(url))


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupError(
            f"找不到 {name}：请安装与数据库同版本的 PostgreSQL 客户端（Debian、Ubuntu：postgresql-client）。"
        )
    return found


def _run(command: list[str], url: URL) -> None:
    """Run a tool on the database; the password goes through the environment, where other users do not see it."""
    query = dict(url.query)
    password = url.password or query.pop("password", None)
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    address = URL.create("postgresql", url.username, None, url.host, url.port, url.database, query)
    command = [command[0], f"--dbname={address.render_as_string()}", *command[1:]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise BackupError(f"{Path(command[0]).name} 没有完成：{done.stderr.strip()[:_SAID]}")
