"""Transactions on real databases: what is kept, in which order, and what happens while the database is gone."""

import itertools
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, NullPool, create_engine, delete, event, func, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from serving.errors import DatabaseUnavailable, StoreError
from serving.store.audit import verify
from serving.store.database import UNSURE, Database, open_database, upgrade
from serving.store.keyring import Keyring
from serving.store.schema import api_keys, audit, chain_head, leads

WORDS = "李某某绝密诉求内容"
NUMBERS = itertools.count()


def key(**changed: Any) -> dict[str, Any]:
    """A row of ``api_keys``, each different."""
    number = next(NUMBERS)
    row = {
        "id": f"id-{number}", "name": "hotline", "digest": f"{number:064}", "role": "admin", "source": None,
        "department": None, "per_minute": 1, "created_at": datetime.now(UTC), "expires_at": datetime.now(UTC),
        "revoked_at": None,
    }  # fmt: skip
    return {**row, **changed}


def add(database: Database, **changed: Any) -> dict[str, Any]:
    row = key(**changed)
    with database.writing("test") as writing:
        writing.connection.execute(insert(api_keys).values(row))
        writing.record("key.create", api_keys, row["id"], row, {"role": row["role"]})
    return row


def count(database: Database, table: Any = api_keys) -> int:
    with database.reading() as connection:
        found: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
        return found


def head(database: Database) -> tuple[int, str]:
    with database.reading() as connection:
        row = connection.execute(select(chain_head)).one()
        return row.seq, row.hash


def impatient(database: Database) -> None:
    """Connections made from now on wait for a lock only a moment."""
    wait = "PRAGMA busy_timeout = 50" if database.engine.name == "sqlite" else "SET lock_timeout = 50"

    def shorten(connection: Any, _: Any) -> None:
        connection.execute(wait)
        connection.commit()

    database.engine.dispose()
    event.listen(database.engine, "connect", shorten)


@pytest.fixture
def on_postgresql(upgraded_postgresql_url: str, keyring: Keyring) -> Iterator[Database]:
    database = Database(upgraded_postgresql_url, keyring)
    yield database
    database.engine.dispose()


def end_connections(database: Database) -> None:
    """Every connection to the database breaks, as if its server had been started again."""
    with outside(database) as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": database.engine.url.database},
        )


def outside(database: Database) -> Connection:
    """A connection to the same server, not to the database."""
    url = database.engine.url.set(database="postgres")
    return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect()


# --- keeping and rolling back


def test_what_is_written_is_kept_with_its_record(database: Database) -> None:
    row = add(database)
    with database.reading() as connection:
        stored = connection.execute(select(api_keys)).mappings().one()
        record = connection.execute(select(audit)).one()
    assert dict(stored) == row
    assert (record.seq, record.actor, record.action) == (1, "test", "key.create")
    assert (record.subject, record.detail) == (f"api_keys/{row['id']}", {"role": "admin"})
    assert head(database) == (1, record.hash)
    assert abs((datetime.now(UTC) - record.at).total_seconds()) < 60


def test_an_error_leaves_nothing_behind(database: Database) -> None:
    add(database)
    before = head(database)
    with pytest.raises(ZeroDivisionError), database.writing("test") as writing:
        row = key()
        writing.connection.execute(insert(api_keys).values(row))
        writing.record("key.create", api_keys, row["id"], row)
        raise ZeroDivisionError
    assert (count(database), count(database, audit), head(database)) == (1, 1, before)
    add(database)
    assert head(database)[0] == 2


def test_a_transaction_without_records_keeps_its_rows_and_leaves_the_chain(database: Database) -> None:
    add(database)
    before = head(database)
    with database.writing("test") as writing:
        writing.connection.execute(insert(api_keys).values(key()))
    assert (count(database), head(database)) == (2, before)


