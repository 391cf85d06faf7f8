"""What surrounds every request: its id, one log line, and the last resort against errors that nobody foresaw."""

import json
import logging
import re
import time
import traceback
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.problems import problem_of, problem_response

REQUEST_ID = "X-Request-ID"
CLIENT_LEFT = 499
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger("fenzhen.http")


class RequestScope:
    """Around every request: its id, one log line without any complaint text, and a 500 that tells nothing internal."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        state = scope.setdefault("state", {})
        request_id = state["request_id"] = given if _SANE_ID.fullmatch(given) else str(uuid4())
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = CLIENT_LEFT
        except Exception as error:
            _log.error(json.dumps({"event": "failure", "request_id": request_id, **_anatomy(error)}))
            if not status:
                await problem_response(problem_of(error, request_id))(scope, receive, send_with_id)
        _log.info(json.dumps(_line(scope, status, time.perf_counter() - started)))


def _anatomy(error: Exception) -> dict[str, Any]:
    """Kind and place of an error, not its message, which may quote a complaint."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    return {"error": type(error).__name__, "at": [f"{frame.filename}:{frame.lineno}" for frame in frames]}


def _line(scope: Scope, status: int, seconds: float) -> dict[str, Any]:
    route = getattr(scope.get("route"), "path", "-")  # the pattern: a path as sent may hold anything
    line = {"event": "request", "request_id": scope["state"]["request_id"], "method": scope["method"], "route": route}
    return {**line, "status": status, "ms": round(seconds * 1000, 1), **scope["state"].get("counts", {})}
