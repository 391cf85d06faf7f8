"""Revisions of the database: up, down, by several at once, and never by guessing."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, inspect, make_url, text

from serving.errors import DatabaseUnavailable, StoreError
from serving.store.database import downgrade, open_database, revision_of, upgrade
from serving.store.revisions import FOLDER, HEAD, KNOWN
from serving.store.schema import metadata

Answer = TypeVar("Answer")
ROOT = Path(__file__).resolve().parents[3]


def ask(url: str, question: Callable[[Connection], Answer]) -> Answer:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return question(connection)


def change(url: str, statement: str) -> None:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text(statement))


def tables(url: str) -> set[str]:
    return set(ask(url, lambda connection: inspect(connection).get_table_names()))


def test_the_files_are_the_revisions_that_alembic_sees() -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    assert [script.revision for script in reversed(scripts)] == list(KNOWN)
    assert scripts[0].revision == HEAD


def test_the_migrations_lead_to_the_tables_of_the_schema(database_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    assert revision_of(database_url) == HEAD
    assert ask(database_url, differences) == []
    assert tables(database_url) == {*metadata.tables, "alembic_version"}


def test_every_constraint_has_the_name_of_the_schema(database_url: str) -> None:
    def names(connection: Connection) -> set[str | None]:
        found = inspect(connection)
        return {
            one["name"]
            for table in metadata.tables
            for one in (
                found.get_pk_constraint(table),
                *found.get_unique_constraints(table),
                *found.get_foreign_keys(table),
                *found.get_indexes(table),
            )
        }

    wanted = {str(one.name) for table in metadata.tables.values() for one in (*table.constraints, *table.indexes)}
    assert ask(database_url, names) == wanted


def test_down_leaves_nothing_and_up_again_brings_everything(empty_database_url: str) -> None:
    url = empty_database_url
    assert revision_of(url) is None
    for _ in range(2):
        upgrade(url)
        assert revision_of(url) == HEAD
        upgrade(url)
        downgrade(url, "base")
        assert revision_of(url) is None
        assert tables(url) == set()
    if url.startswith("postgresql"):
        left = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert ask(url, lambda connection: connection.execute(text(left)).all()) == []
    else:
        assert ask(url, lambda connection: connection.execute(text("SELECT name FROM sqlite_master")).all()) == []


def test_every_step_goes_up_and_down(empty_database_url: str) -> None:
    for revision in KNOWN:
        upgrade(empty_database_url, revision)
        assert revision_of(empty_database_url) == revision
    for revision in reversed(("base", *KNOWN[:-1])):
        downgrade(empty_database_url, revision)
        assert revision_of(empty_database_url) == (None if revision == "base" else revision)


def test_looking_makes_no_file(tmp_path: Path) -> None:
    assert revision_of(f"sqlite:///{tmp_path / 'none.sqlite3'}") is None
    assert list(tmp_path.iterdir()) == []


def test_servers_that_upgrade_at_once_do_no_harm(empty_database_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(upgrade, [empty_database_url] * 6))
    assert revision_of(empty_database_url) == HEAD
    assert tables(empty_database_url) == {*metadata.tables, "alembic_version"}


def test_processes_that_open_a_new_database_at_once_share_it(tmp_path: Path) -> None:
    url, secret = f"sqlite:///{tmp_path / 'data' / 'fenzhen.sqlite3'}", tmp_path / "data" / "secret.key"
    program = (
        "import sys; from pathlib import Path; from serving.store.database import open_database; print('ready', flush=1);"
        "sys.stdin.readline(); d = open_database(sys.argv[1], Path(sys.argv[2])).writing('test'); d.__enter__(); "
        "d.__exit__(None, None, None)"
    )
    command = [sys.executable, "-P", "-c", program, url, str(secret)]
    runs = [
        subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, env={"PYTHONPATH": str(ROOT)}, text=True)
        for _ in range(2)
    ]
    for run in runs:
        assert run.stdout is not None and run.stdout.readline() == "ready\n"
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    for run in runs:
        _, errors = run.communicate(timeout=60)
        assert (run.returncode, errors) == (0, "")
    open_database(url, secret).engine.dispose()


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    downgrade(empty_database_url, "base")
    change(empty_database_url, "CREATE TABLE sessions (other INTEGER)")
    with pytest.raises(StoreError, match="sessions"):
        upgrade(empty_database_url)
    assert tables(empty_database_url) == {"sessions"}


@pytest.mark.parametrize("revision", ["0999", "", "heads", "+1"])
def test_a_revision_that_does_not_exist_is_refused(empty_database_url: str, revision: str) -> None:
    with pytest.raises(StoreError, match="0001"):
        upgrade(empty_database_url, revision)
    assert tables(empty_database_url) == set()


def test_sqlite_is_upgraded_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "new" / "fenzhen.sqlite3"
    with open_database(f"sqlite:///{path}", tmp_path / "new" / "secret.key").engine.connect() as connection:
        assert inspect(connection).has_table("leads")
        connection.engine.dispose()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_postgresql_is_not_upgraded_without_being_told(postgresql_url: str, secret_file: Path) -> None:
    with pytest.raises(StoreError, match="fenzhen db upgrade"):
        open_database(postgresql_url, secret_file)
    assert tables(postgresql_url) == set()
    upgrade(postgresql_url)
    open_database(postgresql_url, secret_file).engine.dispose()


def test_a_database_of_a_newer_program_is_refused(empty_database_url: str, secret_file: Path) -> None:
    upgrade(empty_database_url)
    change(empty_database_url, "UPDATE alembic_version SET version_num = '9999'")
    for use in (lambda url: open_database(url, secret_file), upgrade):
        with pytest.raises(StoreError, match=r"9999.*请升级程序"):
            use(empty_database_url)


def test_a_database_that_cannot_be_reached_is_unavailable(postgresql_url: str) -> None:
    nobody = make_url(postgresql_url).set(database="fenzhen_test_none").render_as_string(hide_password=False)
    with pytest.raises(DatabaseUnavailable, match="数据库地址"):
        upgrade(nobody)
