"""Checking the audit chain against itself, and what is stored against the chain.

Whoever changes the database past the program cannot make the keyed hashes that would hide it. The end of the chain can
only be vouched for from outside: by a head that was noted earlier.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, select

from serving.store import raw
from serving.store.chain import APPEND_ONLY, ERASE, START, Entry, row_digest, row_id
from serving.store.database import Database
from serving.store.keyring import Keyring
from serving.store.schema import audit, chain_head

Watch = Callable[[int, int], None]
_TABLES = {table.name: table for table in APPEND_ONLY}


class Flaw(StrEnum):
    """What can be wrong. Of records: of the audit trail itself; of rows: of what it is about."""

    RECORD_ALTERED = "record_altered"
    RECORDS_MISSING = "records_missing"
    RECORD_ADDED = "record_added"
    HEAD_ALTERED = "head_altered"
    NOTED_HEAD_GONE = "noted_head_gone"
    ROW_ALTERED = "row_altered"
    ROW_MISSING = "row_missing"
    ROW_UNRECORDED = "row_unrecorded"


ZH = {
    Flaw.RECORD_ALTERED: "审计记录被改动、换了位置，或接不上前一条",
    Flaw.RECORDS_MISSING: "审计记录不见了",
    Flaw.RECORD_ADDED: "审计记录是另外加进去的",
    Flaw.HEAD_ALTERED: "链头与最后一条审计记录不符",
    Flaw.NOTED_HEAD_GONE: "之前记下的链头不在链上：那之后链被截断或重建过",
    Flaw.ROW_ALTERED: "内容与审计记录不符",
    Flaw.ROW_MISSING: "有审计记录，内容却不见了",
    Flaw.ROW_UNRECORDED: "没有可信的审计记录",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong at ``where``: ``audit/<seq>`` or ``audit/<first>-<last>``,
    ``<table>/<id>`` or ``<table>#<seq>``."""

    flaw: Flaw
    where: str

    def __str__(self) -> str:
        return f"{self.where}：{ZH[self.flaw]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `verify` saw: so many records and rows, so many of them lawfully erased; ``head`` to be noted elsewhere."""

    findings: tuple[Finding, ...]
    records: int
    rows: int
    erased: int
    head: str


def verify(database: Database, noted: str | None = None, watch: Watch = lambda done, of: None) -> Report:
    """Everything in the database that does not agree with the audit chain, as of one moment; nothing is changed.

    ``noted`` is a head that was noted earlier, which must be on the chain. ``watch`` is told of the steps done and
    about how many there are. Memory grows with what is found, not with what is stored. Raises DatabaseUnavailable.
    """
    with database.reading() as connection, raw.any_text(connection):
        walk = _Walk(keyring=database.keyring, connection=connection)
        walk.records(noted, watch)
        walk.rows(watch)
        return Report(
            findings=tuple(walk.findings), records=walk.count, rows=walk.found, erased=len(walk.erased), head=walk.hash
        )


