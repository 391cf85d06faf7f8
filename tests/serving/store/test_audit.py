"""Whatever is changed past the program is found, by changing it."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import JSON, Boolean, Column, Connection, LargeBinary, String, create_engine, insert, text

from serving.store import raw
from serving.store.audit import Finding, Flaw, Report, verify
from serving.store.chain import APPEND_ONLY, ERASE, START
from serving.store.database import Database, Writing
from serving.store.schema import audit, chain_head, corrections, events, leads, predictions

NOON = datetime(2026, 3, 2, 12, 0, 0, 123457, tzinfo=UTC)
LEADS = 4
CHECKED = {table.name: table for table in (*APPEND_ONLY, audit)}


def uuid(number: int) -> str:
    return str(UUID(int=number))


def lead(writing: Writing, number: int) -> dict[str, Any]:
    return {
        "seq": number, "id": uuid(number), "source": "hotline", "external_id": f"L-{number}" if number % 2 else None,
        "channel": "hotline", "received_at": NOON, "content": writing.keyring.encrypt(b"text", f"c:{number}"),
        "redacted": writing.keyring.encrypt(b"****", f"r:{number}"), "content_digest": f"{number:064x}",
    }  # fmt: skip


def prediction(number: int) -> dict[str, Any]:
    answer = {"urgency": {"card": "red", "probability": 0.1 + 0.2}, "misconduct": ["推诿", "不作为"], "none": None}
    return {
        "seq": number, "lead_seq": number, "bundle": "tiny", "taxonomy": "t", "rules": "r", "degraded": number % 2 == 0,
        "answer": answer, "created_at": NOON,
    }  # fmt: skip


def correction(writing: Writing, number: int) -> dict[str, Any]:
    remark = writing.keyring.encrypt(b"remark", "m") if number % 2 else None
    return {
        "seq": number, "lead_seq": number, "id": uuid(100 + number), "kind": "correction", "actor": "account:wang",
        "created_at": NOON, "tags": {"misconduct": [], "department": "tax"}, "reason": "wrong", "remark": remark,
    }  # fmt: skip


def announced(number: int) -> dict[str, Any]:
    return {
        "seq": number, "id": uuid(200 + number), "type": "lead.triaged", "source": "hotline", "lead_seq": number,
        "time": NOON, "data": {"lead": uuid(number)},
    }  # fmt: skip


@pytest.fixture
def store(database: Database) -> Database:
    """Four leads, each with a prediction, a correction and an event: sixteen records."""
    with database.writing("key:1") as writing:
        for number in range(1, LEADS + 1):
            keep(writing, "lead.submit", leads, lead(writing, number))
            keep(writing, "lead.triage", predictions, prediction(number))
            keep(writing, "lead.correct", corrections, correction(writing, number))
            keep(writing, "event", events, announced(number))
    return database


def keep(writing: Writing, action: str, table: Any, row: dict[str, Any]) -> None:
    writing.connection.execute(insert(table).values(row))
    writing.record(action, table, str(row.get("id", row["seq"])), row, {"at": "window"})


@pytest.fixture
def by_hand(store: Database) -> Iterator[Callable[..., None]]:
    """Runs statements past the program, as a superuser who minds no constraint between tables."""

    engine = create_engine(store.engine.url)

    def run(*statements: str, **values: Any) -> None:
        with engine.begin() as connection:
            if engine.name == "postgresql":
                connection.execute(text("SET LOCAL session_replication_role = replica"))
                connection.execute(text("SET LOCAL synchronous_commit = off"))
            for statement in statements:
                connection.execute(text(statement), values)

    yield run
    engine.dispose()


def flaws(report: Report) -> set[tuple[Flaw, str]]:
    return {(finding.flaw, finding.where) for finding in report.findings}


# --- nothing is wrong


def test_what_was_written_by_the_program_agrees(store: Database) -> None:
    steps: list[tuple[int, int]] = []
    report = verify(store, watch=lambda done, of: steps.append((done, of)))
    with store.reading() as connection:
        head = connection.execute(chain_head.select()).one()
    assert report == Report(findings=(), records=16, rows=16, erased=0, head=head.hash)
    assert steps[-1] == (32, 32)
    assert steps == sorted(steps)


def test_an_empty_database_agrees(database: Database) -> None:
    assert verify(database) == Report(findings=(), records=0, rows=0, erased=0, head=START)


@pytest.mark.parametrize("size", [1, 3, 16])
def test_batches_of_any_size_find_the_same(
    store: Database, by_hand: Callable[..., None], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = verify(store)
    by_hand("UPDATE events SET type = 'x' WHERE seq = 2", "DELETE FROM audit WHERE seq IN (5, 6)")
    altered = verify(store)
    monkeypatch.setattr(raw, "BATCH", size)
    assert verify(store) == altered
    assert verify(store, before.head).head == before.head


def test_memory_does_not_grow_with_the_rows(store: Database) -> None:
    """The rows that records vouch for are kept as bits; the numbers need not be dense."""
    with store.writing("key:1") as writing:
        for number in (1 << 40, 70_000, 4095, 4096):
            keep(writing, "lead.submit", leads, lead(writing, number))
    assert verify(store).findings == ()


# --- every column of every table


def other(column: Column[Any], value: Any) -> Any:
    """Another value that the column can hold."""
    if isinstance(column.type, Boolean):
        return not value
    if isinstance(column.type, LargeBinary):
        return b"\x00" if value is None else value[:-1] + bytes([value[-1] ^ 1])
    if isinstance(column.type, JSON):
        return json.dumps({**json.loads(value), "more": 1})
    if isinstance(column.type, String):
        return ("0" if value and value[0] != "0" else "1") + (value or "")[1:]
    return value + 1000


@pytest.mark.parametrize("table", CHECKED)
def test_every_altered_column_is_found(store: Database, by_hand: Callable[..., None], table: str) -> None:
    for seq, column in enumerate(CHECKED[table].columns):
        seq = seq % LEADS + 1
        now = f"CAST({column.name} AS text)" if isinstance(column.type, JSON) else column.name
        with store.reading() as connection:
            stored = connection.execute(text(f"SELECT {now} FROM {table} WHERE seq = {seq}")).scalar()
        cast = "CAST(:value AS json)" if _needs_cast(store, column) else ":value"
        altered = other(column, stored)
        by_hand(f"UPDATE {table} SET {column.name} = {cast} WHERE seq = {seq}", value=altered)
        found = flaws(verify(store))
        where = altered if column.name == "seq" else seq
        by_hand(f"UPDATE {table} SET {column.name} = {cast} WHERE seq = {where}", value=stored)
        assert expected(table, column.name, seq, altered) in found, column.name
        assert len(found) <= 6
    assert verify(store).findings == ()


def _needs_cast(store: Database, column: Column[Any]) -> bool:
    return store.engine.name == "postgresql" and isinstance(column.type, JSON)


def expected(table: str, column: str, seq: int, altered: Any) -> tuple[Flaw, str]:
    """What must be found where the altered row is concerned."""
    if table == "audit":
        return (Flaw.RECORD_ADDED, f"audit/{altered}") if column == "seq" else (Flaw.RECORD_ALTERED, f"audit/{seq}")
    id = {"leads": uuid(seq), "predictions": seq, "corrections": uuid(100 + seq), "events": uuid(200 + seq)}[table]
    gone = column == "id" or (table, column) == ("predictions", "seq")
    return (Flaw.ROW_MISSING if gone else Flaw.ROW_ALTERED, f"{table}/{id}")


@pytest.mark.parametrize(
    ("table", "column"),
    [(table.name, column.name) for table in APPEND_ONLY for column in table.columns if column.nullable],
)
def test_a_value_that_is_taken_away_is_found(
    store: Database, by_hand: Callable[..., None], table: str, column: str
) -> None:
    by_hand(f"UPDATE {table} SET {column} = NULL WHERE seq = 1")
    ((flaw, where),) = flaws(verify(store))
    assert (flaw, where.partition("/")[0]) == (Flaw.ROW_ALTERED, table)


def test_json_is_compared_by_its_content(store: Database, by_hand: Callable[..., None]) -> None:
    cast = "CAST(:value AS json)" if store.engine.name == "postgresql" else ":value"
    same = json.dumps({"department": "tax", "misconduct": []}, indent=1)
    by_hand(f"UPDATE corrections SET tags = {cast} WHERE seq = 1", value=same)
    assert verify(store).findings == ()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL lets in nothing of the kind
@pytest.mark.parametrize("value", ['{"a": ', "NaN", "[" * 100_000, "9" * 5000, "", "\\"])
def test_what_is_no_json_is_found(store: Database, by_hand: Callable[..., None], value: str) -> None:
    by_hand("UPDATE audit SET detail = :value WHERE seq = 2", value=value)
    by_hand("UPDATE events SET data = :value WHERE seq = 2", value=value)
    assert {(Flaw.RECORD_ALTERED, "audit/2"), (Flaw.ROW_ALTERED, f"events/{uuid(202)}")} <= flaws(verify(store))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("value", ["x'ff00'", "'text'", "1e999", "9223372036854775807", "x''"])
def test_whatever_sqlite_holds_is_found(store: Database, by_hand: Callable[..., None], value: str) -> None:
    columns = {2: "at", 4: "actor", 6: "detail", 8: "hash", 10: "subject"}
    by_hand(*(f"UPDATE audit SET {column} = {value} WHERE seq = {seq}" for seq, column in columns.items()))
    by_hand(f"UPDATE leads SET received_at = {value}, channel = CAST(x'ff' AS text) WHERE seq = 4")
    altered = {(Flaw.RECORD_ALTERED, f"audit/{seq}") for seq in columns}
    assert {*altered, (Flaw.ROW_ALTERED, f"leads/{uuid(4)}")} <= flaws(verify(store))
    with store.reading() as connection:
        assert connection.execute(text("SELECT 'still text'")).scalar() == "still text"


# --- records that are missing, added or elsewhere


def test_a_missing_record_is_found_and_so_is_the_row_it_was_about(
    store: Database, by_hand: Callable[..., None]
) -> None:
    by_hand("DELETE FROM audit WHERE seq = 5")
    assert flaws(verify(store)) == {
        (Flaw.RECORDS_MISSING, "audit/5"),
        (Flaw.RECORD_ALTERED, "audit/6"),  # nothing vouches for its place any more
        (Flaw.ROW_UNRECORDED, "leads#2"),
        (Flaw.ROW_UNRECORDED, "predictions#2"),
    }


def test_a_missing_beginning_is_found(store: Database, by_hand: Callable[..., None]) -> None:
    by_hand("DELETE FROM audit WHERE seq <= 4")
    assert {(Flaw.RECORDS_MISSING, "audit/1-4"), (Flaw.ROW_UNRECORDED, "events#1")} <= flaws(verify(store))


def test_a_chain_cut_at_its_end_is_found(store: Database, by_hand: Callable[..., None]) -> None:
    by_hand("DELETE FROM audit WHERE seq > 14")
    assert flaws(verify(store)) == {
        (Flaw.RECORDS_MISSING, "audit/15-16"),
        (Flaw.ROW_UNRECORDED, "corrections#4"),
        (Flaw.ROW_UNRECORDED, "events#4"),
    }


def test_a_chain_cut_with_its_head_and_its_rows_is_found_by_the_noted_head(
    store: Database, by_hand: Callable[..., None]
) -> None:
    noted = verify(store).head
    cut = (
        "DELETE FROM corrections WHERE seq = 4",
        "DELETE FROM events WHERE seq = 4",
        "DELETE FROM audit WHERE seq > 14",
        "UPDATE chain_head SET seq = 14, hash = (SELECT hash FROM audit WHERE seq = 14)",
    )
    by_hand(*cut)
    assert verify(store).findings == ()
    assert flaws(verify(store, noted)) == {(Flaw.NOTED_HEAD_GONE, "chain_head")}
    by_hand(*(f"DELETE FROM {table}" for table in ("audit", "chain_head", "events", "corrections")))
    by_hand("DELETE FROM predictions", "DELETE FROM leads")
    assert verify(store).findings == ()
    assert flaws(verify(store, noted)) == {(Flaw.NOTED_HEAD_GONE, "chain_head")}


def test_a_noted_head_stays_on_the_chain_as_it_grows(store: Database) -> None:
    noted = verify(store).head
    with store.writing("key:1") as writing:
        keep(writing, "lead.submit", leads, lead(writing, 9))
    report = verify(store, noted)
    assert report.findings == () and report.head != noted
    assert verify(store, START).findings == ()
    assert flaws(verify(store, "f" * 64)) == {(Flaw.NOTED_HEAD_GONE, "chain_head")}


def test_an_added_record_is_found(store: Database, by_hand: Callable[..., None]) -> None:
    copy = "INSERT INTO audit SELECT {}, at, actor, action, subject, digest, detail, hash FROM audit WHERE seq = 16"
    by_hand(copy.format(17), copy.format(0), copy.format(1000))
    assert flaws(verify(store)) == {(Flaw.RECORD_ADDED, f"audit/{seq}") for seq in (0, 17, 1000)}


def test_records_that_changed_places_are_found(store: Database, by_hand: Callable[..., None]) -> None:
    by_hand(*(f"UPDATE audit SET seq = {new} WHERE seq = {old}" for old, new in ((5, -1), (9, 5), (-1, 9))))
    assert {(Flaw.RECORD_ALTERED, "audit/5"), (Flaw.RECORD_ALTERED, "audit/9")} <= flaws(verify(store))


def test_an_altered_hash_accuses_no_other_record(store: Database, by_hand: Callable[..., None]) -> None:
    """The row whose record no longer counts is told too."""
    by_hand(f"UPDATE audit SET hash = '{'a' * 64}' WHERE seq IN (7, 8)")
    records = {(flaw, where) for flaw, where in flaws(verify(store)) if where.startswith("audit")}
    assert records == {(Flaw.RECORD_ALTERED, "audit/7"), (Flaw.RECORD_ALTERED, "audit/8")}


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE chain_head SET hash = '{'a' * 64}'",
        "UPDATE chain_head SET seq = 15",
        "DELETE FROM chain_head",
    ],
)
def test_an_altered_head_is_found(store: Database, by_hand: Callable[..., None], statement: str) -> None:
    by_hand(statement)
    assert flaws(verify(store)) == {(Flaw.HEAD_ALTERED, "chain_head")}


# --- rows that are missing, added or elsewhere


@pytest.mark.parametrize("table", APPEND_ONLY, ids=lambda table: str(table.name))
def test_a_missing_row_is_found(store: Database, by_hand: Callable[..., None], table: Any) -> None:
    by_hand(f"DELETE FROM {table.name} WHERE seq = 2")
    ((flaw, where),) = flaws(verify(store))
    assert (flaw, where.partition("/")[0]) == (Flaw.ROW_MISSING, table.name)


def test_an_added_row_is_found(store: Database, by_hand: Callable[..., None]) -> None:
    by_hand(
        f"INSERT INTO leads SELECT 77, '{uuid(77)}', source, 'X', channel, received_at, content, redacted, "
        "content_digest FROM leads WHERE seq = 1",
        f"INSERT INTO events SELECT 77, '{uuid(77)}', type, source, lead_seq, time, data FROM events WHERE seq = 1",
    )
    assert flaws(verify(store)) == {(Flaw.ROW_UNRECORDED, "leads#77"), (Flaw.ROW_UNRECORDED, "events#77")}


def test_ciphertexts_that_changed_places_are_found(store: Database, by_hand: Callable[..., None]) -> None:
    with store.reading() as connection:
        content = dict(connection.execute(text("SELECT seq, content FROM leads WHERE seq IN (2, 3)")).all())
    for seq in (2, 3):
        by_hand(f"UPDATE leads SET content = :content WHERE seq = {seq}", content=content[5 - seq])
    assert flaws(verify(store)) == {(Flaw.ROW_ALTERED, f"leads/{uuid(2)}"), (Flaw.ROW_ALTERED, f"leads/{uuid(3)}")}


def test_what_is_found_says_so_in_chinese_and_without_the_content(
    store: Database, by_hand: Callable[..., None]
) -> None:
    by_hand("UPDATE leads SET channel = '李某某绝密' WHERE seq = 1")
    (finding,) = verify(store).findings
    assert str(finding) == f"leads/{uuid(1)}：内容与审计记录不符"
    assert len({str(Finding(flaw=flaw, where="x")) for flaw in Flaw}) == len(Flaw)


# --- lawful erasure


def emptied(connection: Connection, seq: int) -> dict[str, Any]:
    """The lead without its content, as it is stored from now on."""
    connection.execute(leads.update().where(leads.c.seq == seq).values(content=None, redacted=None))
    return dict(connection.execute(leads.select().where(leads.c.seq == seq)).mappings().one())


def test_an_erased_content_is_no_flaw(store: Database) -> None:
    with store.writing("account:chief") as writing:
        writing.record(ERASE, leads, uuid(2), emptied(writing.connection, 2), {"basis": "request"})
    with store.writing("account:wang") as writing:
        row = dict(writing.connection.execute(leads.select().where(leads.c.seq == 2)).mappings().one())
        writing.record("lead.reveal", leads, uuid(2), row)
    report = verify(store)
    assert (report.findings, report.erased, report.records) == ((), 1, 18)


def test_an_erased_row_is_no_flaw(store: Database) -> None:
    with store.writing("account:chief") as writing:
        writing.connection.execute(corrections.delete().where(corrections.c.seq == 3))
        writing.record(ERASE, corrections, uuid(103), {})
    report = verify(store)
    assert (report.findings, report.erased, report.rows) == ((), 1, 15)


def test_an_erasure_allows_nothing_but_what_it_left(store: Database, by_hand: Callable[..., None]) -> None:
    with store.writing("account:chief") as writing:
        writing.record(ERASE, leads, uuid(2), emptied(writing.connection, 2))
    by_hand("UPDATE leads SET redacted = :redacted WHERE seq = 2", redacted=b"again")
    assert flaws(verify(store)) == {(Flaw.ROW_ALTERED, f"leads/{uuid(2)}")}
    by_hand("DELETE FROM leads WHERE seq = 2")
    assert flaws(verify(store)) == {(Flaw.ROW_MISSING, f"leads/{uuid(2)}")}


def test_only_an_erasure_explains_a_change(store: Database) -> None:
    with store.writing("account:wang") as writing:
        writing.record("lead.reveal", leads, uuid(2), emptied(writing.connection, 2))
    assert flaws(verify(store)) == {(Flaw.ROW_ALTERED, f"leads/{uuid(2)}")}


def test_a_row_that_comes_back_after_its_erasure_is_found(store: Database, by_hand: Callable[..., None]) -> None:
    with store.writing("account:chief") as writing:
        before = dict(writing.connection.execute(events.select().where(events.c.seq == 3)).mappings().one())
        writing.connection.execute(events.delete().where(events.c.seq == 3))
        writing.record(ERASE, events, before["id"], {})
    with store.engine.begin() as connection:
        connection.execute(insert(events).values(before))
    assert flaws(verify(store)) == {(Flaw.ROW_ALTERED, f"events/{before['id']}")}
