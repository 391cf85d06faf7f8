"""What monitors ask of the database: whether it answers, and how the outbox stands.

Anybody may ask for readiness, so however many do, the database is asked at most once a second and by one thread.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from anyio.to_thread import run_sync
from sqlalchemy import func, or_, select

from serving.errors import DatabaseUnavailable
from serving.store.database import Database
from serving.store.outbox import DeliveryStatus
from serving.store.schema import deliveries, events

FRESH = 1.0  # seconds for which an answer holds
PATIENCE = 3.0  # seconds after which the database counts as not reachable


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """Deliveries that wait and those given up; how old the oldest message is that waits, and by how much the first is
    late that could be sent now, both in seconds."""

    waiting: int
    dead: int
    age_seconds: float
    late_seconds: float


class Probe:
    """Looks at one database; to be asked from the event loop."""

    def __init__(self, database: Database, *, fresh: float = FRESH, patience: float = PATIENCE) -> None:
        self._database, self._fresh, self._patience = database, fresh, patience
        self._asked = 0.0
        self._look: asyncio.Task[Outbox | None] | None = None

    async def outbox(self) -> Outbox | None:
        """How the outbox stands; None if the database cannot be asked."""
        if self._look is None or (self._look.done() and time.monotonic() - self._asked >= self._fresh):
            self._asked = time.monotonic()
            self._look = asyncio.create_task(run_sync(self._ask))
        look = self._look
        done, _ = await asyncio.wait({look}, timeout=self._patience)
        return look.result() if done else None

    def _ask(self) -> Outbox | None:
        now = datetime.now(UTC)
        waits = deliveries.c.status == DeliveryStatus.WAITING
        dead = deliveries.c.status == DeliveryStatus.DEAD
        free = or_(deliveries.c.claimed_until.is_(None), deliveries.c.claimed_until <= now)
        oldest = select(func.min(deliveries.c.event_seq)).where(waits).scalar_subquery()
        try:
            with self._database.reading() as connection:
                ask = connection.execute
                return Outbox(
                    waiting=ask(select(func.count()).select_from(deliveries).where(waits)).scalar_one(),
                    dead=ask(select(func.count()).select_from(deliveries).where(dead)).scalar_one(),
                    age_seconds=_since(now, ask(select(events.c.time).where(events.c.seq == oldest)).scalar()),
                    late_seconds=_since(now, ask(select(func.min(deliveries.c.next_at)).where(waits, free)).scalar()),
                )
        except DatabaseUnavailable:
            return None


def _since(now: datetime, moment: datetime | None) -> float:
    """Seconds since then; 0 if it lies ahead or there is none."""
    return 0.0 if moment is None else max((now - moment).total_seconds(), 0.0)
