"""Nothing that a caller wrote and nothing of a complaint comes out in a log line or a metric, whatever goes wrong."""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from models.bundle import EncoderFailed
from models.triage import Triager
from serving.roles import Role
from serving.store.keys import KeyOrder

TEXT = "机密诉求甲：李某某家住幸福里三单元，窗口让我跑了三趟。"
OTHER = "机密诉求乙"
MARKS = (
    "机密诉求", "李某某", "幸福里", "编号机密", "EXTMARK", "KEYMARK", "IDEMARK", "备注机密", "用途机密", "账号机密",
    "PASSMARK", "HOOKMARK", "ANSWERMARK", "HEADMARK", "字段机密",
)  # fmt: skip


class Receiver(BaseHTTPRequestHandler):
    """A webhook receiver that fails and quotes something."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = "ANSWERMARK 机密诉求".encode()
        self.send_response(500, "ANSWERMARK")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the screen."""


@pytest.fixture
def receiver() -> Iterator[str]:
    """The address of a receiver."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/HOOKMARK?token=HOOKMARK"
    server.shutdown()
    thread.join()
    server.server_close()


def key(client: TestClient, role: Role, **scope: str) -> dict[str, str]:
    """The headers of a further key."""
    order = KeyOrder(name="test", role=role, per_minute=1_000_000, **scope)
    secret = client.app.state.runtime.access.keys.create("test", order).secret  # type: ignore[attr-defined]
    return {"Authorization": f"Bearer {secret}"}


def metrics_of(client: TestClient) -> str:
    answer = client.get("/metrics", headers=key(client, Role.MONITOR))
    assert answer.status_code == 200
    return answer.text


def check_silence(kept: Any, client: TestClient) -> None:
    """No mark in any line or metric, as it is, escaped as JSON, or as part of an address."""
    written = kept.text + metrics_of(client)
    for mark in MARKS:
        for form in (mark, json.dumps(mark)[1:-1], quote(mark)):
            assert form not in written, mark


def statuses(kept: Any) -> set[int]:
    return {line["status"] for line in kept.lines if line["event"] == "request"}


@pytest.fixture(autouse=True)
def everything(kept: Any) -> None:
    """Even what only developers would switch on."""
    for name in (None, "fenzhen", "sqlalchemy", "httpx", "httpcore", "asyncio", "alembic", "multipart"):
        logging.getLogger(name).setLevel(logging.DEBUG)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Levels of other loggers as they were."""
    names = ("sqlalchemy", "httpx", "httpcore", "asyncio", "alembic", "multipart")
    before = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_requests_of_every_kind(open_service: Any, kept: Any) -> None:
    with open_service() as client:
        assert client.post("/v1/triage", json={"complaints": [{"id": "编号机密", "text": TEXT}]}).status_code == 200
        turns = [{"speaker": "citizen", "text": TEXT}, {"speaker": "agent", "text": OTHER}]
        mixed = [{"turns": turns}, {"text": ""}, {"text": TEXT, "字段机密": 1}, {"text": 5, "channel": "字段机密"}]
        assert client.post("/v1/triage", json={"complaints": mixed}).status_code == 200
        rejected = {"complaints": [{"text": TEXT, "channel": TEXT}, {"id": ["编号机密"], "text": TEXT}]}
        assert client.post("/v1/triage", json=rejected).status_code == 422
        for body in (f'{{"{TEXT}": ', TEXT, json.dumps([TEXT]), json.dumps({"字段机密": TEXT})):
            headers = {"Content-Type": "application/json"}
            assert client.post("/v1/triage", content=body.encode(), headers=headers).status_code in {400, 422}
            assert client.post("/v1/leads", content=body.encode("gb18030"), headers=headers).status_code in {400, 422}
        assert (
            client.post("/v1/triage", content=TEXT.encode(), headers={"Content-Type": "字段".encode()}).status_code
            == 415
        )
        assert client.get(f"/v1/{TEXT}?q={TEXT}").status_code == 404
        assert client.delete(f"/v1/leads/{OTHER}").status_code == 405
        assert client.get("/v1/taxonomy", headers={"X-Request-ID": "HEADMARK HEADMARK"}).status_code == 200
        assert client.get("/v1/taxonomy", headers={"Authorization": "Bearer fz_KEYMARK"}).status_code == 401
        assert client.get("/v1/taxonomy", headers={"X-Long": "HEADMARK" * 8000}).status_code == 431
        check_silence(kept, client)
    assert statuses(kept) >= {200, 400, 401, 404, 405, 415, 422, 431}


