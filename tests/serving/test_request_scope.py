"""What surrounds every request: ids, bounds, the log line, metrics, and faults that nobody foresaw."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.testclient import TestClient

from data.errors import BundleError, InputError
from serving.errors import DatabaseUnavailable, Refusal
from serving.problems import answer_problem
from serving.request_scope import RequestScope
from serving.settings import Settings

MARK = "李某某绝密"


class Payload(BaseModel):
    text: str


class Observed:
    """Where the service would have its metrics: keeps what it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int, float]] = []

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        self.requests.append((method, route, status, seconds))


def small_app() -> FastAPI:
    app = FastAPI()
    app.state.settings = Settings(header_bytes=4096, body_seconds=0.2, max_body_bytes=2048)
    app.state.runtime = SimpleNamespace(metrics=Observed())
    app.add_middleware(RequestScope)
    for kind in (HTTPException, RequestValidationError, InputError, Refusal):
        app.add_exception_handler(kind, answer_problem)

    @app.post("/read/{name}")
    async def read(name: str, request: Request) -> int:
        request.state.actor = "key:k1"
        request.state.counts = {"triaged": 2}
        return len(await request.body())

    @app.post("/parsed")
    async def parsed(payload: Payload) -> int:
        return len(payload.text)

    @app.get("/broken")
    async def broken() -> None:
        try:
            raise KeyError(MARK)
        except KeyError as error:
            raise ValueError(MARK) from error

    @app.get("/bundle")
    async def bundle() -> None:
        raise BundleError("encoder.onnx: file digest differs")

    @app.get("/away")
    async def away() -> None:
        raise DatabaseUnavailable from OSError(MARK)

    @app.get("/half")
    async def half() -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"half"
            raise ValueError(MARK)

        return StreamingResponse(body())

    return app


@pytest.fixture
def app() -> FastAPI:
    return small_app()


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def events(caplog: pytest.LogCaptureFixture, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(record.message) for record in caplog.records if record.name == "fenzhen.http"]
    return [line for line in lines if line["event"] == kind]


@pytest.fixture(autouse=True)
def from_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def converse(app: FastAPI, path: str, messages: list[Any], **scope: Any) -> list[Any]:
    """What the app sends for a POST whose body comes as these messages; a number is a pause in seconds."""
    sent: list[Any] = []
    coming = iter(messages)

    async def receive() -> Any:
        for message in coming:
            if not isinstance(message, float):
                return {"type": "http.request", "more_body": True, **message}
            await asyncio.sleep(message)
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    known = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    headers = [(b"content-type", b"application/json")]
    asyncio.run(app({**known, "headers": headers, **scope}, receive, send))
    return sent


# --- the line and the metrics


def test_a_line_tells_who_asked_what_and_how_long_it_took(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    response = client.post(f"/read/{MARK}?q={MARK}", content=b"1234")
    (line,) = events(caplog, "request")
    assert line.pop("ms") >= line.pop("body_ms") >= 0
    assert line == {
        "event": "request",
        "request_id": response.headers["x-request-id"],
        "method": "POST",
        "route": "/read/{name}",
        "actor": "key:k1",
        "status": 200,
        "triaged": 2,
    }


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [("/read/a", "/read/{name}", 405), (f"/{MARK}", "-", 404), ("/broken", "/broken", 500), ("/away", "/away", 503)],
)
def test_metrics_know_routes_not_addresses(
    app: FastAPI, client: TestClient, path: str, route: str, status: int
) -> None:
    client.get(path)
    ((method, seen, code, seconds),) = app.state.runtime.metrics.requests
    assert (method, seen, code) == ("GET", route, status)
    assert 0 <= seconds < 5


def test_an_app_that_has_not_started_has_no_metrics(app: FastAPI, client: TestClient) -> None:
    app.state.runtime = None
    assert client.post("/read/a").status_code == 200