@dataclass(slots=True, kw_only=True)
class _Walk:
    """One pass over the chain, then one over the rows."""

    keyring: Keyring
    connection: Connection
    findings: list[Finding] = field(default_factory=list)
    count: int = 0
    found: int = 0
    seq: int = 0  # of the last record
    hash: str = START  # of the last record, as it stands there
    true_hash: str = START  # and as it would be if it had not been altered
    broken: dict[str, Flaw] = field(default_factory=dict)  # subjects, unless a later erasure explains it
    erased: set[str] = field(default_factory=set)
    vouched: dict[str, "_Numbers"] = field(default_factory=lambda: defaultdict(_Numbers))

    def records(self, noted: str | None, watch: Watch) -> None:
        """Every record of the audit trail, and the rows that each vouches for."""
        head = self.connection.execute(select(chain_head.c.seq, chain_head.c.hash)).first()
        last, top = (head.seq, head.hash) if head else (0, START)
        on_chain = noted in {None, START}
        steps = self._steps()
        for batch in raw.pages(self.connection, audit):
            self._match([entry for row in batch if (entry := self._record(row, last)) is not None])
            on_chain = on_chain or any(row["hash"] == noted for row in batch)
            self.count += len(batch)
            watch(self.count, steps)
        if self.seq < last:
            self._missing(self.seq + 1, last)
        elif (self.seq, self.hash) != (last, top):
            self._find(Flaw.HEAD_ALTERED, chain_head.name)
        if not on_chain:
            self._find(Flaw.NOTED_HEAD_GONE, chain_head.name)

    def rows(self, watch: Watch) -> None:
        """Every row of the append-only tables."""
        steps = self._steps()
        for subject, flaw in self.broken.items():
            self._find(flaw, subject)
        for table in APPEND_ONLY:
            for batch in raw.numbers(self.connection, table):
                for seq in batch:
                    if seq not in self.vouched[table.name]:
                        self._find(Flaw.ROW_UNRECORDED, f"{table.name}#{seq}")
                self.found += len(batch)
                watch(self.count + self.found, steps)

    def _record(self, row: Mapping[str, Any], last: int) -> Entry | None:
        """The record if it can be trusted."""
        entry = Entry(**{name: value for name, value in row.items() if name != "hash"})
        true_hash = entry.hash(self.keyring, self.true_hash)
        good = row["hash"] == true_hash or row["hash"] == entry.hash(self.keyring, self.hash)
        if not good and not 1 <= entry.seq <= last:
            self._find(Flaw.RECORD_ADDED, f"audit/{entry.seq}")
            return None
        if entry.seq > self.seq + 1:
            self._missing(self.seq + 1, entry.seq - 1)
        self.seq, self.hash, self.true_hash = entry.seq, row["hash"], row["hash"] if good else true_hash
        if not good:
            self._find(Flaw.RECORD_ALTERED, f"audit/{entry.seq}")
        return entry if good else None

    def _match(self, entries: list[Entry]) -> None:
        """Compares the rows with what the records say of them."""
        wanted: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
        for entry in entries:
            name, _, id = entry.subject.partition("/")
            if name in _TABLES:
                wanted[name][id].append(entry)
        for name, of_row in wanted.items():
            rows = self._rows(name, list(of_row))
            for id, records in of_row.items():
                row = rows.get(id, {})
                digest = row_digest(self.keyring, _TABLES[name], row)
                for entry in records:
                    self._compare(entry, digest, exists=bool(row))
                if row:
                    self.vouched[name].add(row["seq"])

    def _rows(self, name: str, ids: list[str]) -> dict[str, raw.Raw]:
        table = _TABLES[name]
        key, values = ("id", ids) if "id" in table.columns else ("seq", [int(id) for id in ids])
        return {row_id(table, row): row for row in raw.found(self.connection, table, key, values)}

    def _compare(self, entry: Entry, digest: str, *, exists: bool) -> None:
        if entry.digest == digest:
            if entry.action == ERASE:
                self.broken.pop(entry.subject, None)
                self.erased.add(entry.subject)
        else:
            self.broken[entry.subject] = Flaw.ROW_ALTERED if exists else Flaw.ROW_MISSING

    def _missing(self, first: int, last: int) -> None:
        self._find(Flaw.RECORDS_MISSING, f"audit/{first}" if first == last else f"audit/{first}-{last}")

    def _find(self, flaw: Flaw, where: str) -> None:
        self.findings.append(Finding(flaw=flaw, where=where))

    def _steps(self) -> int:
        """About how many records and rows there are."""
        tables = (audit, *APPEND_ONLY)
        return sum(self.connection.execute(select(func.max(table.c.seq))).scalar() or 0 for table in tables)


class _Numbers:
    """A set of integers that takes a bit each where they are dense."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = defaultdict(lambda: bytearray(512))

    def add(self, number: int) -> None:
        self._blocks[number >> 12][number >> 3 & 511] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        block = self._blocks.get(number >> 12)
        return block is not None and bool(block[number >> 3 & 511] >> (number & 7) & 1)
