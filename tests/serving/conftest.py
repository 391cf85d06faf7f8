"""Databases for every test that needs one: real SQLite and real PostgreSQL, empty or as ``fenzhen db upgrade`` leaves them.

What asks for ``database_url``, ``empty_database_url`` or ``database`` runs on both; where no PostgreSQL answers, that
half is skipped.
"""

import io
import json
import logging
import shutil
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from serving.logs import configure_logs
from serving.store.database import Database, upgrade
from serving.store.keyring import Keyring
from serving.store.schema import metadata

SERVER = make_url("postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
BACKENDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgresql_server() -> Engine:
    """The PostgreSQL server at hand; skips where there is none."""
    engine = create_engine(
        SERVER, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3}, poolclass=NullPool
    )
    try:
        engine.connect().close()
    except OperationalError:
        pytest.skip(f"no PostgreSQL server answers at {SERVER.host}:{SERVER.port}")
    return engine


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file of the present revision, to be copied."""
    path = tmp_path_factory.mktemp("sqlite_template") / "template.sqlite3"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_shared(postgresql_server: Engine) -> Iterator[str]:
    """A PostgreSQL database of the present revision: making one for each test would take a second each."""
    with own_database(postgresql_server) as url:
        upgrade(url)
        yield url


@contextmanager
def own_database(server: Engine) -> Iterator[str]:
    """The URL of a database that is dropped afterwards."""
    name = f"fenzhen_test_{uuid4().hex}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield SERVER.set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def postgresql_url(postgresql_server: Engine) -> Iterator[str]:
    """An empty PostgreSQL database."""
    with own_database(postgresql_server) as url:
        yield url


@pytest.fixture(params=BACKENDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables; of SQLite not even the file."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'fenzhen.sqlite3'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An upgraded database without rows. What changes its tables takes ``empty_database_url`` and upgrades it."""
    if request.param == "sqlite":
        path = tmp_path / "fenzhen.sqlite3"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("upgraded_postgresql_url")
    return url


@pytest.fixture
def upgraded_postgresql_url(postgresql_shared: str) -> Iterator[str]:
    """An upgraded PostgreSQL database without rows."""
    yield postgresql_shared
    _empty(postgresql_shared)


def _empty(url: str) -> None:
    """Ends what a test left open and removes every row; ten times as fast as TRUNCATE."""
    statements = [
        "SET LOCAL synchronous_commit = off",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()",
        *(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)),
        "SELECT setval(seqrelid, 1, false) FROM pg_sequence",
    ]
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("; ".join(statements))


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """The file of the secret that ``database`` is encrypted with."""
    return tmp_path / "secret.key"


@pytest.fixture
def keyring(secret_file: Path) -> Keyring:
    """A keyring of its own."""
    return Keyring.load(secret_file)


@pytest.fixture
def database(database_url: str, keyring: Keyring) -> Iterator[Database]:
    """An upgraded database without rows, open."""
    database = Database(database_url, keyring)
    yield database
    database.engine.dispose()


class Kept:
    """What is logged."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def kept() -> Iterator[Kept]:
    """Logging of the whole process as the service has it, put back afterwards."""
    root, ours, access = (logging.getLogger(name) for name in (None, "fenzhen", "uvicorn.access"))
    before = (root.handlers[:], root.level, ours.level, access.handlers[:], access.propagate)
    hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning)
    kept = Kept()
    configure_logs("info", kept.stream)
    yield kept
    root.handlers[:], access.handlers[:], access.propagate = before[0], before[3], before[4]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = hooks
