"""One message to real receivers, good and bad."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from serving.cloud_events import MEDIA_TYPE, CloudEventJson, trial
from serving.event_types import Failure
from serving.store.subscriptions import Subscription, SubscriptionWithSecret
from serving.webhook import Answer, Patience, Sender, try_out

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
NOON = datetime(2026, 3, 2, 12, 0, 0, 900_000, tzinfo=UTC)
HASTE = Patience(connect=0.3, read=0.3, whole=0.6)


def subscription(url: str) -> SubscriptionWithSecret:
    one = Subscription(
        id="1b1f6f0e-7d2b-4b0a-8f0e-2f6a3d5c9e10", url=url, types=(), source="s", created_at=NOON, disabled_at=None
    )
    return SubscriptionWithSecret(subscription=one, secret=SECRET)


def message(url: str) -> CloudEventJson:
    event = trial(subscription(url).subscription, NOON)
    event["data"] = {"external_id": "热线-1"}
    return event


def post(url: str, times: int = 1) -> list[Answer]:
    async def send() -> list[Answer]:
        async with Sender(HASTE) as sender:
            return [await sender.post(url, SECRET, message(url), NOON) for _ in range(times)]

    return asyncio.run(send())


def test_a_message_is_a_signed_cloud_event(receive: Callable[..., Any]) -> None:
    receiver = receive()
    (answer,) = post(f"{receiver.url}/a?b=c")
    assert answer.delivered and str(answer) == "HTTP 204"
    (got,) = receiver.received
    assert got.path == "/events/a?b=c"
    assert got.headers["content-type"] == MEDIA_TYPE
    assert got.headers["user-agent"].startswith("fenzhen/")
    sent = json.loads(got.body)
    assert sent["data"] == {"external_id": "热线-1"} and sent["id"] == got.headers["webhook-id"]
    assert got.headers["webhook-timestamp"] == str(int(NOON.timestamp()))
    signed = b".".join([sent["id"].encode(), got.headers["webhook-timestamp"].encode(), got.body])
    expected = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(receive: Callable[..., Any], answers: Callable[..., Any], code: int) -> None:
    assert post(receive(answers(code)).url)[0] == Answer(status=code)


@pytest.mark.parametrize("code", [300, 304, 400, 401, 404, 410, 429, 500, 503])
def test_any_other_status_is_a_failure(receive: Callable[..., Any], answers: Callable[..., Any], code: int) -> None:
    (answer,) = post(receive(answers(code, b"" if code == 304 else b"sorry")).url)
    assert (answer.delivered, answer.gone, str(answer)) == (False, code == 410, f"HTTP {code}")


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(receive: Callable[..., Any], answers: Callable[..., Any], code: int) -> None:
    other = receive()
    for location in (other.url, "http://[", "\xff"):
        (answer,) = post(receive(answers(code, location=location)).url)
        assert not answer.delivered
    assert other.received == []


def test_no_cookie_is_kept(receive: Callable[..., Any], answers: Callable[..., Any]) -> None:
    receiver = receive(answers(200, Set_Cookie="a=b; Path=/"))
    assert all(answer.delivered for answer in post(receiver.url, times=2))
    assert not any("cookie" in got.headers for got in receiver.received)


def test_proxies_of_the_environment_are_ignored(receive: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, receiver = receive(), receive()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    assert post(receiver.url)[0].delivered
    assert (len(receiver.received), len(proxy.received)) == (1, 0)


# --- receivers that behave badly


def slow(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.5)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def no_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")
    handler.close_connection = True


def half_a_status(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 20")
    handler.close_connection = True


def endless_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-Filler: " + b"x" * 8000 + b"\r\n")


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X: y\r\n")
        time.sleep(0.02)


def switch(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    handler.close_connection = True


BAD = {
    "slow": (slow, Failure.TIMED_OUT),
    "hangs up": (hang_up, Failure.NO_ANSWER),
    "speaks no HTTP": (no_http, Failure.NO_ANSWER),
    "breaks off": (half_a_status, Failure.NO_ANSWER),
    "endless headers": (endless_headers, Failure.NO_ANSWER),
    "headers byte by byte": (drip_headers, Failure.TIMED_OUT),
    "another protocol": (switch, Failure.NO_ANSWER),
}


@pytest.mark.parametrize(("reply", "failure"), BAD.values(), ids=BAD)
def test_a_receiver_that_does_not_answer_properly(receive: Callable[..., Any], reply: Any, failure: Failure) -> None:
    began = time.monotonic()
    (answer,) = post(receive(reply).url)
    assert answer == Answer(failure=failure) and not answer.delivered
    assert str(answer) == failure.value
    assert time.monotonic() - began < 3


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert post(f"http://127.0.0.1:{port}/") == [Answer(failure=Failure.NOT_CONNECTED)]
    assert post("http://no-such-host.invalid/") == [Answer(failure=Failure.NOT_CONNECTED)]


def test_a_receiver_without_a_trusted_certificate(receive: Callable[..., Any]) -> None:
    assert post(receive().url.replace("http:", "https:")) == [Answer(failure=Failure.NOT_CONNECTED)]


def test_a_connection_that_is_never_accepted_times_out() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        (answer,) = post(f"http://127.0.0.1:{full.getsockname()[1]}/")
        for filler in fillers:
            filler.close()
    assert answer == Answer(failure=Failure.TIMED_OUT)


class Flood:
    """Answers 200 with a body without end; counts what went out."""

    def __init__(self) -> None:
        self.sent, self.left = 0, threading.Event()

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                self.sent += handler.wfile.write(b"x" * 65536)
        finally:
            self.left.set()


def test_a_body_without_end_is_not_read(receive: Callable[..., Any]) -> None:
    flood = Flood()
    assert post(receive(flood).url) == [Answer(status=200)]
    assert flood.left.wait(5), "the connection was kept open"
    assert flood.sent < 16 * 1024 * 1024  # what fits into the buffers of both sides


def test_a_body_that_never_comes_does_not_undo_a_success(receive: Callable[..., Any]) -> None:
    def promise(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.flush()
        time.sleep(0.5)

    assert post(receive(promise).url) == [Answer(status=200)]


def test_a_compressed_body_is_not_unpacked(receive: Callable[..., Any], answers: Callable[..., Any]) -> None:
    receiver = receive(answers(200, b"this is no gzip", Content_Encoding="gzip"))
    assert post(receiver.url) == [Answer(status=200)]


def test_connections_are_kept_after_short_answers(receive: Callable[..., Any], answers: Callable[..., Any]) -> None:
    ports = set()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        ports.add(handler.client_address[1])
        answers(200, b"thank you")(handler)

    assert all(answer.delivered for answer in post(receive(reply).url, times=3))
    assert len(ports) == 1


def test_trying_out_a_subscription(receive: Callable[..., Any], answers: Callable[..., Any]) -> None:
    good, bad = receive(), receive(answers(500))
    assert try_out(subscription(good.url)).delivered
    assert str(try_out(subscription(bad.url))) == "HTTP 500"
    (got,) = good.received
    assert json.loads(got.body)["type"] == "webhook.test"
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 60
