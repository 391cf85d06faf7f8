"""Telling subscribers of events, at least once: what is due, who has taken it on, what became of it.

A server takes a delivery on for the length of a lease, so that what a killed server had taken on is taken up again.
None waits for longer than its back-off allows, whatever the clock does: a moment further ahead counts as past.
"""

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Update, and_, case, func, literal, or_, select, update

from serving.event_types import EventType
from serving.store.database import Database
from serving.store.outbox import EVENT, DeliveryStatus, Event, event_of
from serving.store.schema import deliveries, events, leads, subscriptions

WAITS = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 3600, 21600))  # after the first, second, … failure
LONGEST_WAIT = timedelta(hours=12)  # after every later one
MOST_ATTEMPTS = 12
JITTER = 0.2  # a wait is so much shorter or longer
SKEW = timedelta(seconds=60)  # how far the clocks of two servers may differ
_SELECTED = (
    select(deliveries.c.seq, deliveries.c.subscription_id, deliveries.c.attempts, deliveries.c.answered,
           subscriptions.c.url, subscriptions.c.secret, *EVENT)
    .join(subscriptions, subscriptions.c.id == deliveries.c.subscription_id)
    .join(events, events.c.seq == deliveries.c.event_seq)
    .join(leads, leads.c.seq == events.c.lead_seq)
)  # fmt: skip
_ORDER = (case((events.c.type == EventType.RED_CARD.value, 0), else_=1), deliveries.c.next_at, deliveries.c.seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A delivery that this server has taken on ``until`` then; ``attempts`` failed before. ``secret`` is encrypted."""

    seq: int
    subscription_id: str
    url: str
    secret: bytes
    attempts: int
    until: datetime
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a claim: ``answered`` is the HTTP status or the kind of failure, at most 80 characters."""

    claim: Claim
    delivered: bool
    answered: str

    @property
    def given_up(self) -> bool:
        return not self.delivered and self.claim.attempts + 1 >= MOST_ATTEMPTS


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that was given up."""

    seq: int
    subscription_id: str
    url: str
    attempts: int
    answered: str | None
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterPage:
    """Dead letters, the newest first; ``before`` is where the next page begins, None where there is none."""

    letters: tuple[DeadLetter, ...]
    before: int | None


def backoff(failures: int, chance: float = 0.5) -> timedelta:
    """How long to wait after so many failures (from 1); ``chance`` in [0, 1] spreads it by ±``JITTER``."""
    wait = WAITS[failures - 1] if failures <= len(WAITS) else LONGEST_WAIT
    return wait * (1 - JITTER + 2 * JITTER * chance)


def claim(
    database: Database, most: int, lease: timedelta, *, now: datetime, in_flight: Collection[Claim] = ()
) -> list[Claim]:
    """Take on what is due, red cards first: so much that at most ``most`` of each subscription are in flight here.

    ``in_flight`` is what this server is still sending. Raises DatabaseUnavailable.
    """
    due = _due(now, lease)
    found = _candidates(database, most, due, in_flight)
    if not found:
        return []
    chosen = _SELECTED.where(deliveries.c.seq.in_(found), due).order_by(*_ORDER)
    with database.changing() as connection:
        rows = connection.execute(chosen.with_for_update(of=deliveries, skip_locked=True)).all()
        if rows:
            taken = update(deliveries).where(deliveries.c.seq.in_([row.seq for row in rows]))
            connection.execute(taken.values(claimed_until=now + lease))
    return [_claim(row, now + lease) for row in rows]


def settle(
    database: Database,
    outcomes: Iterable[Outcome],
    *,
    now: datetime,
    chance: Callable[[], float] = random.random,
) -> None:
    """Note what became of claims. What failed is due again after its back-off, or given up after the last attempt.

    A failure counts only as long as the claim holds; that something was delivered is true in any case.
    """
    with database.changing() as connection:
        for outcome in sorted(outcomes, key=lambda one: one.claim.seq):
            connection.execute(_settled(outcome, now, chance()))


def dead_letters(
    database: Database, source: str | None = None, *, before: int | None = None, limit: int = 100
) -> DeadLetterPage:
    """What was given up: of the subscriptions of ``source`` or of all."""
    found = _SELECTED.where(deliveries.c.status == DeliveryStatus.DEAD.value).order_by(deliveries.c.seq.desc())
    if source is not None:
        found = found.where(subscriptions.c.source == source)
    if before is not None:
        found = found.where(deliveries.c.seq < before)
    with database.reading() as connection:
        rows = connection.execute(found.limit(limit + 1)).all()
    page = rows[:limit]
    return DeadLetterPage(letters=tuple(map(_dead_letter, page)), before=page[-1].seq if len(rows) > limit else None)


def _due(now: datetime, lease: timedelta) -> ColumnElement[bool]:
    """Waits, for no good reason any more, and nobody has taken it on. What was never tried has nothing to wait for."""
    latest = {n: _moment(now + backoff(n, 1.0) + SKEW) for n in range(1, len(WAITS) + 1)}
    farthest = case(latest, value=deliveries.c.attempts, else_=_moment(now + LONGEST_WAIT * (1 + JITTER) + SKEW))
    until = deliveries.c.claimed_until
    return and_(
        deliveries.c.status == DeliveryStatus.WAITING.value,
        or_(deliveries.c.attempts == 0, deliveries.c.next_at <= now, deliveries.c.next_at > farthest),
        or_(until.is_(None), until <= now, until > now + lease + SKEW),
    )


def _moment(moment: datetime) -> ColumnElement[datetime]:
    return literal(moment, deliveries.c.next_at.type)


def _candidates(database: Database, most: int, due: ColumnElement[bool], in_flight: Collection[Claim]) -> list[int]:
    """The first of each subscription that are due, as many as it has room for; locks nothing."""
    busy = Counter(one.subscription_id for one in in_flight)
    full = [id for id, count in busy.items() if count >= most]
    place = func.row_number().over(partition_by=deliveries.c.subscription_id, order_by=_ORDER).label("place")
    ranked = (
        select(deliveries.c.seq, deliveries.c.subscription_id, place)
        .join(events, events.c.seq == deliveries.c.event_seq)
        .where(due, deliveries.c.subscription_id.not_in(full))
        .where(deliveries.c.seq.not_in([one.seq for one in in_flight]))
        .subquery()
    )
    with database.reading() as connection:
        rows = connection.execute(select(ranked).where(ranked.c.place <= most).order_by(ranked.c.place)).all()
    return [row.seq for row in rows if row.place <= most - busy[row.subscription_id]]


def _settled(outcome: Outcome, now: datetime, chance: float) -> Update:
    claim = outcome.claim
    attempts = claim.attempts + 1
    change: dict[str, Any] = {"attempts": attempts, "answered": outcome.answered, "claimed_until": None}
    settled = update(deliveries).where(deliveries.c.seq == claim.seq)
    if outcome.delivered:
        return settled.values(change | {"status": DeliveryStatus.DELIVERED.value, "delivered_at": now})
    settled = settled.where(
        deliveries.c.status == DeliveryStatus.WAITING.value, deliveries.c.claimed_until == claim.until
    )
    if outcome.given_up:
        return settled.values(change | {"status": DeliveryStatus.DEAD.value})
    return settled.values(change | {"next_at": now + backoff(attempts, chance)})


def _claim(row: Any, until: datetime) -> Claim:
    return Claim(
        seq=row.seq,
        subscription_id=row.subscription_id,
        url=row.url,
        secret=row.secret,
        attempts=row.attempts,
        until=until,
        event=event_of(row),
    )


def _dead_letter(row: Any) -> DeadLetter:
    return DeadLetter(
        seq=row.seq,
        subscription_id=row.subscription_id,
        url=row.url,
        attempts=row.attempts,
        answered=row.answered,
        event=event_of(row),
    )
