"""The deliverer at work over both databases, with real receivers. Time of day is set by the test, nothing waits long."""

import base64
import hashlib
import hmac
import io
import json
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from sqlalchemy import event, text, update

from serving.deliver import LEASE, Deliverer
from serving.event_types import EventType
from serving.logs import JsonLines
from serving.store.database import Database
from serving.store.deliveries import MOST_ATTEMPTS, backoff, claim, dead_letters
from serving.store.outbox import replay
from serving.store.schema import subscriptions
from serving.store.subscriptions import SubscriptionOrder, SubscriptionStore
from serving.webhook import Patience

Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def settled(outbox: Any) -> Callable[..., bool]:
    """Whether all deliveries have this status."""

    def check(status: str = "delivered", **columns: Any) -> bool:
        found = outbox.deliveries(**columns)
        return bool(found) and all(row.status == status for row in found)

    return check


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the deliverer logs, as it would be written."""
    stream, ours = io.StringIO(), logging.getLogger("fenzhen.webhooks")
    handler, level = logging.StreamHandler(stream), ours.level
    handler.setFormatter(JsonLines())
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    yield stream
    ours.removeHandler(handler)
    ours.setLevel(level)


def test_each_event_arrives_once_signed_and_is_noted(
    outbox: Any, receive: Any, deliver: Any, eventually: Wait, settled: Callable[..., bool], clock: Any
) -> None:
    receiver = receive()
    order = SubscriptionOrder(url=receiver.url, types=(EventType.TRIAGED,))
    secret = SubscriptionStore(outbox.database).create("test", order).secret
    before = [outbox.announce(number=number) for number in range(12)]
    with deliver():
        eventually(settled)
        before.append(outbox.announce(number=12))
        outbox.announce(EventType.CORRECTED)
        eventually(lambda: len(receiver.received) == 13)
    assert Counter(receiver.ids()) == Counter(before)
    for got in receiver.received:
        signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
        mac = hmac.new(base64.b64decode(secret[6:]), signed, hashlib.sha256).digest()
        assert got.headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
        assert got.headers["webhook-timestamp"] == str(int(clock().timestamp()))
        message = json.loads(got.body)
        assert message["id"] == got.headers["webhook-id"] and message["type"] == "lead.triaged"
    assert sorted(json.loads(got.body)["data"]["number"] for got in receiver.received) == list(range(13))
    assert settled()


def test_being_woken_it_looks_at_once(outbox: Any, receive: Any, deliver: Any, eventually: Wait) -> None:
    receiver = receive()
    outbox.subscribe(receiver.url)
    with deliver(poll=3600) as deliverer:
        eventually(lambda: deliverer.silent_seconds < 3600)
        outbox.announce(EventType.RED_CARD)
        began = time.monotonic()
        deliverer.wake()
        eventually(lambda: len(receiver.received) == 1)
        assert time.monotonic() - began < 5
    deliverer.wake()  # has no effect any more, and does no harm


def test_a_failing_receiver_is_tried_again_after_its_back_off_until_it_answers(
    outbox: Any, receive: Any, answers: Any, deliver: Any, eventually: Wait, settled: Callable[..., bool], clock: Any
) -> None:
    receiver = receive(answers(503, b"overloaded"))
    outbox.subscribe(receiver.url)
    id = outbox.announce()
    with deliver() as deliverer:
        for failures in range(1, 5):
            eventually(lambda: outbox.deliveries()[0].attempts == failures)  # noqa: B023
            (row,) = outbox.deliveries()
            assert (row.status, row.answered) == ("waiting", "HTTP 503")
            assert row.next_at == clock() + backoff(failures)
            clock.now = row.next_at - timedelta(milliseconds=1)
            looked(deliverer, eventually)
            assert len(receiver.received) == failures
            clock.advance(milliseconds=1)
        receiver.reply = answers(200)
        eventually(settled)
    assert receiver.ids() == [id] * len(receiver.received) and len(receiver.received) in {5, 6}
    times = [int(got.headers["webhook-timestamp"]) for got in receiver.received]
    assert times == sorted(times) and times[-1] - times[0] >= 5 + 30 + 120 - 1


def looked(deliverer: Deliverer, eventually: Wait) -> None:
    """Two turns later."""
    for _ in range(2):
        began = time.monotonic()
        eventually(lambda: deliverer.silent_seconds < time.monotonic() - began)  # noqa: B023


def test_after_twelve_failures_it_is_a_dead_letter_which_can_be_replayed(
    outbox: Any, receive: Any, answers: Any, deliver: Any, eventually: Wait, settled: Callable[..., bool], clock: Any
) -> None:
    receiver = receive(answers(500))
    outbox.subscribe(receiver.url)
    id = outbox.announce()
    with deliver() as deliverer:
        for attempts in range(1, MOST_ATTEMPTS + 1):
            eventually(lambda: outbox.deliveries()[0].attempts == attempts)  # noqa: B023
            clock.advance(hours=20)
        eventually(lambda: settled("dead"))
        looked(deliverer, eventually)
        assert len(receiver.received) == MOST_ATTEMPTS
        (letter,) = dead_letters(outbox.database).letters
        assert (letter.event.id, letter.attempts, letter.answered) == (id, 12, "HTTP 500")
        receiver.reply = answers(204)
        assert replay(outbox.database, "test", id) == 1
        eventually(settled)
    assert receiver.ids() == [id] * (MOST_ATTEMPTS + 1)
    assert not dead_letters(outbox.database).letters


def test_a_receiver_that_is_gone_is_told_nothing_more(
    outbox: Any, receive: Any, answers: Any, deliver: Any, eventually: Wait, settled: Callable[..., bool]
) -> None:
    receiver, other = receive(answers(410)), receive()
    leaving, staying = outbox.subscribe(receiver.url), outbox.subscribe(other.url)
    outbox.announce()
    with deliver():
        eventually(lambda: settled("dead", subscription_id=leaving))
        outbox.announce()
        eventually(lambda: len(other.received) == 2)
    disabled = {one.id for one in SubscriptionStore(outbox.database).list() if one.disabled_at}
    assert disabled == {leaving}
    assert len(receiver.received) == 1
    assert settled(subscription_id=staying)


# --- receivers side by side


def test_a_receiver_that_hangs_holds_up_no_other(
    outbox: Any, receive: Any, answers: Any, deliver: Any, eventually: Wait, settled: Callable[..., bool]
) -> None:
    release = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        release.wait(5)
        answers(204)(handler)

    hanging, good = receive(hang), receive()
    slow, fast = outbox.subscribe(hanging.url), outbox.subscribe(good.url)
    ids = [outbox.announce() for _ in range(30)]
    with deliver():
        eventually(lambda: len(good.received) == 30)
        assert settled("waiting", subscription_id=slow)
        assert 0 < len(hanging.received) <= 8
        release.set()
        eventually(lambda: settled(subscription_id=slow))
    assert Counter(good.ids()) == Counter(hanging.ids()) == Counter(ids)
    assert settled(subscription_id=fast)


def test_a_red_card_overtakes_what_waits(
    outbox: Any, receive: Any, answers: Any, deliver: Any, eventually: Wait, settled: Callable[..., bool]
) -> None:
    release = threading.Semaphore(0)

    def one_by_one(handler: BaseHTTPRequestHandler) -> None:
        release.acquire(timeout=5)
        answers(204)(handler)

    receiver = receive(one_by_one)
    outbox.subscribe(receiver.url)
    for _ in range(30):
        outbox.announce()
    with deliver() as deliverer:
        eventually(lambda: len(receiver.received) == 8)
        red = outbox.announce(EventType.RED_CARD)
        deliverer.wake()
        release.release()
        eventually(lambda: len(receiver.received) == 9)
        assert receiver.ids()[8] == red
        for _ in range(40):
            release.release()
        eventually(settled)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def speak_no_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 mail ready\r\n")
    handler.close_connection = True


BAD = {"slow": lambda handler: time.sleep(1), "hangs up": hang_up, "speaks no HTTP": speak_no_http}


@pytest.mark.parametrize("reply", BAD.values(), ids=BAD)
def test_whatever_a_receiver_does_the_next_attempt_succeeds(
    outbox: Any, receive: Any, answers: Any, deliver: Any, eventually: Wait, settled: Callable[..., bool], clock: Any,
    reply: Any,
) -> None:  # fmt: skip
    receiver = receive(reply)
    outbox.subscribe(receiver.url)
    id = outbox.announce()
    with deliver(patience=Patience(read=0.5)):
        eventually(lambda: outbox.deliveries()[0].attempts == 1)
        assert outbox.deliveries()[0].answered in {"timed_out", "no_answer"}
        receiver.reply = answers(200)
        clock.advance(seconds=6)
        eventually(settled)
    assert receiver.ids() == [id, id]


# --- servers


def test_two_servers_on_one_database_deliver_each_event_once(
    outbox: Any, receive: Any, deliver: Any, eventually: Wait, settled: Callable[..., bool]
) -> None:
    receivers = [receive() for _ in range(2)]
    for receiver in receivers:
        outbox.subscribe(receiver.url)
    ids = [outbox.announce() for _ in range(40)]
    url = outbox.database.engine.url.render_as_string(hide_password=False)
    other = Database(url, outbox.database.keyring)
    with deliver(), deliver(database=other):
        ids += [outbox.announce() for _ in range(20)]
        eventually(lambda: sum(len(receiver.received) for receiver in receivers) >= 120)
        eventually(settled)
    other.engine.dispose()
    for receiver in receivers:
        assert Counter(receiver.ids()) == Counter(ids)


def test_what_a_killed_server_had_taken_on_is_taken_up_after_its_lease(
    outbox: Any, receive: Any, deliver: Any, eventually: Wait, settled: Callable[..., bool], clock: Any
) -> None:
    receiver = receive()
    outbox.subscribe(receiver.url)
    id = outbox.announce()
    assert len(claim(outbox.database, 10, LEASE, now=clock())) == 1
    with deliver() as deliverer:
        looked(deliverer, eventually)
        assert receiver.received == []
        clock.now += LEASE
        eventually(settled)
    assert receiver.ids() == [id]


def test_a_clock_that_jumped_back_holds_up_nothing(
    outbox: Any, receive: Any, answers: Any, deliver: Any, eventually: Wait, settled: Callable[..., bool], clock: Any
) -> None:
    receiver = receive(answers(500))
    outbox.subscribe(receiver.url)
    failing = outbox.announce()
    with deliver():
        eventually(lambda: outbox.deliveries()[0].attempts == 1)
        receiver.reply = answers(204)
        clock.advance(days=-1)
        fresh = outbox.announce()
        eventually(settled)
    assert set(receiver.ids()) == {failing, fresh}


def test_stopping_finishes_what_is_under_way_and_begins_nothing_new(
    outbox: Any, receive: Any, answers: Any, deliver: Any, eventually: Wait
) -> None:
    release = threading.Event()

    def hold(handler: BaseHTTPRequestHandler) -> None:
        release.wait(5)
        answers(204)(handler)

    receiver = receive(hold)
    outbox.subscribe(receiver.url)
    for _ in range(20):
        outbox.announce()
    with ExitStack() as stack:
        deliverer = stack.enter_context(deliver())
        eventually(lambda: len(receiver.received) == 8)
        stopping = threading.Thread(target=deliverer.stop)
        stopping.start()
        stopping.join(0.1)
        assert stopping.is_alive()
        release.set()
        stopping.join(5)
        assert not stopping.is_alive()
        stack.pop_all()
    assert len(receiver.received) == 8
    rows = outbox.deliveries()
    assert Counter(row.status for row in rows) == {"delivered": 8, "waiting": 12}
    assert all(row.claimed_until is None for row in rows)


@contextmanager
def unplugged(database: Database, server: Any) -> Iterator[None]:
    """SQLite: someone else holds the lock, and nobody has patience. PostgreSQL: refuses everyone."""
    if database.engine.name == "sqlite":
        event.listen(database.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA busy_timeout = 20"))
        with closing(sqlite3.connect(str(database.engine.url.database))) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    name = database.engine.url.database
    with server.connect() as admin:
        admin.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))
        admin.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))
        yield
        admin.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"))


def test_a_database_that_is_away_costs_nothing_but_time(
    outbox: Any, receive: Any, answers: Any, deliver: Any, eventually: Wait, settled: Callable[..., bool],
    log: io.StringIO, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    arrived, release = threading.Event(), threading.Event()

    def hold(handler: BaseHTTPRequestHandler) -> None:
        arrived.set()
        release.wait(5)
        answers(204)(handler)

    server = None if outbox.database.engine.name == "sqlite" else request.getfixturevalue("postgresql_server")
    receiver = receive(hold)
    outbox.subscribe(receiver.url)
    id = outbox.announce()
    with deliver():
        assert arrived.wait(5)
        with unplugged(outbox.database, server):
            release.set()
            eventually(lambda: "webhooks.paused" in log.getvalue())
        eventually(settled)
    assert receiver.ids() == [id]
    assert log.getvalue().count("webhooks.paused") == 1


def test_a_secret_that_cannot_be_read_fails_its_own_deliveries_only(
    outbox: Any, receive: Any, deliver: Any, eventually: Wait, settled: Callable[..., bool]
) -> None:
    bad, good = receive(), receive()
    damaged, sound = outbox.subscribe(bad.url), outbox.subscribe(good.url)
    with outbox.database.changing() as connection:
        change = update(subscriptions).where(subscriptions.c.id == damaged)
        connection.execute(change.values(secret=b"\1" + bytes(60)))
    outbox.announce()
    with deliver():
        eventually(lambda: settled(subscription_id=sound))
        eventually(lambda: outbox.deliveries(subscription_id=damaged)[0].attempts == 1)
    assert outbox.deliveries(subscription_id=damaged)[0].answered == "not_sent"
    assert bad.received == []


def test_the_log_says_what_became_of_it_but_not_where_it_went(
    outbox: Any, receive: Any, answers: Any, deliver: Any, eventually: Wait, log: io.StringIO
) -> None:
    receiver = receive(answers(500, b"internal words"))
    subscription = outbox.subscribe(f"{receiver.url}?token=abc")
    id = outbox.announce(external_id="E-77")
    with deliver():
        eventually(lambda: outbox.deliveries()[0].attempts == 1)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "webhook.failed"]
    assert line["level"] == "warning"
    assert (line["event_id"], line["subscription"], line["attempt"]) == (id, subscription, 1)
    assert line["answered"] == "HTTP 500"
    for secret in ("token", "internal words", "E-77", "127.0.0.1"):
        assert secret not in log.getvalue()