def test_a_reading_changes_nothing(database: Database) -> None:
    add(database)
    try:
        with database.reading() as connection:
            connection.execute(delete(api_keys))
    except DatabaseUnavailable:
        assert database.engine.name == "postgresql"
    assert count(database) == 1


def test_a_reading_sees_one_state(database: Database) -> None:
    add(database)
    with database.reading() as connection:
        seen = [connection.execute(select(func.count()).select_from(api_keys)).scalar()]
        add(database)
        seen.append(connection.execute(select(func.count()).select_from(api_keys)).scalar())
    assert seen == [1, 1]
    assert count(database) == 2


def test_writers_of_two_servers_take_turns(database: Database, database_url: str, keyring: Keyring) -> None:
    other = Database(database_url, keyring)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, [database, other] * 20))
    with database.reading() as connection:
        order = connection.execute(select(audit.c.seq, audit.c.subject).order_by(audit.c.seq)).all()
    other.engine.dispose()
    assert [row.seq for row in order] == list(range(1, 41))
    assert len({row.subject for row in order}) == count(database) == 40
    assert verify(database).findings == ()


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    add(database)
    with database.writing("test") as writing:
        writing.connection.execute(insert(api_keys).values(key()))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(count, database).result(timeout=5) == 1
    assert count(database) == 2


def test_more_threads_than_connections_are_all_served(database: Database) -> None:
    add(database)
    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(count, [database] * 200)) == [1] * 200


# --- records


@pytest.mark.parametrize("lacking", [column.name for column in leads.columns])
def test_a_record_needs_the_whole_row(database: Database, lacking: str) -> None:
    row = {column.name: "1" for column in leads.columns}
    del row[lacking]
    with pytest.raises((ValueError, KeyError)), database.writing("test") as writing:
        writing.record("lead.submit", leads, "1", row)


def test_a_record_is_of_the_row_that_is_given(database: Database) -> None:
    row = {column.name: "1" for column in leads.columns}
    with database.writing("test") as writing:
        with pytest.raises(ValueError, match="not the one"):
            writing.record("lead.submit", leads, "2", row)
        with pytest.raises(ValueError, match="lacks"):
            writing.record("lead.submit", leads, "1", {})
        writing.record("erase", leads, "1", {})


# --- secrets


def test_another_secret_is_refused_before_it_does_harm(database: Database, database_url: str, tmp_path: Path) -> None:
    add(database)
    with pytest.raises(StoreError, match="密钥文件"):
        open_database(database_url, tmp_path / "other.key")
    other = Database(database_url, Keyring.load(tmp_path / "other.key"))
    with pytest.raises(StoreError, match="密钥文件"), other.writing("test"):
        pytest.fail("it was let in")
    other.engine.dispose()
    assert count(database) == 1


def test_a_chain_without_its_head_is_not_begun_again(database: Database) -> None:
    add(database)
    with database.engine.begin() as connection:
        connection.execute(delete(chain_head))
    with pytest.raises(StoreError, match="audit verify"):
        add(database)
    assert (count(database), count(database, audit), count(database, chain_head)) == (1, 1, 0)


# --- errors


def test_a_broken_constraint_is_told_without_the_values(database: Database) -> None:
    row = add(database)
    with pytest.raises(IntegrityError) as refused:
        add(database, digest=row["digest"], name=WORDS)
    assert WORDS not in str(refused.value)
    assert count(database) == 1


def test_a_wrong_statement_is_not_an_outage(database: Database) -> None:
    for statement in ("SELECT 1 FROM nowhere", "SELEC"):
        with pytest.raises(DBAPIError), database.reading() as connection:
            connection.execute(text(statement))
    database.ping()


def test_a_lock_that_is_not_given_up_is_an_outage(database: Database) -> None:
    impatient(database)
    add(database)
    with pytest.raises(DatabaseUnavailable) as refused, _locked(database):
        add(database)
    assert refused.value.retry_after == 5
    assert count(database) == 1


