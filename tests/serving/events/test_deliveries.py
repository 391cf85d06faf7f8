"""Who takes on what and when; what becomes of it, whatever servers and clocks do."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from serving.event_types import EventType
from serving.store.database import Database
from serving.store.deliveries import (
    MOST_ATTEMPTS,
    SKEW,
    Claim,
    Outcome,
    backoff,
    claim,
    dead_letters,
    settle,
)
from serving.store.outbox import replay

LEASE = timedelta(seconds=60)
Take = Callable[..., list[Claim]]


@pytest.fixture
def take(database: Database, clock: Any) -> Take:
    """Claims what is due now."""

    def taken(most: int = 100, in_flight: Any = ()) -> list[Claim]:
        return claim(database, most, LEASE, now=clock(), in_flight=in_flight)

    return taken


def failed(one: Claim, answered: str = "HTTP 503") -> Outcome:
    return Outcome(claim=one, delivered=False, answered=answered)


def delivered(one: Claim) -> Outcome:
    return Outcome(claim=one, delivered=True, answered="HTTP 200")


def test_a_claim_has_what_is_needed_to_send(outbox: Any, take: Take, clock: Any) -> None:
    subscription = outbox.subscribe("http://127.0.0.1:9/x")
    id = outbox.announce(EventType.CORRECTED, version=2)
    (one,) = take()
    assert (one.subscription_id, one.url, one.attempts) == (subscription, "http://127.0.0.1:9/x", 0)
    assert (one.event.id, one.event.type, one.event.data) == (id, EventType.CORRECTED, {"version": 2})
    assert one.until == clock() + LEASE


def test_what_was_taken_on_is_not_taken_on_again_until_the_lease_is_over(outbox: Any, take: Take, clock: Any) -> None:
    outbox.subscribe()
    outbox.announce()
    (first,) = take()
    assert take() == []
    clock.advance(seconds=59)
    assert take() == []
    clock.advance(seconds=1)
    (again,) = take()
    assert again.seq == first.seq and again.attempts == 0


def test_what_was_delivered_is_done(outbox: Any, take: Take, clock: Any) -> None:
    outbox.subscribe()
    outbox.announce()
    settle(outbox.database, map(delivered, take()), now=clock())
    clock.advance(days=30)
    assert take() == []
    (row,) = outbox.deliveries()
    assert (row.status, row.attempts, row.answered, row.claimed_until) == ("delivered", 1, "HTTP 200", None)
    assert row.delivered_at is not None


def test_red_cards_go_first(outbox: Any, take: Take, clock: Any) -> None:
    outbox.subscribe()
    ordinary = [outbox.announce() for _ in range(5)]
    red = [outbox.announce(EventType.RED_CARD) for _ in range(2)]
    assert [one.event.id for one in take(3)] == [*red, ordinary[0]]
    assert [one.event.id for one in take(3)] == ordinary[1:4]


def test_a_red_card_that_is_due_again_goes_first_too(outbox: Any, take: Take, clock: Any) -> None:
    outbox.subscribe()
    red = outbox.announce(EventType.RED_CARD)
    settle(outbox.database, map(failed, take()), now=clock(), chance=lambda: 0.5)
    ordinary = outbox.announce()
    clock.advance(seconds=5)
    assert [one.event.id for one in take(2)] == [red, ordinary]


def test_each_subscriber_has_places_of_its_own(outbox: Any, take: Take) -> None:
    many = outbox.subscribe(source="hotline")
    few = outbox.subscribe(source="window")
    for _ in range(6):
        outbox.announce()
    outbox.announce(source="window")
    first = take(4)
    assert sorted(one.subscription_id for one in first) == sorted([many] * 4 + [few])
    assert take(4, in_flight=first) == []
    busy = [one for one in first if one.subscription_id == many][:3]
    assert [one.subscription_id for one in take(4, in_flight=busy)] == [many]


def test_what_is_in_flight_is_not_taken_on_again_even_if_its_lease_is_over(outbox: Any, take: Take, clock: Any) -> None:
    outbox.subscribe()
    outbox.announce()
    mine = take()
    clock.advance(hours=1)
    assert take(in_flight=mine) == []
    assert len(take()) == 1


# --- failures


EXPECTED = (5, 30, 120, 600, 3600, 21600, 43200, 43200, 43200, 43200, 43200)


def test_waits_grow_and_are_spread() -> None:
    assert [backoff(failures).total_seconds() for failures in range(1, MOST_ATTEMPTS)] == list(EXPECTED)
    assert backoff(3, 0.0) == timedelta(seconds=96) and backoff(3, 1.0) == timedelta(seconds=144)


def test_twelve_failures_with_growing_waits_and_it_is_dead(outbox: Any, take: Take, clock: Any) -> None:
    outbox.subscribe()
    outbox.announce()
    for number, seconds in enumerate(EXPECTED):
        (one,) = take()
        assert one.attempts == number
        settle(outbox.database, [failed(one)], now=clock(), chance=lambda: 0.5)
        clock.advance(seconds=seconds - 0.001)
        assert take() == [], f"too early after failure {number + 1}"
        clock.advance(seconds=0.001)
    (last,) = take()
    assert failed(last).given_up
    settle(outbox.database, [failed(last, "timed_out")], now=clock())
    (row,) = outbox.deliveries()
    assert (row.status, row.attempts, row.answered) == ("dead", 12, "timed_out")
    clock.advance(days=30)
    assert take() == []


def test_a_replay_begins_anew(outbox: Any, take: Take, clock: Any) -> None:
    outbox.subscribe()
    id = outbox.announce()
    for _ in range(MOST_ATTEMPTS):
        settle(outbox.database, map(failed, take()), now=clock())
        clock.advance(days=1)
    assert len(dead_letters(outbox.database).letters) == 1
    assert replay(outbox.database, "test", id) == 1
    assert dead_letters(outbox.database).letters == ()
    (one,) = take()
    assert one.attempts == 0
    settle(outbox.database, [delivered(one)], now=clock())
    assert [row.status for row in outbox.deliveries()] == ["delivered"]


def test_a_late_failure_does_not_undo_what_another_server_did(outbox: Any, take: Take, clock: Any) -> None:
    outbox.subscribe()
    outbox.announce()
    (slow,) = take()
    clock.advance(minutes=2)
    (other,) = take()
    settle(outbox.database, [failed(slow)], now=clock())
    (row,) = outbox.deliveries()
    assert (row.attempts, row.claimed_until) == (0, other.until), "the claim of the other holds"
    settle(outbox.database, [delivered(other)], now=clock())
    settle(outbox.database, [failed(slow)], now=clock())
    assert [row.status for row in outbox.deliveries()] == ["delivered"]


def test_a_late_success_counts(outbox: Any, take: Take, clock: Any) -> None:
    outbox.subscribe()
    outbox.announce()
    (slow,) = take()
    clock.advance(minutes=2)
    (other,) = take()
    settle(outbox.database, [delivered(slow)], now=clock())
    settle(outbox.database, [failed(other)], now=clock())
    assert [row.status for row in outbox.deliveries()] == ["delivered"]


def test_dead_letters_page_by_page_the_newest_first(outbox: Any, take: Take, clock: Any) -> None:
    subscription = outbox.subscribe("http://127.0.0.1:9/x", source="hotline")
    ids = [outbox.announce() for _ in range(5)]
    outbox.subscribe(source="window")
    other = outbox.announce(source="window")
    for _ in range(MOST_ATTEMPTS):
        settle(outbox.database, map(failed, take()), now=clock())
        clock.advance(days=1)
    assert [letter.event.id for letter in dead_letters(outbox.database).letters] == [other, *reversed(ids)]
    first = dead_letters(outbox.database, "hotline", limit=3)
    rest = dead_letters(outbox.database, "hotline", before=first.before, limit=3)
    assert [one.event.id for one in (*first.letters, *rest.letters)] == list(reversed(ids))
    assert rest.before is None
    letter = first.letters[0]
    assert (letter.subscription_id, letter.url) == (subscription, "http://127.0.0.1:9/x")
    assert (letter.attempts, letter.answered) == (12, "HTTP 503")


# --- clocks


def test_a_clock_that_jumped_back_holds_nothing_up_for_longer_than_the_back_off(
    outbox: Any, take: Take, clock: Any
) -> None:
    outbox.subscribe()
    for failures in (0, 1, 3, 6, 9):
        for back in (timedelta(hours=3), timedelta(days=400)):
            now = clock.now
            outbox.announce()
            for _ in range(failures):
                settle(outbox.database, map(failed, take()), now=clock(), chance=lambda: 0.5)
                clock.advance(days=1)
            if failures:
                clock.advance(days=-1)
            clock.now -= back
            longest = backoff(failures, 1.0) + SKEW if failures else timedelta(0)
            waited, found = timedelta(0), take()
            while not found:
                clock.advance(seconds=60)
                waited += timedelta(seconds=60)
                assert waited <= longest + timedelta(seconds=60), (failures, back)
                found = take()
            settle(outbox.database, map(delivered, found), now=clock())
            clock.now = now


def test_a_claim_made_before_the_clock_jumped_back_does_not_hold_for_longer(
    outbox: Any, take: Take, clock: Any
) -> None:
    outbox.subscribe()
    outbox.announce()
    assert len(take()) == 1
    clock.now -= timedelta(days=1)
    assert len(take()) == 1


def test_clocks_that_differ_by_seconds_do_not_lead_to_two_deliveries(outbox: Any, take: Take, clock: Any) -> None:
    outbox.subscribe()
    outbox.announce()
    assert len(take()) == 1
    clock.now -= timedelta(seconds=30)
    assert take() == []


# --- several servers


def test_servers_share_what_is_due_without_overlap(outbox: Any, clock: Any) -> None:
    outbox.subscribe()
    for _ in range(40):
        outbox.announce()
    taken: list[int] = []
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def work() -> None:
        other = Database(outbox.database.engine.url.render_as_string(hide_password=False), outbox.database.keyring)
        start.wait()
        try:
            while len(taken) < 40:
                taken.extend(one.seq for one in claim(other, 4, LEASE, now=clock()))
        except BaseException as error:
            failures.append(error)
        finally:
            other.engine.dispose()

    servers = [threading.Thread(target=work) for _ in range(4)]
    for server in servers:
        server.start()
    for server in servers:
        server.join()
    assert not failures
    assert sorted(taken) == sorted({row.seq for row in outbox.deliveries()})
