"""What surrounds every request: its id, its bounds, one log line, and the last resort against errors nobody foresaw."""

import logging
import re
import time
from typing import Any
from uuid import uuid4

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data.errors import FenzhenError
from serving.errors import BodyTimedOut, HeadersTooLarge, Refusal
from serving.logs import anatomy, log_event
from serving.problems import BodyTooLarge, problem_of, problem_response, refusal_headers
from serving.settings import Settings

REQUEST_ID = "X-Request-ID"
CLIENT_LEFT = 499
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger("fenzhen.http")


class RequestScope:
    """Around every request: its id, bounds on headers and body, one log line without any complaint text, and a 500 that
    tells nothing internal."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        state = scope.setdefault("state", {})
        state["request_id"] = given if _SANE_ID.fullmatch(given) else str(uuid4())
        exchange = _Exchange(scope, receive, send, scope["app"].state.settings)
        started = time.perf_counter()
        try:
            if header_bytes(scope) > exchange.settings.header_bytes:
                await exchange.refuse(HeadersTooLarge())
            else:
                await self.app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.status = exchange.status or CLIENT_LEFT
        except Exception as error:
            exchange.broken = True
            await exchange.refuse(error)
        finally:
            _account(scope, exchange, time.perf_counter() - started)


class _Exchange:
    """One request and its answer on their way: counts what passes and ends what takes too long or grows too large."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: Settings) -> None:
        self.settings = settings
        self.status, self.waited, self.broken = 0, 0.0, False
        self.error: Exception | None = None  # what `refuse` answered or could not answer any more
        self._scope, self._receive, self._send = scope, receive, send
        self._left, self._whole, self._refused = settings.max_body_bytes, False, False

    async def receive(self) -> Message:
        """The next message; raises BodyTimedOut once the caller has let us wait for longer than the body may take, and
        BodyTooLarge, both of which are then the answer whatever the app makes of them."""
        if self._whole:
            return await self._receive()
        began = time.perf_counter()
        try:
            with anyio.fail_after(max(self.settings.body_seconds - self.waited, 0)):
                message = await self._receive()
        except TimeoutError:
            raise await self._refusing(BodyTimedOut()) from None
        finally:
            self.waited += time.perf_counter() - began
        self._left -= len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._left < 0:
            zh = f"请求体超过 {self.settings.max_body_bytes} 字节，请分批发送"
            raise await self._refusing(BodyTooLarge("body_too_large", zh))
        return message

    async def send(self, message: Message) -> None:
        """Pass on what the app answers, with the id of the request; nothing after a refusal."""
        if not self._refused:
            await self._pass(message)

    async def refuse(self, error: Exception) -> None:
        """Answer with the problem that says as much of ``error`` as a caller may know, unless an answer has begun."""
        self.error = self.error or error
        if not self.status:
            problem = problem_of(error, self._scope["state"]["request_id"])
            await problem_response(problem, refusal_headers(error))(self._scope, self._receive, self._pass)
        self._refused = True

    async def _refusing(self, error: FenzhenError) -> FenzhenError:
        await self.refuse(error)
        return error

    async def _pass(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self._scope["state"]["request_id"]
            if self.status == 408:
                headers["Connection"] = "close"
        await self._send(message)


def header_bytes(scope: Scope) -> int:
    """How many bytes the head of the request took: address and headers."""
    address = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
    return address + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def _account(scope: Scope, exchange: _Exchange, seconds: float) -> None:
    """One log line and the metrics of a request that is over; a failure of ours is told with its places."""
    state, status = scope["state"], exchange.status or CLIENT_LEFT
    error = exchange.error or state.get("error")
    if error is not None and (status >= 500 or exchange.broken):
        level = logging.WARNING if isinstance(error, Refusal) else logging.ERROR
        log_event(_log, level, "failure", request_id=state["request_id"], **anatomy(error))
    route = getattr(scope.get("route"), "path", "") or "-"  # the pattern: a path as sent may hold anything
    line: dict[str, Any] = {"request_id": state["request_id"], "method": scope["method"], "route": route}
    if "actor" in state:
        line["actor"] = state["actor"]
    line |= {"status": status, "ms": round(seconds * 1000, 1), "body_ms": round(exchange.waited * 1000, 1)}
    if isinstance(error, FenzhenError):
        line["code"] = error.code
    log_event(_log, logging.INFO, "request", **line, **state.get("counts", {}))
    runtime = getattr(scope["app"].state, "runtime", None)
    if runtime is not None:
        runtime.metrics.observe_request(scope["method"], route, status, seconds - exchange.waited)
