"""Connections to SQLite and PostgreSQL: how they are set up, and which of their errors mean that the database is gone.

SQLite: WAL, every commit on disk, foreign keys held, writers take the lock when they begin. PostgreSQL: dead
connections are noticed before use, nothing waits without end.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from serving.errors import DatabaseUnavailable, StoreError

WAIT = 10  # seconds that a statement waits for a lock, a thread for a connection
CONNECT = 3  # seconds to connect to PostgreSQL
STATEMENT = 30  # seconds a statement may take on PostgreSQL
IDLE = 60  # seconds a transaction may do nothing on PostgreSQL before it is ended
CONNECTIONS, MORE = 10, 10  # kept open; opened beside them while many are needed
WRITING = "fenzhen_writing"  # execution option: the transaction is going to write

_PRAGMAS = (
    f"PRAGMA busy_timeout = {WAIT * 1000}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA journal_size_limit = 67108864",
)
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3, "tcp_user_timeout": 10_000}
_GONE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_READ_ONLY = "25006"  # what PostgreSQL says while it stands by for another


def parsed(url: str) -> URL:
    """The address of a database this program can use; raises StoreError, never repeating a password."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError("数据库地址无法识别，应形如 postgresql+psycopg://用户@主机:5432/库名。") from None
    if found.get_backend_name() == "postgresql":
        return found.set(drivername="postgresql+psycopg")
    if found.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise StoreError("数据库只支持 SQLite 和 PostgreSQL。")
    if found.database in {None, "", ":memory:"} or str(found.database).startswith("file:"):
        raise StoreError("SQLite 数据库应是一个文件，形如 sqlite:////目录/fenzhen.sqlite3。")
    return found


def connect(url: str, *, foreign_keys: bool = True, limited: bool = True, **settings: Any) -> Engine:
    """An engine for ``url``, not yet connected; ``limited`` says that statements may not take long. Raises StoreError.

    Transactions write to SQLite only with the execution option ``WRITING``.
    """
    address = parsed(url)
    if address.get_backend_name() == "sqlite":
        engine = create_engine(address, hide_parameters=True, **settings)
        pragmas = (*_PRAGMAS, f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        event.listen(engine, "connect", lambda connection, _: _set_up(connection, pragmas))
        event.listen(engine, "begin", _begin)
        return engine
    try:
        arguments = _arguments(address, limited)
        return create_engine(address, hide_parameters=True, pool_pre_ping=True, connect_args=arguments, **settings)
    except (NoSuchModuleError, ModuleNotFoundError):
        raise StoreError("使用 PostgreSQL 需要安装：pip install 'fenzhen[postgres]'") from None


def _arguments(address: URL, limited: bool) -> Mapping[str, Any]:
    limits = {
        "lock_timeout": WAIT if limited else 0,
        "statement_timeout": STATEMENT if limited else 0,
        "idle_in_transaction_session_timeout": IDLE,
    }
    given = address.query.get("options", "")
    options = " ".join([f"-c {name}={seconds * 1000}" for name, seconds in limits.items()] + [str(given)])
    return {"connect_timeout": CONNECT, "application_name": "fenzhen", **_KEEPALIVE, "options": options.strip()}


def _set_up(connection: sqlite3.Connection, pragmas: tuple[str, ...]) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says
    for pragma in pragmas:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get(WRITING)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def make_file(address: URL) -> None:
    """An empty SQLite database that only its owner reads, unless there is one."""
    path = Path(str(address.database))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


@contextmanager
def outages(zh: str = "") -> Iterator[None]:
    """Turns the errors that mean "not now" into DatabaseUnavailable; wrong statements and broken constraints remain."""
    try:
        yield
    except NoConnectionFree as error:
        raise DatabaseUnavailable(zh) from error
    except DBAPIError as error:
        if is_outage(error):
            raise DatabaseUnavailable(zh) from error
        raise


def is_outage(error: DBAPIError) -> bool:
    """Whether the database could not be reached, was locked for too long, is full or read-only."""
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _GONE
    known = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return known or getattr(error.orig, "sqlstate", None) == _READ_ONLY