def test_waiting_for_the_body_is_not_counted_as_time_of_the_service(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    converse(app, "/read/a", [0.1, {"body": b"a", "more_body": False}])
    (line,) = events(caplog, "request")
    assert line["status"] == 200
    assert line["ms"] >= line["body_ms"] >= 95
    assert app.state.runtime.metrics.requests[0][3] < 0.09


# --- faults


def test_a_fault_is_told_by_kinds_and_places(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    response = client.get("/broken")
    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    (failure,) = events(caplog, "failure")
    assert (failure["error"], failure["causes"]) == ("ValueError", ["KeyError"])
    assert "test_request_scope.py" in failure["at"][-1]
    assert failure["request_id"] == response.json()["request_id"]
    assert MARK not in caplog.text + response.text


def test_what_is_wrong_with_files_is_told_to_the_operator_alone(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert "digest" not in client.get("/bundle").text
    assert events(caplog, "failure")[0]["detail"] == "encoder.onnx: file digest differs"


def test_a_refusal_by_the_database_tells_its_causes(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    response = client.get("/away")
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    (failure,) = events(caplog, "failure")
    assert (failure["error"], failure["causes"]) == ("DatabaseUnavailable", ["OSError"])
    assert events(caplog, "request")[0]["code"] == "database_unavailable"
    assert MARK not in caplog.text


def test_a_wrong_address_is_no_failure(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    client.get("/nothing")
    assert events(caplog, "failure") == []


def test_a_fault_in_the_middle_of_an_answer_is_logged(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    sent = converse(app, "/half", [{"more_body": False}], method="GET")
    assert sent[0]["status"] == 200
    assert events(caplog, "failure")[0]["error"] == "ValueError"
    assert events(caplog, "request")[0]["status"] == 200


# --- bounds


def test_headers_beyond_the_bound_are_refused(app: FastAPI, client: TestClient) -> None:
    response = client.post("/read/a", headers={"X-Long": "a" * 4096})
    assert (response.status_code, response.json()["code"]) == (431, "headers_too_large")
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert app.state.runtime.metrics.requests[0][1:3] == ("-", 431)
    assert client.post("/read/a", headers={"X-Long": "a" * 3000}).status_code == 200


def test_a_long_address_counts_as_head(client: TestClient) -> None:
    assert client.get("/read/a?" + "q" * 5000).status_code == 431


@pytest.mark.parametrize("path", ["/read/a", "/parsed"])
@pytest.mark.parametrize(
    "messages",
    [[], [{"body": b'{"text":'}], [0.15, {"body": b"1"}, 0.15, {"body": b"2"}, 0.15, {"body": b"3"}]],
    ids=["nothing", "begun", "slowly"],
)
def test_a_body_must_be_whole_in_time(
    app: FastAPI, caplog: pytest.LogCaptureFixture, path: str, messages: list[Any]
) -> None:
    sent = converse(app, path, messages)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["code"] == "body_timed_out"
    assert [(line["status"], line["code"]) for line in events(caplog, "request")] == [(408, "body_timed_out")]


@pytest.mark.parametrize("path", ["/read/a", "/parsed"])
def test_no_route_reads_more_than_the_bound(app: FastAPI, path: str) -> None:
    sent = converse(app, path, [{"body": b" " * 1500}] * 3)
    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["code"] == "body_too_large"


def test_a_caller_who_leaves_is_no_failure(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    sent = converse(app, "/read/a", [{"type": "http.disconnect"}])
    assert sent == []
    assert [(line["event"], line["status"]) for line in events(caplog, "request")] == [("request", 499)]
    assert events(caplog, "failure") == []


def test_a_request_that_is_cut_off_leaves_its_line(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    async def cut() -> None:
        async def receive() -> Any:
            await asyncio.sleep(60)

        async def send(message: Any) -> None:
            raise AssertionError

        scope = {"type": "http", "method": "POST", "path": "/read/a", "raw_path": b"", "query_string": b""}
        task = asyncio.create_task(app({**scope, "headers": []}, receive, send))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cut())
    assert [line["status"] for line in events(caplog, "request")] == [499]