def _locked(database: Database) -> Connection:
    """Somebody else holds the lock of writers."""
    engine = create_engine(database.engine.url, poolclass=NullPool)
    if database.engine.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        connection = engine.connect()
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection = engine.connect()
        connection.execute(select(chain_head).with_for_update())
    return connection


def test_a_writer_that_hangs_does_not_hold_up_others_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.store.database.WAIT", 0.05)
    with database.writing("test"), ThreadPoolExecutor(1) as pool:
        assert isinstance(pool.submit(add, database).exception(timeout=5), DatabaseUnavailable)
        assert pool.submit(count, database).result(timeout=5) == 0
    add(database)
    assert count(database) == 1


def test_no_free_connection_is_an_outage(database: Database) -> None:
    database.engine.pool._timeout = 0.05  # type: ignore[attr-defined]
    readings = [database.reading() for _ in range(21)]
    for reading in readings[:20]:
        reading.__enter__()
    with pytest.raises(DatabaseUnavailable):
        readings[20].__enter__()
    for reading in readings[:20]:
        reading.__exit__(None, None, None)
    database.ping()


# --- SQLite


@pytest.fixture
def sqlite_database(tmp_path: Path, keyring: Keyring) -> Iterator[Database]:
    upgrade(f"sqlite:///{tmp_path / 'own.sqlite3'}")
    database = Database(f"sqlite:///{tmp_path / 'own.sqlite3'}", keyring)
    yield database
    database.engine.dispose()


def test_sqlite_is_set_up_to_lose_nothing(sqlite_database: Database) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}
    with sqlite_database.reading() as connection:
        assert {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted} == wanted


def test_a_full_disk_is_an_outage_and_passes(sqlite_database: Database) -> None:
    add(sqlite_database)
    limits = iter([60, 60, 1_000_000])

    def limit(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {next(limits)}")

    event.listen(sqlite_database.engine, "connect", limit)
    sqlite_database.engine.dispose()
    with pytest.raises(DatabaseUnavailable) as refused:
        add(sqlite_database, name=WORDS * 40_000)
    assert "full" in str(refused.value.__cause__)
    assert WORDS not in str(refused.value.__cause__)
    assert count(sqlite_database) == 1
    sqlite_database.engine.dispose()
    assert count(sqlite_database) == 1
    sqlite_database.engine.dispose()
    add(sqlite_database, name=WORDS * 40_000)
    assert count(sqlite_database) == 2
    assert verify(sqlite_database).findings == ()


def test_a_folder_that_is_gone_is_an_outage(tmp_path: Path, keyring: Keyring) -> None:
    database = Database(f"sqlite:///{tmp_path / 'none' / 'fenzhen.sqlite3'}", keyring)
    with pytest.raises(DatabaseUnavailable):
        database.ping()


def test_what_is_no_database_is_refused(tmp_path: Path, secret_file: Path) -> None:
    path = tmp_path / "fenzhen.sqlite3"
    path.write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(StoreError, match="not a database"):
        open_database(f"sqlite:///{path}", secret_file)


# --- PostgreSQL


def test_after_an_outage_the_next_transaction_just_works(on_postgresql: Database) -> None:
    add(on_postgresql)
    with on_postgresql.reading() as one, on_postgresql.reading() as two:  # several connections in the pool
        assert [each.execute(select(func.count()).select_from(api_keys)).scalar() for each in (one, two)] == [1, 1]
    end_connections(on_postgresql)
    assert count(on_postgresql) == 1
    end_connections(on_postgresql)
    add(on_postgresql)
    assert count(on_postgresql) == 2


def test_a_connection_lost_within_a_transaction_is_an_outage(on_postgresql: Database) -> None:
    add(on_postgresql)
    with pytest.raises(DatabaseUnavailable) as refused, on_postgresql.writing("test") as writing:
        writing.connection.execute(insert(api_keys).values(key()))
        end_connections(on_postgresql)
        writing.connection.execute(insert(api_keys).values(key(name=WORDS)))
    assert WORDS not in str(refused.value) + str(refused.value.__cause__)
    with pytest.raises(DatabaseUnavailable), on_postgresql.reading() as connection:
        connection.execute(select(1))
        end_connections(on_postgresql)
        connection.execute(select(1))
    assert count(on_postgresql) == 1
    add(on_postgresql)
    assert verify(on_postgresql).findings == ()


def test_a_connection_lost_while_committing_leaves_it_open_whether_it_was_saved(on_postgresql: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as refused, on_postgresql.writing("test") as writing:
        writing.connection.execute(insert(api_keys).values(key()))
        end_connections(on_postgresql)
    assert refused.value.zh == UNSURE
    assert count(on_postgresql) == 0


def test_a_server_that_refuses_is_an_outage_until_it_does_not(on_postgresql: Database) -> None:
    name = on_postgresql.engine.url.database
    on_postgresql.ping()
    with outside(on_postgresql) as server:
        server.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        try:
            end_connections(on_postgresql)
            for use in (on_postgresql.ping, lambda: add(on_postgresql)):
                with pytest.raises(DatabaseUnavailable):
                    use()
        finally:
            server.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    add(on_postgresql)


def test_a_server_that_says_nothing_is_given_up_in_seconds(keyring: Keyring) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = make_url("postgresql+psycopg://postgres@127.0.0.1/x").set(port=silent.getsockname()[1])
        database = Database(url.render_as_string(), keyring)
        begun = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            database.ping()
    assert time.monotonic() - begun < 5


def test_a_closed_port_is_an_outage_at_once(keyring: Keyring) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    database = Database(f"postgresql://postgres:geheim@127.0.0.1:{port}/x", keyring)
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailable) as refused:
        database.ping()
    assert time.monotonic() - begun < 2
    assert "geheim" not in str(refused.value) + str(refused.value.__cause__)


def test_nothing_waits_without_end_on_postgresql(on_postgresql: Database) -> None:
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    with on_postgresql.reading() as connection:
        found = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in limits]
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"
    assert found == ["30s", "10s", "1min"]
    with on_postgresql.writing("test") as writing:
        assert writing.connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"


