"""What a connection may do. Uvicorn bounds neither size nor time of a request's head, nor how slowly an answer is
taken.

A head must be whole within seconds and kilobytes, an answer must be taken, what still comes after an answer is waited
for only briefly, and connections and pipelined requests are counted. Whoever breaks a bound gets a problem body, if
anything, and loses the connection. The body of a request is bounded by `serving.request_scope`.
"""

import asyncio
import logging
import math
import resource
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from data.errors import FenzhenError
from serving.errors import BodyTimedOut, HeadersTooLarge, NotReady
from serving.logs import log_event
from serving.problems import BodyUnreadable, problem_of, problem_response, refusal_headers

HEAD_SECONDS = 10.0  # from the connection, or the first byte of a further request, to the end of its head
LINGER_SECONDS = 5.0  # how long the rest of a request is read away after its answer
TAKE_SECONDS = 30.0  # how long an answer may lie unread
KEEP_ALIVE_SECONDS = 75  # longer than proxies keep a connection, so that they close it and no request is lost
MOST_CONNECTIONS = 2000
MOST_PIPELINED = 16
HEAD_ROOM = 2  # heads beyond the limit but within this multiple of it get their answer with the request's own id
_log = logging.getLogger("fenzhen.http")


class LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with the bounds above."""

    head_bytes = 64 * 1024
    head_seconds, linger_seconds, take_seconds = HEAD_SECONDS, LINGER_SECONDS, TAKE_SECONDS
    most_connections = MOST_CONNECTIONS
    refused: Callable[[int], None] = staticmethod(lambda status: None)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._in_head = self._open = self._fresh = self._deaf = False
        self._seen = self._parsed = 0
        self._fault: FenzhenError | None = None
        self._timer: asyncio.TimerHandle | None = None  # the caller owes us something
        self._stalled: asyncio.TimerHandle | None = None  # the caller does not take what it is owed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(NotReady("连接太多，请稍后重试。", code="too_many_connections", retry_after=5))
            self._close()
        else:
            self._expect(self.head_seconds, self._head_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        if self._stalled is not None:
            self._stalled.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        super().data_received(data)
        if self._deaf or self.transport.is_closing():
            return
        if self._in_head:
            self._seen += 0 if self._fresh else len(data)  # the chunk in which a head begins may end another body
            self._fresh = False
            if self._seen > self.head_bytes:
                self._refuse(HeadersTooLarge())
        elif not self._open and self._idle and self._timer is None:
            self._expect(self.head_seconds, self._head_late)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._open = self._fresh = True
        self._seen = self._parsed = 0
        self._expect(self.head_seconds, self._head_late)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._cancel()
        super().on_headers_complete()
        if len(self.pipeline) > MOST_PIPELINED:
            raise ValueError("too many pipelined requests")  # httptools stops and uvicorn asks for a 400

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._open = False
        self._cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._stall()
        elif self._open and self._idle and not self._in_head:
            self._expect(self.linger_seconds, self._close)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._stall()

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            self._stall()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._fault or BodyUnreadable("http_invalid", "不是有效的 HTTP/1.1 请求"))

    @property
    def _idle(self) -> bool:
        return not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def _count(self, size: int) -> None:
        self._parsed += size
        if self._parsed > self.head_bytes:
            self._fault = HeadersTooLarge()
            raise ValueError("head too large")

    def _head_late(self) -> None:
        if self._in_head:
            self._refuse(BodyTimedOut("请求头没有按时发完。", code="head_timed_out"))
        else:
            self._close()

    def _refuse(self, error: FenzhenError) -> None:
        """Listen no more; answer with the problem unless an answer to something sound is on its way, then close."""
        self._deaf = True
        self._cancel()
        self._unset_keepalive_if_required()
        problem = problem_of(error, str(uuid4()))
        self.refused(problem["status"])
        log_event(_log, logging.INFO, "refused", status=problem["status"], code=problem["code"])
        if not self._idle and self._in_head:
            self.cycle.keep_alive = False
            return
        if not self._idle:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started or self.pipeline:
                self._close()
                return
        self.transport.write(_raw(problem_response(problem, refusal_headers(error))))
        if self.transport.can_write_eof():
            self.transport.write_eof()  # a close at once could take the answer away from a caller who still writes
            self._expect(self.linger_seconds, self._close)
        else:
            self._close()

    def _close(self) -> None:
        self.transport.close()
        self._stall()

    def _expect(self, seconds: float, late: Callable[[], None]) -> None:
        self._cancel()
        self._timer = self.loop.call_later(seconds, late)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
        self._stalled = self.loop.call_later(self.take_seconds, self.transport.abort)


def _raw(response: Response) -> bytes:
    status = HTTPStatus(response.status_code)
    head = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), b"connection: close"]
    head += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join((*head, b"", response.body))


def protocol_of(app: FastAPI) -> type[LimitedProtocol]:
    """The protocol for serving ``app`` with uvicorn, bounded by its settings; its metrics count refusals."""

    def refused(status: int) -> None:
        runtime = getattr(app.state, "runtime", None)
        if runtime is not None:
            runtime.metrics.observe_refusal(status)

    class Protocol(LimitedProtocol):
        head_bytes = app.state.settings.header_bytes * HEAD_ROOM
        most_connections = min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)

    Protocol.refused = staticmethod(refused)
    return Protocol


def server_settings(app: FastAPI) -> dict[str, Any]:
    """The arguments of ``uvicorn.Config`` for serving ``app``: bounded connections, no log but ours, and when it stops
    time to answer what was accepted."""
    settings = app.state.settings
    return {
        "http": protocol_of(app),
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": math.ceil(settings.body_seconds + settings.request_seconds + LINGER_SECONDS),
    }
