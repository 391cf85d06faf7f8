"""The outbox: what happened to leads, written down in the transaction in which it happened, with who is to be told.

Transactions that announce follow one another (`Database.writing`), so the events are there in the order of ``seq``:
whoever has read up to one has missed none before it.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from serving.errors import Missing
from serving.event_types import EventType
from serving.store.database import Database, Writing
from serving.store.ids import is_id, new_id
from serving.store.schema import deliveries, events, leads, subscriptions

__all__ = [
    "Announcement", "DeliveryStatus", "Event", "EventPage", "EventType", "announce", "announce_all", "events_after",
    "replay",
]  # fmt: skip
FREE = frozenset({"external_id", "bundle"})  # what callers, and those who make bundles, name as they like
NO_EVENT = "没有这个编号的消息。"
_PLAIN = re.compile(r"[\x21-\x7e]{0,200}")


class DeliveryStatus(StrEnum):
    """How far it is with telling one subscriber of one event; DEAD: given up."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a lead of ``source`` at ``time`` (UTC)."""

    seq: int
    id: str
    type: EventType
    source: str
    lead_id: str
    time: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What is to become an event."""

    type: EventType
    lead_seq: int
    source: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Events in order, and the ``seq`` after which to go on; ``more`` if there are more already."""

    events: tuple[Event, ...]
    last: int
    more: bool


EVENT = (events.c.seq.label("event_seq"), events.c.id.label("event_id"), events.c.type, events.c.source.label("origin"),
         events.c.time, events.c.data, leads.c.id.label("lead_id"))  # fmt: skip


_QUEUED = insert(deliveries)
_ENABLED = select(subscriptions.c.id, subscriptions.c.types, subscriptions.c.source).where(
    subscriptions.c.disabled_at.is_(None)
)


def event_of(row: Any) -> Event:
    """The event in a row with the columns ``EVENT``."""
    return Event(
        seq=row.event_seq,
        id=row.event_id,
        type=EventType(row.type),
        source=row.origin,
        lead_id=row.lead_id,
        time=row.time,
        data=row.data,
    )


def announce(writing: Writing, type: EventType, lead_seq: int, source: str, data: Mapping[str, Any]) -> None:
    """Write down that this happened to a lead of ``source``, and that every matching subscriber is to be told.

    ``data`` holds ids, labels, numbers and versions, never words of the complaint: raises ValueError for any text with
    blanks or beyond ASCII, except the names under ``FREE``.
    """
    announce_all(writing, [Announcement(type=type, lead_seq=lead_seq, source=source, data=data)])


def announce_all(writing: Writing, happened: Sequence[Announcement]) -> None:
    """`announce` for many, in this order, at a fraction of the cost."""
    rows = [_row(writing, one) for one in happened]
    if not rows:
        return
    writing.add("event.announce", events, rows)
    enabled = _enabled(writing.connection)
    _queue(writing, [(row["seq"], one) for row in rows for one in _subscribers(enabled, row["type"], row["source"])])


def _row(writing: Writing, one: Announcement) -> dict[str, Any]:
    check_plain(one.data)
    return {
        "id": new_id(),
        "type": one.type.value,
        "source": one.source,
        "lead_seq": one.lead_seq,
        "time": writing.now,
        "data": dict(one.data),
    }


def _enabled(connection: Connection) -> Sequence[Any]:
    return connection.execute(_ENABLED).all()


def _subscribers(enabled: Iterable[Any], type: str, source: str) -> list[str]:
    """The ids of the subscriptions that such an event is for."""
    return [one.id for one in enabled if type in one.types and one.source in {None, source}]


def events_after(
    database: Database, source: str | None, after: int, types: Collection[EventType], limit: int
) -> EventPage:
    """Up to ``limit`` events after the one of ``seq`` ``after``: of ``source`` or of all, of ``types`` or of all.

    ``last`` is how far was looked, so that nobody looks twice at events that are not theirs.
    """
    wanted: list[ColumnElement[bool]] = [events.c.seq > after]
    if source is not None:
        wanted.append(events.c.source == source)
    if types:
        wanted.append(events.c.type.in_([type.value for type in types]))
    found = select(*EVENT).join(leads, leads.c.seq == events.c.lead_seq).where(*wanted).order_by(events.c.seq)
    with database.reading() as connection:
        rows = connection.execute(found.limit(limit + 1)).all()
        end = connection.execute(select(func.max(events.c.seq))).scalar() or 0
    page, more = rows[:limit], len(rows) > limit
    return EventPage(events=tuple(map(event_of, page)), last=page[-1].event_seq if more else max(end, after), more=more)


def replay(database: Database, actor: str, id: str) -> int:
    """Tell everyone again whom this event is for today, as if it had just happened; says how many those are.

    Raises Missing.
    """
    if not is_id(id):
        raise Missing(NO_EVENT)
    with database.writing(actor) as writing:
        row = writing.connection.execute(select(events).where(events.c.id == id)).mappings().first()
        if row is None:
            raise Missing(NO_EVENT)
        receivers = _subscribers(_enabled(writing.connection), row["type"], row["source"])
        again = deliveries.c.event_seq == row["seq"], deliveries.c.subscription_id.in_(receivers)
        known = lock(writing.connection, *again)
        writing.connection.execute(update(deliveries).where(*again).values(_fresh(writing)))
        _queue(writing, [(row["seq"], receiver) for receiver in receivers if receiver not in known])
        writing.record("event.replay", events, id, row, {"deliveries": len(receivers)})
    return len(receivers)


def lock(connection: Connection, *which: ColumnElement[bool]) -> set[str]:
    """Lock these deliveries in the one order in which no two transactions wait for each other; whose they are."""
    found = select(deliveries.c.subscription_id).where(*which).order_by(deliveries.c.seq).with_for_update()
    return set(connection.execute(found).scalars())


def _queue(writing: Writing, addressed: Iterable[tuple[int, str]]) -> None:
    fresh = _fresh(writing)
    rows = [{**fresh, "event_seq": event, "subscription_id": receiver} for event, receiver in addressed]
    if rows:
        writing.connection.execute(_QUEUED, rows)


def _fresh(writing: Writing) -> dict[str, Any]:
    return {"status": DeliveryStatus.WAITING.value, "attempts": 0, "next_at": writing.now, "claimed_until": None}


def check_plain(value: Any) -> None:
    """Raises ValueError if ``value`` has room for words of a complaint."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            check_plain(key)
            if key not in FREE:
                check_plain(one)
    elif isinstance(value, list | tuple):
        for one in value:
            check_plain(one)
    elif isinstance(value, str):
        if not _PLAIN.fullmatch(value):
            raise ValueError("the data of an event holds ids, labels and numbers only")
    elif not isinstance(value, bool | int | float | None) or (isinstance(value, float) and not isfinite(value)):
        raise ValueError("the data of an event is plain JSON")