def test_a_statement_that_takes_too_long_is_an_outage(on_postgresql: Database) -> None:
    with pytest.raises(DatabaseUnavailable), on_postgresql.reading() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 50"))
        connection.execute(text("SELECT pg_sleep(5)"))


def test_a_transaction_that_does_nothing_is_ended(on_postgresql: Database) -> None:
    with pytest.raises(DatabaseUnavailable), on_postgresql.writing("test") as writing:
        writing.connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 50"))
        time.sleep(0.3)
        writing.connection.execute(select(1))
    add(on_postgresql)


# --- addresses


@pytest.mark.parametrize(
    "url",
    [
        "", "fenzhen.sqlite3", "mysql://root:geheim@localhost/x", "sqlite://", "sqlite:///:memory:",
        "sqlite+aiosqlite:///x.db", "postgresql+psycopg://u:geheim@host:port/x", "sqlite:///file:x?mode=memory&uri=true",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_refused(url: str, keyring: Keyring) -> None:
    with pytest.raises(StoreError) as refused:
        Database(url, keyring)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "postgresql+psycopg"])
def test_postgresql_always_means_psycopg(scheme: str, keyring: Keyring) -> None:
    assert Database(f"{scheme}://postgres@127.0.0.1/x", keyring).engine.driver == "psycopg"


def test_options_of_the_address_are_kept(on_postgresql: Database, keyring: Keyring) -> None:
    url = on_postgresql.engine.url.update_query_dict({"options": "-c statement_timeout=7s"})
    database = Database(url.render_as_string(hide_password=False), keyring)
    with database.reading() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "7s"
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "10s"
    database.engine.dispose()
