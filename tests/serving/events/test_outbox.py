"""Announcing: in the transaction in which it happened, to those it is for, without words; and reading it back."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from serving.errors import Missing
from serving.event_types import EventType
from serving.store.audit import verify
from serving.store.database import Database
from serving.store.outbox import Announcement, announce, announce_all, events_after, replay
from serving.store.schema import audit, deliveries, events
from serving.store.subscriptions import SubscriptionStore

NOTHING = "00000000-0000-4000-8000-000000000000"


def count(database: Database, table: Any) -> int:
    with database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_an_event_waits_for_each_subscriber_it_is_for(outbox: Any) -> None:
    everything = outbox.subscribe()
    outbox.subscribe("http://127.0.0.1:9/", EventType.RED_CARD, EventType.CORRECTED)
    outbox.subscribe(source="window")
    own = outbox.subscribe(source="hotline")
    former = outbox.subscribe()
    SubscriptionStore(outbox.database).disable("test", former)
    id = outbox.announce(EventType.TRIAGED)
    waiting = outbox.deliveries()
    assert {row.subscription_id for row in waiting} == {everything, own}
    for row in waiting:
        assert (row.event_id, row.status, row.attempts, row.claimed_until) == (id, "waiting", 0, None)


def test_an_event_without_subscribers_is_there_to_be_asked_for(outbox: Any) -> None:
    id = outbox.announce(EventType.CORRECTED, card="red", version=3)
    (event,) = events_after(outbox.database, None, 0, (), 10).events
    assert (event.id, event.type, event.source) == (id, EventType.CORRECTED, "hotline")
    assert event.data == {"card": "red", "version": 3}
    assert not outbox.deliveries()


def test_events_are_in_the_audit_chain(outbox: Any) -> None:
    outbox.subscribe()
    id = outbox.announce()
    assert replay(outbox.database, "key:1", id) == 1
    with outbox.database.reading() as connection:
        found = select(audit.c.actor, audit.c.action).where(audit.c.subject == f"events/{id}").order_by(audit.c.seq)
        assert list(connection.execute(found)) == [("test", "event.announce"), ("key:1", "event.replay")]
    assert not verify(outbox.database).findings


def test_what_is_rolled_back_was_not_announced(outbox: Any) -> None:
    outbox.subscribe()
    lead = outbox.lead()
    with pytest.raises(RuntimeError), outbox.database.writing("test") as writing:
        announce(writing, EventType.TRIAGED, lead, "hotline", {})
        raise RuntimeError
    assert count(outbox.database, events) == count(outbox.database, deliveries) == 0


def test_many_are_announced_in_the_order_given(outbox: Any) -> None:
    outbox.subscribe("http://127.0.0.1:9/", EventType.RED_CARD)
    lead = outbox.lead()
    types = [EventType.RED_CARD if number % 3 == 0 else EventType.TRIAGED for number in range(1200)]
    with outbox.database.writing("test") as writing:
        announce_all(
            writing,
            [
                Announcement(type=type, lead_seq=lead, source="hotline", data={"number": number})
                for number, type in enumerate(types)
            ],
        )
        announce_all(writing, [])
    found = events_after(outbox.database, None, 0, (), 2000).events
    assert [event.data["number"] for event in found] == list(range(1200))
    assert [event.type for event in found] == types
    assert len(outbox.deliveries()) == 400
    assert not verify(outbox.database).findings


WORDS = {
    "Chinese": {"remark": "窗口没人"},
    "a sentence": {"remark": "nobody at the window"},
    "in a list": {"tags": ["ok", {"why": "推诿"}]},
    "a long text": {"text": "x" * 201},
    "a field name": {"投诉": 1},
    "not JSON": {"at": object()},
    "no number": {"p": float("nan")},
}


@pytest.mark.parametrize("data", WORDS.values(), ids=WORDS)
def test_no_words_get_into_an_event(outbox: Any, data: dict[str, Any]) -> None:
    lead = outbox.lead()
    with pytest.raises(ValueError, match="data of an event") as error, outbox.database.writing("test") as writing:
        announce(writing, EventType.TRIAGED, lead, "hotline", data)
    assert not any(str(value) in str(error.value) for value in data.values())
    assert count(outbox.database, events) == 0


def test_ids_labels_and_numbers_do(outbox: Any) -> None:
    data = {
        "external_id": "热线 2026-0001",
        "types": ["perfunctory"],
        "card": "red",
        "p": 0.5,
        "unit": None,
        "ok": True,
        "bundle": "本县 2026-0123456789ab",
    }
    outbox.announce(**data)
    assert events_after(outbox.database, None, 0, (), 1).events[0].data == data


# --- reading


@pytest.fixture
def told(outbox: Any) -> Any:
    """Six events of two sources."""
    for number in range(6):
        type = EventType.RED_CARD if number == 3 else EventType.TRIAGED
        outbox.announce(type, source=("hotline", "window")[number % 2], number=number)
    return outbox


def read(database: Database, source: str | None, types: tuple[EventType, ...] = (), limit: int = 2) -> list[int]:
    """All events page by page."""
    found, after, more = [], 0, True
    while more:
        page = events_after(database, source, after, types, limit)
        assert len(page.events) <= limit
        found += [event.data["number"] for event in page.events]
        after, more = page.last, page.more
    assert events_after(database, source, after, types, limit).events == ()
    return found


def test_events_are_read_page_by_page_without_gap_or_repetition(told: Any) -> None:
    assert read(told.database, None) == [0, 1, 2, 3, 4, 5]
    assert read(told.database, "window", limit=1) == [1, 3, 5]
    assert read(told.database, "nobody") == []
    assert read(told.database, None, (EventType.RED_CARD,)) == [3]
    assert read(told.database, "hotline", (EventType.RED_CARD,)) == []
    assert read(told.database, None, (EventType.RED_CARD, EventType.TRIAGED), limit=6) == [0, 1, 2, 3, 4, 5]


def test_who_finds_nothing_need_not_look_there_again(told: Any) -> None:
    whole = events_after(told.database, None, 0, (), 10).last
    assert events_after(told.database, "nobody", 0, (), 10).last == whole
    assert events_after(told.database, None, whole + 5, (), 10).last == whole + 5


def test_a_reader_misses_nothing_while_others_write(outbox: Any) -> None:
    leads = [outbox.lead() for _ in range(3)]

    def write(lead: int) -> None:
        for _ in range(20):
            with outbox.database.writing("test") as writing:
                announce(writing, EventType.TRIAGED, lead, "hotline", {})

    writers = [threading.Thread(target=write, args=(lead,)) for lead in leads]
    for writer in writers:
        writer.start()
    seen, after = [], 0
    while any(writer.is_alive() for writer in writers) or len(seen) < 60:
        page = events_after(outbox.database, None, after, (), 7)
        seen += [event.seq for event in page.events]
        after = page.last
    for writer in writers:
        writer.join()
    assert seen == sorted(set(seen)) and len(seen) == 60 == count(outbox.database, events)


# --- replaying


def test_a_replay_is_for_those_who_subscribe_now(outbox: Any, settle_all: Callable[[bool], None]) -> None:
    first, leaving = outbox.subscribe(), outbox.subscribe()
    id = outbox.announce()
    settle_all(True)
    SubscriptionStore(outbox.database).disable("test", leaving)
    late = outbox.subscribe()
    outbox.subscribe(source="window")
    assert replay(outbox.database, "test", id) == 2
    waiting = outbox.deliveries(status="waiting")
    assert {row.subscription_id for row in waiting} == {first, late}
    assert all(row.attempts == 0 and row.claimed_until is None for row in waiting)
    assert [row.status for row in outbox.deliveries(subscription_id=leaving)] == ["delivered"]


@pytest.mark.parametrize("id", [NOTHING, "x", "\0" * 36, "编号"])
def test_what_never_happened_cannot_be_replayed(outbox: Any, id: str) -> None:
    with pytest.raises(Missing):
        replay(outbox.database, "test", id)
