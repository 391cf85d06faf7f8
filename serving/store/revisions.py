"""Revisions of the database: where it stands, and moving it, in one transaction that no other server can cross.

Files under ``migrations/versions`` begin with the revision they lead to, 0001 and so on; Alembic runs them and is only
imported when there is something to run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, NullPool, column, inspect, select, table, text
from sqlalchemy.exc import DBAPIError

from serving.errors import StoreError
from serving.store import migrations
from serving.store.engines import CONNECT, WRITING, connect, make_file, outages, parsed

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(migrations.__file__).parent
KNOWN = tuple(sorted(file.name[:4] for file in (FOLDER / "versions").glob("[0-9]*.py")))
HEAD = KNOWN[-1]
BASE = "base"
UNREACHABLE = (
    f"数据库连不上、被锁住或磁盘已满（连接最多等 {CONNECT} 秒）；请检查数据库地址、用户和密码，数据库是否在运行。"
)
_LOCK = 7_305_800_001  # advisory lock of PostgreSQL, the same for every server
_VERSION = table("alembic_version", column("version_num"))


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database to a later revision, if it is not there. Raises StoreError, DatabaseUnavailable."""
    from alembic import command

    if parsed(url).get_backend_name() == "sqlite":
        make_file(parsed(url))
    _run(url, revision, command.upgrade)


def downgrade(url: str, revision: str) -> None:
    """Take the database back to an earlier revision; ``base`` leaves nothing of it. Raises as `upgrade`."""
    from alembic import command

    _run(url, revision, command.downgrade)


def revision_of(url: str) -> str | None:
    """The revision of the database, None for an empty one. Raises as `upgrade`."""
    address = parsed(url)
    if address.get_backend_name() == "sqlite" and not Path(str(address.database)).exists():
        return None
    with _connected(url, writing=False) as connection:
        return _current(connection)


def ready(url: str) -> None:
    """Upgrade a SQLite database if need be; raises StoreError for a PostgreSQL database of another revision."""
    found = revision_of(url)
    if found == HEAD:
        return
    _check_known(found)
    if parsed(url).get_backend_name() != "sqlite":
        raise StoreError(f"数据库的版本是 {found or '空'}，程序需要 {HEAD}，请先执行：fenzhen db upgrade")
    upgrade(url)


def _run(url: str, revision: str, change: Callable[["Config", str], None]) -> None:
    from alembic.config import Config
    from alembic.util import CommandError

    if revision not in {"head", BASE, *KNOWN}:
        raise StoreError(f"没有版本 {revision}；有 {BASE}、{'、'.join(KNOWN)}。")
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    with _connected(url, writing=True) as connection:
        found = _current(connection)
        _check_known(found)
        config.attributes["connection"] = connection
        try:
            change(config, revision)
        except CommandError as error:
            raise StoreError(f"数据库的版本是 {found or '空'}，这样到不了 {revision}。") from error
        if _current(connection) is None:
            connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        if connection.dialect.name == "sqlite" and connection.execute(text("PRAGMA foreign_key_check")).first():
            raise StoreError("有的行缺少它所属的行，版本没有变；数据库可能被改动过。")
        connection.commit()


@contextmanager
def _connected(url: str, *, writing: bool) -> Iterator[Connection]:
    """A connection of its own, in a transaction that keeps other upgrades out if it is for ``writing``."""
    engine = connect(url, foreign_keys=False, limited=False, poolclass=NullPool)
    try:
        with outages(UNREACHABLE), engine.connect().execution_options(**{WRITING: writing}) as connection:
            if writing and connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection
    except DBAPIError as error:
        raise StoreError(f"数据库拒绝了这一步：{str(error.orig).splitlines()[0]}") from error
    finally:
        engine.dispose()


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION.name):
        return None
    found: str | None = connection.execute(select(_VERSION.c.version_num)).scalar()
    return found


def _check_known(revision: str | None) -> None:
    if revision is not None and revision not in KNOWN:
        raise StoreError(f"数据库的版本是 {revision}，比程序（{HEAD}）新，请升级程序。")