def test_leads_and_what_people_do_with_them(open_service: Any, kept: Any) -> None:
    with open_service() as client:
        department = key(client, Role.DEPARTMENT, department="commerce")
        reviewer, identity = key(client, Role.REVIEWER), key(client, Role.IDENTITY)
        lead = {"external_id": "EXTMARK-1", "channel": "hotline", "text": TEXT}
        once = {"Idempotency-Key": "IDEMARK-1"}
        made = client.post("/v1/leads", json=lead, headers=once)
        assert made.status_code == 201
        assert client.post("/v1/leads", json=lead, headers=once).status_code == 201
        assert client.post("/v1/leads", json={**lead, "text": OTHER}, headers=once).status_code == 409
        assert client.post("/v1/leads", json={**lead, "text": OTHER}).status_code == 409
        assert client.post("/v1/leads:batch", json={"leads": [lead, {"text": OTHER}, {"text": ""}]}).status_code == 200
        address = f"/v1/leads/{made.json()['id']}"
        for answer in (
            client.get(address),
            client.get(f"{address}/history", headers=reviewer),
            client.get("/v1/leads", params={"q": "机密诉求甲", "external_id": "EXTMARK-1"}),
            client.get("/v1/leads", params={"q": "机", "cursor": "EXTMARK", "status": "字段机密"}),
            client.get("/v1/leads/EXTMARK"),
            client.post(f"{address}/corrections", headers={**reviewer, "If-Match": made.headers["etag"]},
                        json={"department": "commerce", "reason": "wrong_tag", "remark": "备注机密"}),
            client.post(f"{address}/corrections", headers={**reviewer, "If-Match": '"HEADMARK"'},
                        json={"department": "字段机密", "reason": "字段机密", "remark": "备注机密"}),
            client.post(f"{address}/returns", headers={**department, "If-Match": "*"},
                        json={"reason": "not_ours", "remark": "备注机密"}),
            client.post(f"{address}/reveals", headers=identity, json={"purpose": "用途机密，回访"}),
        ):  # fmt: skip
            assert answer.status_code < 500, answer.text
        check_silence(kept, client)
    routes = {line["route"] for line in kept.lines if line["event"] == "request" and line["status"] < 300}
    assert {"/v1/leads", "/v1/leads:batch", "/v1/leads/{id}", "/v1/leads/{id}/corrections"} <= routes


def test_logging_in(open_service: Any, kept: Any) -> None:
    with open_service() as client:
        client.get("/login")
        typed = {"name": "账号机密", "password": "PASSMARK-1234567", "csrf": "KEYMARK"}
        assert client.post("/login", data=typed).status_code < 500
        assert client.post("/login?next=/HEADMARK", data=typed).status_code < 500
        check_silence(kept, client)


def test_webhooks_that_fail(open_service: Any, kept: Any, receiver: str) -> None:
    with open_service() as client:
        assert client.post("/v1/webhooks", json={"url": receiver}).status_code == 201
        assert client.post("/v1/webhooks", json={"url": "ftp://HOOKMARK"}).status_code == 422
        assert client.post("/v1/leads", json={"external_id": "EXTMARK-2", "text": TEXT}).status_code == 201
        end = time.monotonic() + 10
        while not any(line["event"] == "webhook.failed" for line in kept.lines):
            assert time.monotonic() < end, "no delivery was tried"
            time.sleep(0.05)
        check_silence(kept, client)


def test_a_database_that_breaks(open_service: Any, kept: Any, tmp_path: Path) -> None:
    with open_service(data_dir=tmp_path / "data") as client:
        monitor = key(client, Role.MONITOR)
        client.get("/metrics", headers=monitor)
        with sqlite3.connect(tmp_path / "data" / "fenzhen.sqlite3") as database:
            database.execute("DROP TABLE lead_terms")
        database.close()
        answer = client.post("/v1/leads", json={"external_id": "EXTMARK-3", "text": TEXT})
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert not any(mark in answer.text for mark in MARKS)
        check_silence(kept, client)
    failures = [line for line in kept.lines if line["event"] == "failure"]
    assert [failure["error"] for failure in failures] == ["OperationalError"]
    assert any("serving/store" in place for place in failures[0]["at"])


class Talkative(Triager):
    """A triager that fails and says on what: its encoder, or all of it."""

    error: type[Exception]

    def read(self, complaints: Any) -> Any:
        raise self.error(complaints[0].text)


@pytest.mark.parametrize(
    ("error", "status", "event"), [(EncoderFailed, 201, "engine.degraded"), (ValueError, 500, "failure")]
)
def test_a_model_that_breaks(
    open_service: Any, kept: Any, triager: Triager, error: type[Exception], status: int, event: str
) -> None:
    talkative = Talkative(triager.policy, triager.bundle)
    talkative.error = error
    with open_service(decides=talkative) as client:
        client.post("/v1/triage", json={"complaints": [{"id": "编号机密", "text": TEXT}]})
        assert client.post("/v1/leads", json={"external_id": "EXTMARK-4", "text": TEXT}).status_code == status
        check_silence(kept, client)
    assert [line["error"] for line in kept.lines if line["event"] == event][:1] == [error.__name__]
