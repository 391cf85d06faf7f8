"""Events and webhooks over HTTP: who may see and do what, and what it looks like."""

import json
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from data.errors import InputError
from data.taxonomy import Taxonomy
from serving.deliver import Deliverer
from serving.errors import Refusal
from serving.event_types import EventType
from serving.problems import MEDIA_TYPE, answer_problem
from serving.roles import Role
from serving.routes import events, webhooks
from serving.store.access import AccessStore
from serving.store.database import Database
from serving.store.keys import KeyOrder
from serving.store.subscriptions import MOST

NOTHING = "00000000-0000-4000-8000-000000000000"
URL = "http://127.0.0.1:9/events"


@pytest.fixture
def deliverer(database: Database) -> Iterator[Deliverer]:
    """At work, but only when woken."""
    deliverer = Deliverer(database, poll=3600)
    deliverer.start()
    yield deliverer
    deliverer.stop()


@pytest.fixture
def app(database: Database, taxonomy: Taxonomy, deliverer: Deliverer) -> FastAPI:
    """The two routers behind the real gate."""
    cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    app = FastAPI()
    app.state.runtime = SimpleNamespace(
        access=AccessStore(database, taxonomy, hasher=cheap), database=database, deliverer=deliverer
    )
    app.include_router(events.router)
    app.include_router(webhooks.router)
    for kind in (HTTPException, RequestValidationError, InputError, Refusal):
        app.add_exception_handler(kind, answer_problem)

    @app.middleware("http")
    async def name_request(request: Any, call: Any) -> Any:
        request.state.request_id = "r-1"
        return await call(request)

    return app


As = Callable[..., TestClient]


@pytest.fixture
def as_(app: FastAPI) -> As:
    """A client with a key of this role."""

    def client(role: Role, source: str | None = None) -> TestClient:
        scope = {"source": source or "hotline"} if role is Role.CASE_SYSTEM else {}
        if role is Role.DEPARTMENT:
            scope = {"department": "commerce"}
        made = app.state.runtime.access.keys.create("test", KeyOrder(name="k", role=role, **scope))
        return TestClient(app, headers={"Authorization": f"Bearer {made.secret}"})

    return client


# --- events


def test_a_case_system_reads_its_own_events_and_no_others(outbox: Any, as_: As) -> None:
    own = [outbox.announce(number=number) for number in range(3)]
    outbox.announce(source="window")
    client = as_(Role.CASE_SYSTEM)
    first = client.get("/v1/events", params={"limit": 2}).json()
    assert [event["id"] for event in first["events"]] == own[:2] and first["more"] is True
    rest = client.get("/v1/events", params={"after": first["next"]}).json()
    assert [event["id"] for event in rest["events"]] == own[2:] and rest["more"] is False
    assert client.get("/v1/events", params={"after": rest["next"]}).json() == {
        "events": [],
        "next": rest["next"],
        "more": False,
    }
    late = outbox.announce()
    after = client.get("/v1/events", params={"after": rest["next"]}).json()["events"]
    assert [event["id"] for event in after] == [late]


def test_an_event_is_a_cloud_event(outbox: Any, as_: As) -> None:
    id = outbox.announce(EventType.RED_CARD, card="red", external_id="热线-7")
    (event,) = as_(Role.CASE_SYSTEM).get("/v1/events").json()["events"]
    assert event.keys() == events.EXAMPLE["events"][0].keys()  # type: ignore[index]
    assert (event["id"], event["type"], event["source"]) == (id, "lead.red_card", "urn:fenzhen:hotline")
    assert event["data"] == {"card": "red", "external_id": "热线-7"}


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.SUPERVISOR, Role.ADMIN])
def test_staff_read_all_events(outbox: Any, as_: As, role: Role) -> None:
    ids = [outbox.announce(source=source) for source in ("hotline", "window")]
    assert [event["id"] for event in as_(role).get("/v1/events").json()["events"]] == ids


def test_types_can_be_chosen(outbox: Any, as_: As) -> None:
    types = [EventType.TRIAGED, EventType.RED_CARD, EventType.CORRECTED, EventType.TRIAGED]
    ids = [outbox.announce(type) for type in types]
    got = as_(Role.ADMIN).get("/v1/events?types=lead.red_card&types=lead.corrected").json()
    assert [event["id"] for event in got["events"]] == ids[1:3]


