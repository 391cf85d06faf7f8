"""Rows as the database holds them, whatever somebody put there past the program: nothing is converted or refused."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import JSON, Column, Connection, Select, Table, Text, cast, select, type_coerce
from sqlalchemy.types import NullType

Raw = dict[str, Any]
BATCH = 1000


def pages(connection: Connection, table: Table) -> Iterator[list[Raw]]:
    """All rows in the order of ``seq``, a batch at a time."""
    return _batches(connection, table, _rows(table))


def numbers(connection: Connection, table: Table) -> Iterator[list[int]]:
    """The ``seq`` of all rows in order, a batch at a time."""
    for batch in _batches(connection, table, select(table.c.seq)):
        yield [row["seq"] for row in batch]


def found(connection: Connection, table: Table, key: str, values: Sequence[Any]) -> list[Raw]:
    """The rows whose ``key`` is one of ``values``."""
    return _read(table, connection.execute(_rows(table).where(table.columns[key].in_(values))).mappings())


@contextmanager
def any_text(connection: Connection) -> Iterator[None]:
    """SQLite holds any bytes as text: inside, those that are not UTF-8 are read too."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        driver.text_factory = str


def _batches(connection: Connection, table: Table, statement: Select[Any]) -> Iterator[list[Raw]]:
    page = statement = statement.order_by(table.c.seq).limit(BATCH)
    while batch := _read(table, connection.execute(page).mappings()):
        yield batch
        page = statement.where(table.c.seq > batch[-1]["seq"])


def _rows(table: Table) -> Select[Any]:
    return select(*(_unconverted(column).label(column.name) for column in table.columns))


def _unconverted(column: Column[Any]) -> Any:
    return cast(column, Text) if isinstance(column.type, JSON) else type_coerce(column, NullType())


def _read(table: Table, rows: Iterable[Mapping[Any, Any]]) -> list[Raw]:
    names = [column.name for column in table.columns if isinstance(column.type, JSON)]
    read = [dict(row) for row in rows]
    for row in read:
        row.update((name, _parsed(row[name])) for name in names if name in row)
    return read


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value)
    except (ValueError, TypeError, RecursionError):
        return value
