"""The rows that a lead, a prediction and the view of the present become, and what is announced of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert

from data.complaint import Complaint
from models.answer import Triage
from serving.event_types import EventType
from serving.store.contents import content_context, content_digest, content_of
from serving.store.database import Writing
from serving.store.lead_rows import Tags, first_status, tags_of
from serving.store.outbox import Announcement
from serving.store.schema import lead_types

RED = "red"
POSSIBLE = 0.3  # probability of any allegation from which a lead counts as possibly alleging something


def lead_row(writing: Writing, source: str, external_id: str | None, complaint: Complaint) -> dict[str, Any]:
    """The row of a new lead, but for its redacted text."""
    keyring = writing.keyring
    return {
        "id": complaint.id,
        "source": source,
        "external_id": external_id,
        "channel": complaint.channel.value,
        "received_at": writing.now,
        "content": keyring.encrypt(content_of(complaint), content_context(complaint.id)),
        "content_digest": content_digest(keyring, complaint),
    }


def prediction_row(writing: Writing, seq: int, triage: Triage, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a prediction about lead ``seq``."""
    return {
        "lead_seq": seq,
        "bundle": triage.versions.bundle,
        "taxonomy": triage.versions.taxonomy,
        "rules": triage.versions.rules,
        "degraded": triage.degraded,
        "answer": answer,
        "created_at": writing.now,
    }


def state_row(seq: int, triage: Triage, answer: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The state of a lead that nobody has looked at."""
    tags = tags_of(answer)
    return {
        "lead_seq": seq,
        "version": 1,
        "status": first_status(answer).value,
        "department": tags.department,
        "card": tags.urgency,
        "level": triage.review.level.value,
        "alleged": bool(tags.misconduct) or triage.alleged >= POSSIBLE,
        "degraded": triage.degraded,
        "updated_at": now,
    }


def set_types(writing: Writing, seq: int, types: Sequence[str]) -> None:
    """The misconduct types that hold of lead ``seq`` from now on."""
    writing.connection.execute(lead_types.delete().where(lead_types.c.lead_seq == seq))
    if types:
        writing.connection.execute(insert(lead_types), [{"lead_seq": seq, "type": type} for type in types])


def held_data(row: Mapping[Any, Any], state: Mapping[Any, Any], tags: Tags) -> dict[str, Any]:
    """What every event says of a lead: ids, and the tags that hold."""
    return {
        "external_id": row["external_id"],
        "version": state["version"],
        "status": str(state["status"]),
        "misconduct": list(tags.misconduct),
        "department": tags.department,
        "card": tags.urgency,
    }


def event_data(
    row: Mapping[Any, Any], state: Mapping[Any, Any], answer: Mapping[str, Any], tags: Tags
) -> dict[str, Any]:
    """`held_data`, and what predicted last."""
    return {
        **held_data(row, state, tags),
        "level": answer["review"]["level"],
        "degraded": bool(state["degraded"]),
        "bundle": answer["versions"]["bundle"],
    }


def turned_red(before: str | None, now: str) -> bool:
    """Whether a card is red that was not; ``before`` is None for a lead that had none."""
    return now == RED and before != RED


def announcements(row: Mapping[str, Any], state: Mapping[str, Any], answer: Mapping[str, Any]) -> list[Announcement]:
    """What a new lead is the occasion of: being triaged, and a red card."""
    data = event_data(row, state, answer, tags_of(answer))
    kinds = [EventType.TRIAGED] + ([EventType.RED_CARD] if turned_red(None, state["card"]) else [])
    return [Announcement(type=kind, lead_seq=row["seq"], source=row["source"], data=data) for kind in kinds]
