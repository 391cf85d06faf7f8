"""What people say of a lead: corrections and confirmations by reviewers, returns by departments."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import update

from data.errors import InputError
from data.policy_schema import Policy
from serving.errors import Stale
from serving.event_types import EventType
from serving.roles import Principal
from serving.store.database import Database, Writing
from serving.store.ids import new_id
from serving.store.lead_records import held_data, set_types, turned_red
from serving.store.lead_rows import Status, Tags, find, held_tags
from serving.store.outbox import announce
from serving.store.schema import corrections, lead_states


class Kind(StrEnum):
    """What a person did: changed tags, confirmed them unchanged, gave the lead back."""

    CORRECTION = "correction"
    AGREEMENT = "agreement"
    RETURN = "return"


class CorrectionReason(StrEnum):
    """Why tags were changed or confirmed."""

    CONFIRMED = "confirmed"
    WRONG_TAG = "wrong_tag"
    MISSING_TAG = "missing_tag"
    CANNOT_TELL = "cannot_tell"
    NEEDS_NEW_LABEL = "needs_new_label"
    NOT_A_COMPLAINT = "not_a_complaint"
    DUPLICATE = "duplicate"


class ReturnReason(StrEnum):
    """Why a department gives a lead back."""

    NOT_OURS = "not_ours"
    NO_AUTHORITY = "no_authority"
    ALREADY_HANDLED = "already_handled"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The tags a reviewer wants; None leaves a dimension as it is."""

    misconduct: tuple[str, ...] | None = None
    department: str | None = None
    urgency: str | None = None
    reason: str
    remark: str = ""


class CorrectionStore:
    """Adds what people say. ``versions`` are the ETags under which the lead may be: one of them, or StaleError."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database, self._taxonomy = database, policy.taxonomy

    def correct(self, who: Principal, id: str, versions: frozenset[int] | None, change: Change) -> None:
        """Decide a lead; ``versions`` None means whatever version there is.

        Raises Missing, Stale, InputError for an unknown label or a confirmation that changes something.
        """
        self._check(change)
        with self._database.writing(who.actor) as writing:
            row = _current(writing, who, id, versions)
            before = held_tags(writing.connection, row)
            tags = Tags(
                misconduct=before.misconduct if change.misconduct is None else tuple(sorted(set(change.misconduct))),
                department=change.department or before.department,
                urgency=change.urgency or before.urgency,
            )
            kind = Kind.AGREEMENT if tags == before else Kind.CORRECTION
            if kind is Kind.CORRECTION and change.reason == CorrectionReason.CONFIRMED:
                zh = "confirmed 表示同意现行标签，更改标签时请写更改的原因。"
                raise InputError("reason_conflict", zh, where="field reason")
            _add(writing, row, kind, tags, change)
            set_types(writing, row["seq"], tags.misconduct)
            state = {
                "department": tags.department, "card": tags.urgency, "alleged": bool(tags.misconduct),
                "status": Status.DECIDED.value,
            }  # fmt: skip
            data = held_data(row, _move(writing, row, state), tags)
            announce(writing, EventType.CORRECTED, row["seq"], row["source"], {**data, "kind": kind.value})
            if turned_red(before.urgency, tags.urgency):
                announce(writing, EventType.RED_CARD, row["seq"], row["source"], data)

    def give_back(self, who: Principal, id: str, versions: frozenset[int] | None, change: Change) -> None:
        """Record that the department says it is not the right one: feedback, not truth, until a reviewer decides."""
        with self._database.writing(who.actor) as writing:
            row = _current(writing, who, id, versions)
            tags = held_tags(writing.connection, row)
            _add(writing, row, Kind.RETURN, tags, change)
            data = held_data(row, _move(writing, row, {"status": Status.RETURNED.value}), tags)
            announce(writing, EventType.RETURNED, row["seq"], row["source"], {**data, "reason": change.reason})

    def _check(self, change: Change) -> None:
        ids = self._taxonomy.ids
        given = {"misconduct": change.misconduct or (), "department": _some(change.department)}
        for field, labels in {**given, "urgency": _some(change.urgency)}.items():
            for label in labels:
                if label not in ids[field]:
                    raise InputError("label_unknown", f"没有编号为“{label[:40]}”的标签。", where=f"field {field}")


def _some(label: str | None) -> tuple[str, ...]:
    return () if label is None else (label,)


def _current(writing: Writing, who: Principal, id: str, versions: frozenset[int] | None) -> Mapping[Any, Any]:
    row = find(writing.connection, who, id)
    if versions is not None and row["version"] not in versions:
        raise Stale
    return row


def _add(writing: Writing, row: Mapping[Any, Any], kind: Kind, tags: Tags, change: Change) -> None:
    id = new_id()
    said = {
        "lead_seq": row["seq"],
        "id": id,
        "kind": kind.value,
        "actor": writing.actor,
        "created_at": writing.now,
        "tags": {"misconduct": list(tags.misconduct), "department": tags.department, "urgency": tags.urgency},
        "reason": change.reason,
        "remark": writing.keyring.encrypt(change.remark.encode(), remark_context(id)) if change.remark else None,
    }
    writing.add("correction.add", corrections, [said])


def _move(writing: Writing, row: Mapping[Any, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a lead into a new state, and say which it is now."""
    new = {"version": row["version"] + 1, "updated_at": writing.now, **state}
    writing.connection.execute(update(lead_states).where(lead_states.c.lead_seq == row["seq"]).values(**new))
    return new


def remark_context(id: str) -> str:
    """What the encrypted remark of correction ``id`` is bound to."""
    return f"corrections.remark:{id}"
