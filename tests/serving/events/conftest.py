"""Leads to announce something about, a real HTTP receiver that behaves as told, and a time of day that the test sets."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, select

from serving.event_types import EventType
from serving.store.database import Database
from serving.store.deliveries import Outcome, claim, settle
from serving.store.outbox import announce
from serving.store.schema import deliveries, events, leads
from serving.store.subscriptions import SubscriptionOrder, SubscriptionStore

SOON = 30.0  # seconds within which what a test waits for has happened


@dataclass
class Clock:
    """The time of day that the code under test sees."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass(frozen=True, kw_only=True)
class Outbox:
    """A database with leads; announces what happens to them."""

    database: Database

    def lead(self, source: str = "hotline") -> int:
        """A lead of this source; its ``seq``."""
        with self.database.writing("test") as writing:
            row = {
                "id": str(uuid4()),
                "source": source,
                "external_id": None,
                "channel": "web",
                "received_at": writing.now,
                "content": None,
                "redacted": None,
                "content_digest": "0" * 64,
            }
            row["seq"] = writing.connection.execute(insert(leads).values(row).returning(leads.c.seq)).scalar_one()
            writing.record("lead.submit", leads, str(row["id"]), row)
        return int(row["seq"])

    def announce(self, type: EventType = EventType.TRIAGED, source: str = "hotline", **data: Any) -> str:
        """The id of an event about a new lead."""
        lead = self.lead(source)
        with self.database.writing("test") as writing:
            announce(writing, type, lead, source, data)
        with self.database.reading() as connection:
            return str(connection.execute(select(events.c.id).where(events.c.lead_seq == lead)).scalar_one())

    def subscribe(self, url: str = "http://127.0.0.1:9/", *types: EventType, **wanted: Any) -> str:
        """The id of a new subscription."""
        order = SubscriptionOrder(url=url, types=types, **wanted)
        return SubscriptionStore(self.database).create("test", order).subscription.id

    def deliveries(self, **columns: Any) -> list[Any]:
        """The rows of all deliveries, in order, or of those with these values."""
        found = select(deliveries, events.c.id.label("event_id")).join(events, events.c.seq == deliveries.c.event_seq)
        for name, value in columns.items():
            found = found.where(deliveries.c[name] == value)
        with self.database.reading() as connection:
            return list(connection.execute(found.order_by(deliveries.c.seq)))


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database=database)


@dataclass(frozen=True, kw_only=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


Reply = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, body: bytes = b"", **headers: str) -> Reply:
    """Answers with this status."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


class Receiver(ThreadingHTTPServer):
    """Keeps what it receives and answers each request as ``reply`` says."""

    daemon_threads = True

    def __init__(self, reply: Reply) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.received: list[Received] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/events"

    def ids(self) -> list[str]:
        return [one.headers["webhook-id"] for one in list(self.received)]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that leaves is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Received(path=self.path, headers=headers, body=body))
        self.server.reply(self)

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the screen."""


Receive = Callable[..., Receiver]


@pytest.fixture
def receive() -> Iterator[Receive]:
    """Starts receivers; without a reply they answer 204."""
    started: list[Receiver] = []

    def start(reply: Reply | None = None) -> Receiver:
        started.append(Receiver(reply or status(204)))
        threading.Thread(target=started[-1].serve_forever, args=(0.02,), daemon=True).start()
        return started[-1]

    yield start
    for one in started:
        one.shutdown()
        one.server_close()


@pytest.fixture
def answers() -> Callable[..., Reply]:
    """Makes replies with a status."""
    return status


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits until something is so."""

    def wait(is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + SOON
        while not is_so():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.005)

    return wait


@contextmanager
def running(deliverer: Any) -> Iterator[Any]:
    deliverer.start()
    try:
        yield deliverer
    finally:
        deliverer.stop()


@pytest.fixture
def deliver(database: Database, clock: Clock) -> Callable[..., Any]:
    """Runs a deliverer over the database as long as the context lasts, by the clock of the test."""
    from serving.deliver import Deliverer

    def run(**settings: Any) -> Any:
        given = {"clock": clock, "chance": lambda: 0.5, "poll": 0.02}
        return running(Deliverer(settings.pop("database", database), **{**given, **settings}))

    return run


@pytest.fixture
def settle_all(database: Database, clock: Clock) -> Callable[[bool], None]:
    """Takes on what is due and says that it was delivered, or that it was not."""

    def settled(delivered: bool) -> None:
        claims = claim(database, 100, timedelta(seconds=60), now=clock())
        outcomes = [Outcome(claim=one, delivered=delivered, answered="HTTP 200") for one in claims]
        settle(database, outcomes, now=clock(), chance=lambda: 0.5)

    return settled