BAD = ("after=x", "after=-1", "after=" + "9" * 19, "after=", "limit=0", "limit=501", "types=lead.lost", "limit=x")


def test_wrong_questions_are_problems(as_: As) -> None:
    client = as_(Role.ADMIN)
    for query in BAD:
        answer = client.get(f"/v1/events?{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (422, MEDIA_TYPE), query
        (fault,) = answer.json()["errors"]
        assert query.partition("=")[0] in f"{fault['where']}.{fault['field']}", query
    assert client.get("/v1/events?after=" + "9" * 18).json()["events"] == []


def test_a_replay_goes_out_at_once(outbox: Any, as_: As, receive: Any, eventually: Any, settle_all: Any) -> None:
    receiver = receive()
    outbox.subscribe(receiver.url)
    id = outbox.announce()
    settle_all(True)
    answer = as_(Role.ADMIN).post(f"/v1/events/{id}:replay")
    assert (answer.status_code, answer.json()) == (202, {"id": id, "receivers": 1})
    eventually(lambda: receiver.ids() == [id])


def test_only_an_administrator_replays_and_only_what_there_is(outbox: Any, as_: As) -> None:
    id = outbox.announce()
    for role in Role:
        answer = as_(role).post(f"/v1/events/{id}:replay")
        assert answer.status_code == (202 if role is Role.ADMIN else 403)
    for wrong in (NOTHING, "x", "%00", "%ff", "编号"):
        answer = as_(Role.ADMIN).post(f"/v1/events/{wrong}:replay")
        assert (answer.status_code, answer.headers["content-type"]) == (404, MEDIA_TYPE)


# --- webhooks


def test_a_webhook_is_made_shown_and_disabled(outbox: Any, as_: As) -> None:
    admin = as_(Role.ADMIN)
    made = admin.post("/v1/webhooks", json={"url": URL, "types": ["lead.red_card"]})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    webhook = made.json()
    assert webhook.pop("secret").startswith("whsec_")
    assert (webhook["url"], webhook["types"], webhook["source"]) == (URL, ["lead.red_card"], None)
    listed = admin.get("/v1/webhooks")
    assert listed.json() == {"webhooks": [webhook]} and "whsec" not in listed.text
    outbox.announce(EventType.RED_CARD)
    assert admin.get("/v1/webhooks").json()["webhooks"][0]["waiting"] == 1
    for _ in range(2):
        assert admin.delete(f"/v1/webhooks/{webhook['id']}").status_code == 204
    (after,) = admin.get("/v1/webhooks").json()["webhooks"]
    assert after["disabled_at"] and (after["waiting"], after["dead"]) == (0, 1)


def test_a_case_system_has_webhooks_of_its_own_source(outbox: Any, as_: As) -> None:
    own, other, admin = as_(Role.CASE_SYSTEM), as_(Role.CASE_SYSTEM, "window"), as_(Role.ADMIN)
    made = own.post("/v1/webhooks", json={"url": URL}).json()
    assert made["source"] == "hotline"
    assert own.post("/v1/webhooks", json={"url": URL, "source": "hotline"}).status_code == 201
    assert own.post("/v1/webhooks", json={"url": URL, "source": "window"}).status_code == 403
    everyones = admin.post("/v1/webhooks", json={"url": URL}).json()
    assert len(own.get("/v1/webhooks").json()["webhooks"]) == 2
    assert other.get("/v1/webhooks").json() == {"webhooks": []}
    assert len(admin.get("/v1/webhooks").json()["webhooks"]) == 3
    for id in (made["id"], everyones["id"], NOTHING, "x", "%00"):
        assert other.delete(f"/v1/webhooks/{id}").status_code == 404
        assert other.post(f"/v1/webhooks/{id}:test").status_code == 404
    assert own.delete(f"/v1/webhooks/{made['id']}").status_code == 204


def test_dead_letters_are_shown_page_by_page_to_whom_they_concern(outbox: Any, as_: As) -> None:
    own, admin = as_(Role.CASE_SYSTEM), as_(Role.ADMIN)
    webhook = own.post("/v1/webhooks", json={"url": URL}).json()["id"]
    everyones = admin.post("/v1/webhooks", json={"url": URL}).json()["id"]
    ids = [outbox.announce() for _ in range(3)]
    for id in (webhook, everyones):
        admin.delete(f"/v1/webhooks/{id}")
    first = own.get("/v1/webhooks/dead-letters", params={"limit": 2}).json()
    rest = own.get("/v1/webhooks/dead-letters", params={"limit": 2, "cursor": first["next"]}).json()
    letters = [*first["dead_letters"], *rest["dead_letters"]]
    assert [letter["event"]["id"] for letter in letters] == list(reversed(ids)) and rest["next"] is None
    assert {(letter["webhook"], letter["attempts"], letter["answered"]) for letter in letters} == {
        (webhook, 0, "disabled")
    }
    assert len(admin.get("/v1/webhooks/dead-letters").json()["dead_letters"]) == 6
    assert as_(Role.CASE_SYSTEM, "window").get("/v1/webhooks/dead-letters").json()["dead_letters"] == []
    assert own.get("/v1/webhooks/dead-letters?cursor=x").status_code == 422


def test_a_webhook_is_tried_out(as_: As, receive: Any, answers: Any) -> None:
    client, receiver = as_(Role.CASE_SYSTEM), receive(answers(503))
    id = client.post("/v1/webhooks", json={"url": receiver.url}).json()["id"]
    assert client.post(f"/v1/webhooks/{id}:test").json() == {"delivered": False, "answered": "HTTP 503"}
    receiver.reply = answers(200)
    assert client.post(f"/v1/webhooks/{id}:test").json() == {"delivered": True, "answered": "HTTP 200"}
    assert {json.loads(got.body)["type"] for got in receiver.received} == {"webhook.test"}


WRONG: dict[str, tuple[Any, int, str, str]] = {
    "no object": ([], 422, "request_invalid", ""),
    "no address": ({}, 422, "request_invalid", "url"),
    "a file": ({"url": "file:///etc/passwd"}, 422, "url_invalid", ""),
    "half a surrogate pair": ({"url": "http://a/\ud800"}, 422, "request_invalid", "url"),
    "an unknown type": ({"url": URL, "types": ["lead.lost"]}, 422, "request_invalid", "0"),
    "an unknown field": ({"url": URL, "events": []}, 422, "request_invalid", "events"),
    "a weak secret": ({"url": URL, "secret": "whsec_YQ=="}, 422, "secret_invalid", ""),
    "an odd source": ({"url": URL, "source": "a\0"}, 422, "source_invalid", ""),
}


def test_wrong_orders_are_problems(as_: As) -> None:
    admin = as_(Role.ADMIN)
    for name, (body, status, code, field) in WRONG.items():
        answer = admin.post("/v1/webhooks", content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (status, code), name
        if field:
            assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    assert admin.get("/v1/webhooks").json() == {"webhooks": []}


def test_too_many_webhooks_are_a_conflict(as_: As) -> None:
    client = as_(Role.CASE_SYSTEM)
    codes = [client.post("/v1/webhooks", json={"url": URL}).status_code for _ in range(MOST + 1)]
    assert codes == [201] * MOST + [409]


def test_other_roles_get_nowhere_near(as_: As) -> None:
    for role in set(Role) - {Role.CASE_SYSTEM, Role.ADMIN}:
        client = as_(role)
        assert client.post("/v1/webhooks", json={"url": URL}).status_code == 403
        assert client.get("/v1/webhooks").status_code == 403
        assert client.get("/v1/webhooks/dead-letters").status_code == 403
        assert client.delete(f"/v1/webhooks/{NOTHING}").status_code == 403
        assert client.post(f"/v1/webhooks/{NOTHING}:test").status_code == 403
    for role in (Role.DEPARTMENT, Role.IDENTITY, Role.MONITOR):
        assert as_(role).get("/v1/events").status_code == 403


def test_the_document_describes_every_field_and_its_examples_run(app: FastAPI, as_: As) -> None:
    document = app.openapi()
    body = document["paths"]["/v1/webhooks"]["post"]["requestBody"]["content"]["application/json"]
    references = re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document))
    assert "EventType" in references and set(references) - {"Problem"} <= document["components"]["schemas"].keys()
    for example in body["examples"].values():
        assert as_(Role.CASE_SYSTEM).post("/v1/webhooks", json=example["value"]).status_code == 201
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert re.search("[\u4e00-\u9fff]", operation["summary"]) and operation["description"], path
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), (path, parameter["name"])
