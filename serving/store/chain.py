"""What a record of the audit trail consists of, and how each vouches for the one before it.

A digest covers a row as it is stored: ciphertext, moments in microseconds, JSON by its content. Columns that are NULL
are left out, so a column added later changes no old digest.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Column, Table

from serving.store.keyring import Keyring
from serving.store.schema import corrections, events, leads, microseconds, predictions

APPEND_ONLY = (leads, predictions, corrections, events)
ERASE = "erase"  # the action of a lawful erasure: the digest is that of the row afterwards, or of no row at all
START = "0" * 64  # the hash before the first record


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record of the audit trail but for its own hash; ``at`` in microseconds since 1970."""

    seq: int
    at: int
    actor: str
    action: str
    subject: str
    digest: str
    detail: Mapping[str, Any]

    def hash(self, keyring: Keyring, previous: str) -> str:
        """The hash of this record after one whose hash is ``previous``."""
        fields = [self.seq, self.at, self.actor, self.action, self.subject, self.digest, self.detail]
        return keyring.digest("audit chain", _canonical([previous, *fields]))


def row_id(table: Table, row: Mapping[Any, Any]) -> str:
    """What a row is called in a subject: its ``id``, or its ``seq`` where the table has no ``id``."""
    return str(row["id" if "id" in table.columns else "seq"])


def row_digest(keyring: Keyring, table: Table, row: Mapping[Any, Any]) -> str:
    """Keyed digest of a row; ``row`` may hold values as they were given or as the database holds them."""
    columns = [column for column in table.columns if row.get(column.name) is not None]
    fields = {column.name: _number(column, row[column.name]) for column in columns}
    return keyring.digest("audit row", _canonical([table.name, fields]))


def _number(column: Column[Any], value: Any) -> Any:
    return int(value) if isinstance(column.type, Boolean) and isinstance(value, bool) else value  # as SQLite has it


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def _plain(value: datetime | bytes) -> Any:
    return microseconds(value) if isinstance(value, datetime) else {"bytes": value.hex()}
