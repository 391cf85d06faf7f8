"""The bounds of a connection, tried with sockets against a real server: sizes, slowness, and callers who do not read."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response

from serving.limits import MOST_PIPELINED, LimitedProtocol, protocol_of, server_settings
from serving.request_scope import RequestScope
from serving.settings import Settings

HEAD = b"GET /short HTTP/1.1\r\nHost: x\r\n"
WHOLE = HEAD + b"\r\n"
SHORT, TAKE = 0.4, 0.8  # seconds
HUGE = 20 * 1024 * 1024


def small_app() -> FastAPI:
    app = FastAPI()
    app.state.settings = Settings(header_bytes=4096, body_seconds=SHORT, max_body_bytes=64 * 1024)
    app.add_middleware(RequestScope)

    @app.get("/short")
    def short() -> Response:
        return PlainTextResponse("short")

    @app.get("/slow")
    def slow() -> Response:
        time.sleep(0.6)
        return PlainTextResponse("slow")

    @app.get("/long")
    def long() -> Response:
        return PlainTextResponse("l" * HUGE)

    @app.post("/read")
    async def read(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    @app.post("/unread")
    async def unread() -> Response:
        return PlainTextResponse("no need")

    return app


class Running:
    """A server in a thread, and the statuses with which it turned connections away."""

    def __init__(self, loop: str, **bounds: Any) -> None:
        self.refused: list[int] = []
        app = small_app()
        base = protocol_of(app)
        protocol = type("Bounded", (base,), {"refused": staticmethod(self.refused.append), **bounds})
        self.bound = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, **{**server_settings(app), "http": protocol, "loop": loop, "lifespan": "off"})
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.bound]})

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.bound.getsockname(), timeout=10)

    def ask(self, sent: bytes) -> bytes:
        """Everything that comes back for these bytes until the server closes."""
        with self.connect() as caller:
            caller.sendall(sent)
            return everything(caller)

    def wait_until_left(self, seconds: float) -> None:
        """Until no connection is left; fails after ``seconds``."""
        end = time.monotonic() + seconds
        while self.connections:
            assert time.monotonic() < end, f"{self.connections} connections are still open"
            time.sleep(0.02)


@contextmanager
def running(loop: str = "uvloop", **bounds: Any) -> Iterator[Running]:
    bounds = {"head_seconds": SHORT, "linger_seconds": SHORT, "take_seconds": TAKE, **bounds}
    one = Running(loop, **bounds)
    one.thread.start()
    try:
        while not one.server.started:
            time.sleep(0.01)
        yield one
    finally:
        one.server.should_exit = True
        one.thread.join(10)
        one.bound.close()
    assert not one.thread.is_alive()


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def served(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(request.param) as one:
        yield one


def everything(caller: socket.socket) -> bytes:
    received = b""
    while chunk := caller.recv(65536):
        received += chunk
    return received


def answer(caller: socket.socket) -> tuple[int, bytes]:
    """One response with a known length; the connection stays open."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += caller.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += caller.recv(65536)
    return int(head.split(b" ", 2)[1]), body


def problem(received: bytes, status: int, code: str) -> None:
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), received
    assert b"connection: close" in head.lower()
    assert b"application/problem+json" in head
    found = json.loads(body)
    assert (found["status"], found["code"]) == (status, code)
    assert found["request_id"]


def test_ordinary_requests_pass_and_connections_are_kept(served: Running) -> None:
    with served.connect() as caller:
        for _ in range(3):
            caller.sendall(WHOLE)
            assert answer(caller) == (200, b"short")
        caller.sendall(WHOLE * 3)
        received = b""
        while received.count(b"short") < 3:
            received += caller.recv(65536)


def test_a_silent_connection_is_closed(served: Running) -> None:
    begun = time.monotonic()
    with served.connect() as caller:
        assert everything(caller) == b""
    assert SHORT * 0.9 <= time.monotonic() - begun < SHORT * 4


def test_a_head_sent_byte_by_byte_is_ended_in_time(served: Running) -> None:
    begun = time.monotonic()
    with served.connect() as caller:
        caller.settimeout(0.02)
        received = b""
        for byte in HEAD + b"X-Long: " + b"a" * 200:
            caller.sendall(bytes([byte]))
            try:
                received = caller.recv(65536)
                break
            except TimeoutError:
                continue
    problem(received, 408, "head_timed_out")
    assert SHORT * 0.9 <= time.monotonic() - begun < SHORT * 4
    assert 408 in served.refused


def test_a_slow_second_head_and_empty_lines_are_ended_too(served: Running) -> None:
    for more in (HEAD, b"\r\n"):
        with served.connect() as caller:
            caller.sendall(WHOLE)
            assert answer(caller) == (200, b"short")
            begun = time.monotonic()
            caller.sendall(more)
            received = everything(caller)
            assert time.monotonic() - begun < SHORT * 4
        if more == HEAD:
            problem(received, 408, "head_timed_out")
        else:
            assert received == b""


