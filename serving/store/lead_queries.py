"""Lists of leads: filters, search, pages; and the history of one."""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from data.errors import InputError
from data.privacy import redact
from serving.event_types import EventType
from serving.roles import Principal, Role
from serving.store.corrections import Kind, remark_context
from serving.store.database import Database
from serving.store.keyring import Keyring
from serving.store.lead_rows import Lead, find, load, visible, with_state
from serving.store.schema import corrections, events, lead_states, lead_types, leads, predictions
from serving.store.search import contains, matching

ROUNDS = 20  # pages of candidates looked through for one page of a search, at most
_FOR_DEPARTMENTS = (Kind.RETURN, "event")
PROOF = 16  # hexadecimal digits that vouch for a cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which leads are wanted; None or empty means any. Moments are UTC, ``received_to`` exclusive."""

    misconduct: str | None = None
    department: str | None = None
    card: str | None = None
    level: str | None = None
    status: str | None = None
    channel: str | None = None
    external_id: str | None = None
    source: str | None = None
    received_from: datetime | None = None
    received_to: datetime | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Leads, the newest first, and the cursor of the next page if there may be one."""

    leads: list[Lead]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that happened to a lead."""

    kind: str
    at: datetime
    detail: Mapping[str, Any]


def page(database: Database, who: Principal, filters: Filters, cursor: str | None, limit: int) -> Page:
    """A page of the leads that ``who`` may know of; raises InputError for a cursor that is not ours or a query too
    short. Rows added meanwhile shift nothing."""
    keyring = database.keyring
    before = _read_cursor(keyring, cursor)
    found: list[Lead] = []
    with database.reading() as connection:
        for _ in range(ROUNDS):
            chunk = _candidates(connection, keyring, who, filters, before, limit + 1)
            more = len(chunk) > limit
            for lead in load(connection, keyring, chunk[:limit]):
                before = lead.seq
                if filters.query is None or contains(lead.words.text, filters.query):
                    found.append(lead)
                if len(found) == limit:
                    break
            if not more or len(found) == limit:
                last = not more and (not chunk or before == chunk[-1]["seq"])
                return Page(leads=found, next=None if last else _cursor(keyring, before))
    return Page(leads=found, next=_cursor(keyring, before))


def _candidates(
    connection: Connection, keyring: Keyring, who: Principal, filters: Filters, before: int | None, limit: int
) -> Sequence[Mapping[Any, Any]]:
    wanted = with_state().where(leads.c.content.is_not(None), visible(who), *_conditions(keyring, filters))
    if before is not None:
        wanted = wanted.where(leads.c.seq < before)
    return connection.execute(wanted.order_by(leads.c.seq.desc()).limit(limit)).mappings().all()


def _conditions(keyring: Keyring, filters: Filters) -> list[ColumnElement[bool]]:
    equal = {
        lead_states.c.department: filters.department,
        lead_states.c.card: filters.card,
        lead_states.c.level: filters.level,
        lead_states.c.status: filters.status,
        leads.c.channel: filters.channel,
        leads.c.external_id: filters.external_id,
        leads.c.source: filters.source,
    }
    found: list[ColumnElement[bool]] = [column == value for column, value in equal.items() if value is not None]
    if filters.misconduct is not None:
        tagged = select(lead_types.c.lead_seq).where(lead_types.c.type == filters.misconduct)
        found.append(leads.c.seq.in_(tagged))
    if filters.received_from is not None:
        found.append(leads.c.received_at >= filters.received_from)
    if filters.received_to is not None:
        found.append(leads.c.received_at < filters.received_to)
    if filters.query is not None:
        found.append(matching(keyring, filters.query))
    return found


def _cursor(keyring: Keyring, seq: int | None) -> str:
    return base64.urlsafe_b64encode(f"{seq}.{_proof(keyring, str(seq))}".encode()).decode().rstrip("=")


def _proof(keyring: Keyring, seq: str) -> str:
    return keyring.digest("cursor", seq.encode())[:PROOF]


def _read_cursor(keyring: Keyring, cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        seq, _, proof = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(".")
        if not hmac.compare_digest(proof, _proof(keyring, seq)):
            raise ValueError
        return int(seq)
    except (binascii.Error, ValueError) as error:
        raise InputError("cursor_invalid", "cursor 应为上一页回答中的 next。", where="field cursor") from error


def history(database: Database, who: Principal, id: str) -> list[Step]:
    """Everything that was said about a lead and happened to it, in order; raises Missing. A department learns of
    returns and events only: what was ever suspected is not for the one who may be accused."""
    with database.reading() as connection:
        seq = find(connection, who, id)["seq"]
        said, decided, happened = (
            connection.execute(select(table).where(table.c.lead_seq == seq).order_by(table.c.seq)).mappings().all()
            for table in (predictions, corrections, events)
        )
    predicted = [Step(kind="prediction", at=row["created_at"], detail=_prediction(row)) for row in said]
    judged = [
        Step(kind=row["kind"], at=row["created_at"], detail=_correction(database.keyring, row)) for row in decided
    ]
    steps = _in_order(predicted, judged, happened)
    return [step for step in steps if who.role is not Role.DEPARTMENT or step.kind in _FOR_DEPARTMENTS]


def _in_order(predicted: list[Step], judged: list[Step], happened: Sequence[Mapping[Any, Any]]) -> list[Step]:
    """What was said, each before the event that tells of it: the clock may have gone back, events are numbered."""
    told_by = {
        EventType.TRIAGED: predicted, EventType.RETAGGED: predicted, EventType.CORRECTED: judged,
        EventType.RETURNED: judged,
    }  # fmt: skip
    steps: list[Step] = []
    for row in happened:
        said = told_by.get(EventType(row["type"]), [])
        steps += [said.pop(0)] if said else []
        steps.append(Step(kind="event", at=row["time"], detail={"id": row["id"], "type": row["type"]}))
    return steps + predicted + judged


def _prediction(row: Mapping[Any, Any]) -> dict[str, Any]:
    answer = row["answer"]
    return {
        "versions": {"bundle": row["bundle"], "taxonomy": row["taxonomy"], "rules": row["rules"]},
        "degraded": bool(row["degraded"]),
        "misconduct": [tag["type"] for tag in answer["misconduct"]],
        "department": answer["department"]["id"],
        "urgency": answer["urgency"]["card"],
        "level": answer["review"]["level"],
    }


def _correction(keyring: Keyring, row: Mapping[Any, Any]) -> dict[str, Any]:
    remark = keyring.decrypt(row["remark"], remark_context(row["id"])).decode() if row["remark"] else ""
    return {"id": row["id"], "actor": row["actor"], "reason": row["reason"], "remark": redact(remark), **row["tags"]}
