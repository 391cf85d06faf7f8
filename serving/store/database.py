"""The database: transactions that read, and transactions that write and leave their trace in the audit chain."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Row, Table, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from serving.errors import DatabaseUnavailable, StoreError
from serving.store.chain import APPEND_ONLY, ERASE, START, Entry, row_digest, row_id
from serving.store.engines import CONNECTIONS, MORE, WAIT, WRITING, connect, is_outage, outages
from serving.store.keyring import Keyring
from serving.store.revisions import downgrade, ready, revision_of, upgrade
from serving.store.schema import audit, chain_head, microseconds

__all__ = ["Database", "Writing", "downgrade", "open_database", "revision_of", "upgrade"]
UNSURE = "保存时与数据库的连接中断，不能确定是否已经保存；请用同一个 Idempotency-Key 重试。"
_READ = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}  # one state from the first row to the last
_HEAD = select(chain_head).where(chain_head.c.id == 1).with_for_update()


@dataclass(slots=True, kw_only=True)
class Writing:
    """A transaction that writes, at ``now`` (UTC), in the name of ``actor``."""

    connection: Connection
    actor: str
    keyring: Keyring
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    _seq: int
    _hash: str
    _entries: list[dict[str, Any]] = field(default_factory=list)

    def record(
        self,
        action: str,
        table: Table,
        id: str,
        row: Mapping[Any, Any],
        detail: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Append to the audit chain that ``action`` left ``row``, which stands under ``id``, as it is given.

        Of an append-only table every column is needed, ``seq`` included, and ``id`` is the row's ``id`` or, where it
        has none, its ``seq``; only an erasure may leave no row at all (``{}``). Later actions on the same row (reading
        it, say) give it again. ``detail`` never has words of a complaint. What was recorded inside a savepoint that is
        rolled back stays recorded. Raises ValueError.
        """
        if table in APPEND_ONLY and not (action == ERASE and not row):
            lacking = [column.name for column in table.columns if column.name not in row]
            if lacking or row_id(table, row) != id:
                raise ValueError(f"the row of {table.name} lacks {lacking} or is not the one of this id")
        entry = Entry(
            seq=self._seq + 1,
            at=microseconds(self.now),
            actor=self.actor,
            action=action,
            subject=f"{table.name}/{id}",
            digest=row_digest(self.keyring, table, row),
            detail=dict(detail),
        )
        self._seq, self._hash = entry.seq, entry.hash(self.keyring, self._hash)
        self._entries.append({**asdict(entry), "at": self.now, "hash": self._hash})

    def add(self, action: str, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Insert these rows of an append-only table in this order, put the ``seq`` that each got into it, and record
        them."""
        inserted = insert(table).returning(table.c.seq, sort_by_parameter_order=True)
        for row, seq in zip(rows, self.connection.execute(inserted, rows).scalars().all(), strict=True):
            row["seq"] = seq
            self.record(action, table, row_id(table, row), row)

    def _save(self) -> None:
        if self._entries:
            self.connection.execute(insert(audit), self._entries)
            self.connection.execute(update(chain_head).values(seq=self._seq, hash=self._hash))


class Database:
    """A database that belongs to a keyring; used from many threads. Raises StoreError for a URL that cannot be used."""

    def __init__(self, url: str, keyring: Keyring) -> None:
        self.engine = connect(url, pool_size=CONNECTIONS, max_overflow=MORE, pool_timeout=WAIT, pool_recycle=1800)
        self.keyring = keyring
        self._reader = self.engine if self.engine.name == "sqlite" else self.engine.execution_options(**_READ)
        self._writer = self.engine.execution_options(**{WRITING: True})
        self._turn = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing. Raises DatabaseUnavailable."""
        with outages(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, actor: str) -> Iterator[Writing]:
        """One transaction: committed at the end with what was recorded, or rolled back on an error. One at a time, so
        that commits are in the order of ``seq``: never begin one inside another.

        Raises DatabaseUnavailable, StoreError if the keyring is not the one the database was made with; broken
        constraints come as sqlalchemy.exc.IntegrityError.
        """
        with outages(), self._next(), self._writer.connect() as connection:
            head = self._head(connection)
            writing = Writing(connection=connection, actor=actor, keyring=self.keyring, _seq=head.seq, _hash=head.hash)
            yield writing
            writing._save()
            _commit(connection)

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """One transaction on rows that leave no trace in the audit chain, such as deliveries. On PostgreSQL it does not
        wait for those that write. Raises DatabaseUnavailable."""
        turn = self._next() if self.engine.name == "sqlite" else nullcontext()
        with outages(), turn, self._writer.connect() as connection:
            yield connection
            _commit(connection)

    def ping(self) -> None:
        """Raises DatabaseUnavailable if the database cannot be read."""
        with self.reading() as connection:
            connection.execute(select(chain_head.c.id)).all()

    def check(self) -> None:
        """Raises StoreError if the database was made with another secret, DatabaseUnavailable."""
        with self.reading() as connection:
            self._check(connection.execute(select(chain_head)).first())

    @contextmanager
    def _next(self) -> Iterator[None]:
        """Threads of this process queue here and not in the database, which would cost a connection each."""
        if not self._turn.acquire(timeout=WAIT):
            raise DatabaseUnavailable
        try:
            yield
        finally:
            self._turn.release()

    def _head(self, connection: Connection) -> Row[Any]:
        """The head of the chain, locked until the transaction ends."""
        head = connection.execute(_HEAD).first() or self._begin_chain(connection)
        self._check(head)
        return head

    def _begin_chain(self, connection: Connection) -> Row[Any]:
        insert_into = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        first = {"id": 1, "seq": 0, "hash": START, "key_check": self.keyring.key_check}
        begin = insert_into(chain_head).values(first).on_conflict_do_nothing().returning(chain_head.c.id)
        if connection.execute(begin).first() and connection.execute(select(audit.c.seq).limit(1)).first():
            raise StoreError("审计链的链头不见了，数据库被改动过；请执行 fenzhen audit verify。")
        return connection.execute(_HEAD).one()

    def _check(self, head: Row[Any] | None) -> None:
        if head is not None and head.key_check != self.keyring.key_check:
            raise StoreError("这个密钥文件不是建立这个数据库时用的那一个，请换回原来的密钥文件。")


def _commit(connection: Connection) -> None:
    try:
        connection.commit()
    except DBAPIError as error:
        if error.connection_invalidated and is_outage(error):
            raise DatabaseUnavailable(UNSURE) from error
        raise


def open_database(url: str, secret_file: Path) -> Database:
    """The database at ``url``, of the revision of this program; a SQLite file is made and upgraded by itself.

    Raises StoreError for a PostgreSQL of another revision, a wrong secret or URL; DatabaseUnavailable.
    """
    keyring = Keyring.load(secret_file)
    ready(url)
    database = Database(url, keyring)
    try:
        database.check()
    except BaseException:
        database.engine.dispose()
        raise
    return database