def test_a_head_that_is_too_large_but_whole_has_the_id_of_its_request(served: Running) -> None:
    with served.connect() as caller:
        caller.sendall(HEAD + b"X-Request-ID: big-1\r\nX-Long: " + b"a" * 5000 + b"\r\n\r\n")
        status, body = answer(caller)
    assert status == 431
    assert (json.loads(body)["code"], json.loads(body)["request_id"]) == ("headers_too_large", "big-1")


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X-Long: " + b"a" * 64 * 1024 + b"\r\n\r\n",
        HEAD + b"X-Long: " + b"a" * 2 * 1024 * 1024,
        HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(20_000)) + b"\r\n",
        b"GET /" + b"a" * 64 * 1024 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["64 KB", "endless", "many", "address"],
)
def test_heads_of_many_kilobytes_are_refused(served: Running, head: bytes) -> None:
    with served.connect() as caller:
        for start in range(0, len(head), 16384):  # as a network would deliver it
            try:
                caller.sendall(head[start : start + 16384])
            except OSError:
                break
        problem(everything(caller), 431, "headers_too_large")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /short HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["TLS", "header", "smuggling", "chunk"],
)
def test_what_is_not_http_is_a_problem(served: Running, sent: bytes) -> None:
    problem(served.ask(sent), 400, "http_invalid")


def test_a_body_that_is_not_completed_is_ended_in_time(served: Running) -> None:
    begun = time.monotonic()
    received = served.ask(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123")
    problem(received, 408, "body_timed_out")
    assert SHORT * 0.9 <= time.monotonic() - begun < SHORT * 4


def test_the_rest_of_a_body_after_its_answer_is_waited_for_only_briefly(served: Running) -> None:
    with served.connect() as caller:
        caller.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n123")
        assert answer(caller) == (200, b"no need")
        begun = time.monotonic()
        caller.settimeout(0.05)
        for _ in range(100):
            try:
                caller.sendall(b"4")
                if caller.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - begun < SHORT * 4


def test_a_connection_goes_on_after_the_rest_of_an_unread_body(served: Running) -> None:
    with served.connect() as caller:
        caller.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n123")
        assert answer(caller) == (200, b"no need")
        caller.sendall(b"456" + WHOLE)
        assert answer(caller) == (200, b"short")


def test_a_body_that_is_too_large_gets_its_answer_while_it_is_sent(served: Running) -> None:
    with served.connect() as caller:
        caller.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")
        try:
            for _ in range(100):
                caller.sendall(b"a" * 100_000)
        except OSError:
            pass
        assert answer(caller)[0] == 413


def test_what_is_wrong_after_a_sound_request_does_not_harm_its_answer(served: Running) -> None:
    received = served.ask(WHOLE + b"\x00\x01nonsense\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200") and received.endswith(b"short")


def test_a_flood_of_pipelined_requests_ends_the_connection() -> None:
    with running() as served:
        received = served.ask(WHOLE * (MOST_PIPELINED * 40))
        assert received.count(b"HTTP/1.1 200") <= MOST_PIPELINED + 1
        served.wait_until_left(SHORT * 4)


def test_a_caller_who_does_not_read_loses_the_connection() -> None:
    with running() as served, served.connect() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(TAKE / 2)
        assert served.connections == 1
        served.wait_until_left(TAKE * 3)


def test_connections_are_counted() -> None:
    with running(most_connections=2, head_seconds=5) as served:
        with served.connect() as first, served.connect() as second:
            for caller in (first, second):
                caller.sendall(WHOLE)
                assert answer(caller) == (200, b"short")
            received = served.ask(b"")
            problem(received, 503, "too_many_connections")
            assert b"retry-after: 5" in received.lower()
            first.sendall(WHOLE)
            assert answer(first) == (200, b"short")
        served.wait_until_left(2)
        with served.connect() as again:
            again.sendall(WHOLE)
            assert answer(again) == (200, b"short")


def test_idle_and_slow_connections_do_not_hold_up_a_shutdown() -> None:
    with running(head_seconds=30) as served:
        idle, slow = served.connect(), served.connect()
        slow.sendall(HEAD)
        while served.connections < 2:
            time.sleep(0.01)
        begun = time.monotonic()
    assert time.monotonic() - begun < 2
    idle.close()
    slow.close()


def test_what_was_accepted_is_answered_before_the_server_stops() -> None:
    with running() as served:
        slow, waiting = served.connect(), served.connect()
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        waiting.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n1")
        time.sleep(0.2)
        served.server.should_exit = True
        time.sleep(0.1)
        waiting.sendall(b"23")
        for caller, body in ((slow, b"slow"), (waiting, b"3")):
            received = everything(caller)
            assert received.startswith(b"HTTP/1.1 200") and received.endswith(body)
            caller.close()
        with pytest.raises(OSError):
            served.connect()


def test_a_service_has_time_to_answer_when_it_stops() -> None:
    app = small_app()
    settings = server_settings(app)
    assert settings["timeout_graceful_shutdown"] > app.state.settings.request_seconds + app.state.settings.body_seconds


def test_the_bounds_come_from_the_settings() -> None:
    assert protocol_of(small_app()).head_bytes == 8192
    assert issubclass(protocol_of(small_app()), LimitedProtocol)
