"""Leads as they are read: what was sent, what was last said about it, and what holds now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, true

from data.complaint import Channel, Complaint
from serving.errors import Missing
from serving.roles import Principal, Role
from serving.store.contents import complaint_of, content_context, redacted_context
from serving.store.ids import is_id
from serving.store.keyring import Keyring
from serving.store.schema import lead_states, lead_types, leads, predictions


class Status(StrEnum):
    """Where a lead stands: taken over unchecked, waiting for a person, decided by one, given back by a department."""

    TRIAGED = "triaged"
    WAITING = "waiting"
    DECIDED = "decided"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """What holds of a lead, whoever said it."""

    misconduct: tuple[str, ...]
    department: str
    urgency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A stored complaint. ``answer`` is a prediction's JSON without the quoted words; they are cut from ``words``,
    which are redacted unless the original was asked for."""

    seq: int
    id: str
    source: str
    external_id: str | None
    channel: Channel
    received_at: datetime
    updated_at: datetime
    version: int
    status: Status
    degraded: bool
    tags: Tags
    answer: Mapping[str, Any]
    words: Complaint
    content_digest: str


_OPEN_TO_DEPARTMENTS = (Status.TRIAGED, Status.DECIDED, Status.RETURNED)


def visible(who: Principal) -> ColumnElement[bool]:
    """The leads that ``who`` may know of: a case system its own, a department those of its own that allege nothing
    and were not left for a person to look at: an accusation must not reach the accused."""
    if who.role is Role.CASE_SYSTEM:
        return leads.c.source == (who.source or "")
    if who.role is Role.DEPARTMENT:
        return and_(
            lead_states.c.department == (who.department or ""),
            lead_states.c.alleged.is_(False),
            lead_states.c.status.in_(_OPEN_TO_DEPARTMENTS),
        )
    return true()


def with_state() -> Select[Any]:
    """Leads joined with their states; the columns that both have belong to the lead."""
    states = [column for column in lead_states.c if column.name != "lead_seq"]
    return select(*leads.c, *states).select_from(leads.join(lead_states, lead_states.c.lead_seq == leads.c.seq))


def find(connection: Connection, who: Principal, id: str) -> Mapping[Any, Any]:
    """The row of a lead that ``who`` may know of; raises Missing."""
    if not is_id(id):
        raise Missing
    row = connection.execute(with_state().where(leads.c.id == id, visible(who))).mappings().first()
    if row is None or row["content"] is None:
        raise Missing
    return row


def load(
    connection: Connection, keyring: Keyring, rows: Sequence[Mapping[Any, Any]], *, first: bool = False
) -> list[Lead]:
    """The leads of ``rows`` (of `with_state`), in order, with their latest predictions; ``first``: as they were
    when they had just been stored."""
    seqs = [row["seq"] for row in rows]
    answers = _predictions(connection, seqs, first=first)
    types: dict[int, list[str]] = {seq: [] for seq in seqs}
    for one in connection.execute(select(lead_types).where(lead_types.c.lead_seq.in_(seqs))):
        types[one.lead_seq].append(one.type)
    return [_lead(keyring, row, answers[row["seq"]], types[row["seq"]], first=first) for row in rows]


def _predictions(connection: Connection, seqs: Sequence[int], *, first: bool) -> dict[int, Mapping[Any, Any]]:
    chosen = func.min(predictions.c.seq) if first else func.max(predictions.c.seq)
    wanted = select(chosen).where(predictions.c.lead_seq.in_(seqs)).group_by(predictions.c.lead_seq)
    rows = connection.execute(select(predictions).where(predictions.c.seq.in_(wanted))).mappings()
    return {row["lead_seq"]: row for row in rows}


def _lead(
    keyring: Keyring, row: Mapping[Any, Any], prediction: Mapping[Any, Any], types: Sequence[str], *, first: bool
) -> Lead:
    answer = prediction["answer"]
    now = Tags(misconduct=tuple(sorted(types)), department=row["department"], urgency=row["card"])
    return Lead(
        seq=row["seq"],
        id=row["id"],
        source=row["source"],
        external_id=row["external_id"],
        channel=Channel(row["channel"]),
        received_at=row["received_at"],
        updated_at=row["received_at"] if first else row["updated_at"],
        version=1 if first else row["version"],
        status=first_status(answer) if first else Status(row["status"]),
        degraded=bool(prediction["degraded"]) if first else row["degraded"],
        tags=tags_of(answer) if first else now,
        answer=answer,
        words=_words(keyring, row),
        content_digest=row["content_digest"],
    )


def _words(keyring: Keyring, row: Mapping[Any, Any]) -> Complaint:
    """The complaint as readers see it: the same utterances over the redacted text, as long as the original."""
    id = row["id"]
    original = original_of(keyring, row)
    text = keyring.decrypt(row["redacted"], redacted_context(id)).decode()
    return Complaint(
        id=id, text=text, utterances=original.utterances, channel=original.channel, from_turns=original.from_turns
    )


def original_of(keyring: Keyring, row: Mapping[Any, Any]) -> Complaint:
    """The complaint as it was sent."""
    content = keyring.decrypt(row["content"], content_context(row["id"]))
    return complaint_of(row["id"], content, Channel(row["channel"]))


def tags_of(answer: Mapping[str, Any]) -> Tags:
    """The tags that a prediction suggests."""
    return Tags(
        misconduct=tuple(sorted(tag["type"] for tag in answer["misconduct"])),
        department=answer["department"]["id"],
        urgency=answer["urgency"]["card"],
    )


def held_tags(connection: Connection, row: Mapping[Any, Any]) -> Tags:
    """The tags that hold of the lead of ``row`` (of `with_state`)."""
    types = connection.execute(select(lead_types.c.type).where(lead_types.c.lead_seq == row["seq"])).scalars()
    return Tags(misconduct=tuple(sorted(types)), department=row["department"], urgency=row["card"])


def first_status(answer: Mapping[str, Any]) -> Status:
    """Whether a person must look at what was predicted."""
    return Status.TRIAGED if answer["review"]["level"] == "auto" else Status.WAITING
