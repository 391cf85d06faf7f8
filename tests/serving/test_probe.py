"""What monitors learn of the database, on both kinds, without being able to burden it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from serving.probe import Outbox, Probe
from serving.store.database import Database
from serving.store.ids import new_id
from serving.store.keyring import Keyring
from serving.store.outbox import DeliveryStatus, EventType
from serving.store.schema import deliveries, events, leads, subscriptions

EMPTY = Outbox(waiting=0, dead=0, age_seconds=0.0, late_seconds=0.0)


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def deliver(database: Database, *rows: dict[str, object]) -> None:
    """One event a row, as old as ``old`` seconds, with a delivery like the rest of the row."""
    with database.writing("test") as writing:
        ids = {"lead": new_id(), "subscription": new_id()}
        subscriber = {"id": ids["subscription"], "url": "http://127.0.0.1/", "secret": b"", "types": []}
        writing.connection.execute(insert(subscriptions).values(subscriber | {"created_at": ago(0)}))
        lead = {"id": ids["lead"], "source": "s", "channel": "web", "received_at": ago(0), "content_digest": ""}
        seq = writing.connection.execute(insert(leads).values(lead).returning(leads.c.seq)).scalar_one()
        for row in rows:
            _deliver(writing.connection, seq, ids["subscription"], dict(row))


def _deliver(connection: Connection, lead: int, subscription: str, row: dict[str, object]) -> None:
    happened = {"id": new_id(), "type": EventType.TRIAGED, "source": "s", "lead_seq": lead, "data": {}}
    happened["time"] = ago(float(str(row.pop("old"))))
    event = connection.execute(insert(events).values(happened).returning(events.c.seq)).scalar_one()
    given = {"status": DeliveryStatus.WAITING, "attempts": 0, "next_at": ago(0), **row}
    connection.execute(insert(deliveries).values(event_seq=event, subscription_id=subscription, **given))


def outbox(probe: Probe) -> Outbox | None:
    return asyncio.run(probe.outbox())


def test_an_empty_outbox(database: Database) -> None:
    assert outbox(Probe(database)) == EMPTY


def test_depth_age_and_lateness(database: Database) -> None:
    deliver(
        database,
        {"old": 9000, "status": DeliveryStatus.DELIVERED},
        {"old": 8000, "status": DeliveryStatus.DEAD},
        {"old": 500, "attempts": 3, "next_at": ago(-100)},  # tried, and waiting for its next try
        {"old": 400, "next_at": ago(300), "claimed_until": ago(-30)},  # being sent
        {"old": 90, "next_at": ago(80)},
    )
    found = outbox(Probe(database))
    assert found is not None
    assert (found.waiting, found.dead) == (3, 1)
    assert found.age_seconds == pytest.approx(500, abs=20)
    assert found.late_seconds == pytest.approx(80, abs=20)


def test_a_clock_that_was_set_back_makes_nothing_late(database: Database) -> None:
    deliver(database, {"old": -600, "next_at": ago(-600)})
    assert outbox(Probe(database)) == Outbox(waiting=1, dead=0, age_seconds=0.0, late_seconds=0.0)


def test_a_database_that_is_gone_is_none(tmp_path: Path) -> None:
    url = "postgresql+psycopg://postgres@127.0.0.1:1/nothing"
    database = Database(url, Keyring.load(tmp_path / "secret.key"))
    assert outbox(Probe(database)) is None


class Slow(Database):
    """A database that counts how often it is read, and takes its time."""

    seconds, reads = 0.0, 0

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        self.reads += 1
        time.sleep(self.seconds)
        with super().reading() as connection:
            yield connection


@pytest.fixture
def slow(database_url: str, keyring: Keyring) -> Iterator[Slow]:
    database = Slow(database_url, keyring)
    yield database
    database.engine.dispose()


def test_many_at_once_ask_once_and_an_answer_holds_for_a_moment(slow: Slow) -> None:
    probe = Probe(slow, fresh=0.3)

    async def ask() -> None:
        assert await asyncio.gather(*(probe.outbox() for _ in range(50))) == [EMPTY] * 50
        assert await probe.outbox() == EMPTY
        assert slow.reads == 1
        await asyncio.sleep(0.35)
        assert await probe.outbox() == EMPTY
        assert slow.reads == 2

    asyncio.run(ask())


def test_a_database_that_hangs_is_given_up_soon_and_asked_by_one_thread(slow: Slow) -> None:
    slow.seconds = 0.6
    probe = Probe(slow, fresh=0.0, patience=0.1)

    async def ask() -> None:
        begun = time.monotonic()
        assert await asyncio.gather(*(probe.outbox() for _ in range(20))) == [None] * 20
        assert await probe.outbox() is None
        assert time.monotonic() - begun < 0.5
        assert slow.reads == 1
        await asyncio.sleep(0.6)
        slow.seconds = 0.0
        assert await probe.outbox() == EMPTY

    asyncio.run(ask())
