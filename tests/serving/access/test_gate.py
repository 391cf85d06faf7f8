"""The gate before every route: who gets in, who does not, and what they are told."""

import re
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy import event
from starlette.routing import Route
from starlette.testclient import TestClient

from data.taxonomy import Taxonomy
from serving.access import CSRF_HEADER, OPEN, SESSION_COOKIE, Role, require_any, route_roles, unprotected_routes
from serving.problems import MEDIA_TYPE
from serving.store.access import AccessStore
from serving.store.database import Database

PASSWORD = "correct horse 42"
KeyOf = Callable[..., dict[str, str]]


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    body: dict[str, Any] = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert re.search("[\u4e00-\u9fff]", body["detail"])
    return body


# --- keys


def test_a_role_opens_its_own_routes_and_no_other(client: TestClient, key_of: KeyOf) -> None:
    keys = {role: key_of(role) for role in Role}
    for role, other in product(Role, Role):
        response = client.get(f"/only/{other}", headers=keys[role])
        if other is role:
            assert response.status_code == 200 and response.json()["role"] == role
        else:
            problem(response, 403, "forbidden")


def test_the_principal_has_the_scope_of_the_key(client: TestClient, key_of: KeyOf, access: AccessStore) -> None:
    case_system = client.get("/any", headers=key_of(Role.CASE_SYSTEM, source="qr.codes")).json()
    assert case_system["source"] == "qr.codes" and case_system["department"] is None
    assert case_system["actor"] == f"key:{access.keys.list()[0].id}"
    department = client.get("/any", headers=key_of(Role.DEPARTMENT)).json()
    assert department["department"] == "commerce" and department["source"] is None


NO_KEYS: list[dict[str, str]] = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer "},
    {"Authorization": "Bearer fz_" + "a" * 43},
    {"Authorization": "Basic d2FuZzpzZWNyZXQ="},
    {"Authorization": b"Bearer fz_\xff\xfe".decode("latin-1")},
    {"Cookie": f"{SESSION_COOKIE}=abc"},
]


def test_nobody_gets_in_without_a_key_and_is_told_how(client: TestClient) -> None:
    for headers in NO_KEYS:
        response = client.get("/any", headers={name: value.encode("latin-1") for name, value in headers.items()})
        problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"


def test_an_expired_key_stops_at_once(client: TestClient, key_of: KeyOf, clock: Any) -> None:
    headers = key_of(Role.ADMIN, lifetime=timedelta(hours=1))
    assert client.get("/any", headers=headers).status_code == 200
    clock.now += timedelta(hours=1)
    problem(client.get("/any", headers=headers), 401, "unauthenticated")


def test_a_key_revoked_here_stops_at_once(client: TestClient, key_of: KeyOf, access: AccessStore) -> None:
    headers = key_of(Role.ADMIN)
    assert client.get("/any", headers=headers).status_code == 200
    access.keys.revoke("test", access.keys.list()[0].id)
    problem(client.get("/any", headers=headers), 401, "unauthenticated")


def test_a_key_revoked_elsewhere_stops_within_five_seconds(
    client: TestClient, key_of: KeyOf, database: Database, taxonomy: Taxonomy, clock: Any
) -> None:
    headers = key_of(Role.ADMIN)
    assert client.get("/any", headers=headers).status_code == 200
    elsewhere = AccessStore(database, taxonomy).keys
    elsewhere.revoke("test", elsewhere.list()[0].id)
    clock.ticks += 5
    problem(client.get("/any", headers=headers), 401, "unauthenticated")


def test_a_burst_costs_the_database_one_look_up(client: TestClient, key_of: KeyOf, database: Database) -> None:
    headers, statements = key_of(Role.ADMIN), []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "api_keys" in statement:
            statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    assert {client.get("/any", headers=headers).status_code for _ in range(32)} == {200}
    assert len(statements) == 1


def test_a_key_may_ask_so_often_a_minute_and_then_is_told_when_again(
    client: TestClient, key_of: KeyOf, clock: Any
) -> None:
    headers, other = key_of(Role.ADMIN, per_minute=3), key_of(Role.ADMIN, per_minute=3)
    assert [client.get("/any", headers=headers).status_code for _ in range(3)] == [200] * 3
    clock.ticks += 10.5
    refused = client.get("/any", headers=headers)
    problem(refused, 429, "rate_limited")
    assert refused.headers["retry-after"] == "50"
    assert client.get("/any", headers=other).status_code == 200
    clock.ticks += 49.5
    assert client.get("/any", headers=headers).status_code == 200


def test_a_clock_set_back_blocks_no_key(client: TestClient, key_of: KeyOf, clock: Any) -> None:
    headers = key_of(Role.ADMIN, per_minute=1)
    assert client.get("/any", headers=headers).status_code == 200
    clock.now -= timedelta(days=1)
    clock.ticks += 60
    assert client.get("/any", headers=headers).status_code == 200


def test_a_request_counts_once_however_often_the_route_asks_who_it_is(client: TestClient, key_of: KeyOf) -> None:
    headers = key_of(Role.ADMIN, per_minute=2)
    assert [client.get("/twice", headers=headers).status_code for _ in range(3)] == [200, 200, 429]


# --- sessions


@pytest.fixture
def session(client: TestClient, access: AccessStore) -> str:
    """The CSRF token of a session whose cookie the client sends."""
    access.accounts.add("test", "wang", PASSWORD, role=Role.REVIEWER)
    token = access.sessions.log_in("wang", PASSWORD)
    assert token is not None
    client.cookies.set(SESSION_COOKIE, token)
    found = access.sessions.find(token)
    assert found is not None
    return found.csrf


def test_a_session_opens_what_the_role_of_its_account_opens(client: TestClient, session: str) -> None:
    assert client.get("/only/reviewer").json()["actor"] == "account:wang"
    problem(client.get("/only/admin"), 403, "forbidden")


def test_a_department_account_is_bound_to_its_department(client: TestClient, access: AccessStore) -> None:
    access.accounts.add("test", "li", PASSWORD, role=Role.DEPARTMENT, department="commerce")
    client.cookies.set(SESSION_COOKIE, access.sessions.log_in("li", PASSWORD) or "")
    assert client.get("/any").json()["department"] == "commerce"


def test_a_change_by_cookie_needs_the_token_of_the_session(client: TestClient, session: str) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        problem(client.request(method, "/change"), 403, "csrf_invalid")
        for wrong in ("", "x", session[:-1], session + "x", "é"):
            headers = {CSRF_HEADER: wrong.encode("latin-1")}
            problem(client.request(method, "/change", headers=headers), 403, "csrf_invalid")
        assert client.request(method, "/change", headers={CSRF_HEADER: session}).status_code == 200
        assert client.request(method, "/change", data={"csrf": session}).status_code == 200


def test_the_token_of_another_session_does_not_do(client: TestClient, access: AccessStore, session: str) -> None:
    other = access.sessions.find(access.sessions.log_in("wang", PASSWORD) or "")
    assert other is not None
    problem(client.post("/change", headers={CSRF_HEADER: other.csrf}), 403, "csrf_invalid")


def test_a_token_in_json_or_the_address_does_not_count(client: TestClient, session: str) -> None:
    problem(client.post("/change", json={"csrf": session}), 403, "csrf_invalid")
    problem(client.post(f"/change?csrf={session}"), 403, "csrf_invalid")


def test_a_form_too_large_or_malformed_is_refused(client: TestClient, session: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    problem(client.post("/change", content="csrf=" + "x" * 9000, headers=form), 413, "body_too_large")
    problem(client.post("/change", content="&".join(["a=1"] * 50), headers=form), 400, "form_invalid")
    problem(client.post("/change", content=b"csrf=\xff", headers=form), 400, "form_invalid")
    problem(client.post("/change", content="csrf=%ff", headers=form), 400, "form_invalid")


def test_a_key_needs_no_token_and_goes_before_the_cookie(client: TestClient, session: str, key_of: KeyOf) -> None:
    response = client.post("/change", headers=key_of(Role.ADMIN))
    assert response.status_code == 200 and response.json()["role"] == "admin"
    problem(client.get("/any", headers={"Authorization": "Bearer fz_wrong"}), 401, "unauthenticated")


def test_an_ended_session_is_nobody(client: TestClient, access: AccessStore, session: str) -> None:
    access.accounts.change_password("test", "wang", "another horse 42")
    problem(client.get("/any"), 401, "unauthenticated")


# --- the whole app


def test_every_route_of_the_small_app_is_open_or_guarded(app: FastAPI) -> None:
    assert unprotected_routes(app) == []
    roles = route_roles(app)
    assert roles["GET", "/only/monitor"] == {Role.MONITOR}
    assert roles["GET", "/twice"] == {Role.ADMIN}
    assert roles["POST", "/logout"] == set(Role)
    assert roles["DELETE", "/v1/keys/{id}"] == {Role.ADMIN}
    assert {path for (_, path), required in roles.items() if required is None} <= OPEN


def test_an_unguarded_route_is_found_wherever_it_hides(app: FastAPI) -> None:
    nested, outer = APIRouter(), APIRouter(prefix="/outer")

    @nested.put("/bare")
    async def bare() -> None: ...

    guarded = APIRouter(dependencies=[Depends(require_any())])

    @guarded.get("/guarded")
    async def by_router() -> None: ...

    outer.include_router(nested, prefix="/inner")
    app.include_router(outer)
    app.include_router(guarded)
    app.mount("/files", FastAPI(openapi_url=None, docs_url=None, redoc_url=None))
    app.router.routes.append(Route("/plain", lambda request: None, methods=["POST"]))
    assert sorted(unprotected_routes(app)) == ["* /files", "POST /plain", "PUT /outer/inner/bare"]


def test_both_ways_in_are_documented(app: FastAPI) -> None:
    document = app.openapi()
    schemes = document["components"]["securitySchemes"]
    assert schemes["key"]["type"] == "http" and schemes["key"]["scheme"] == "bearer"
    assert (schemes["session"]["type"], schemes["session"]["in"], schemes["session"]["name"]) == (
        "apiKey",
        "cookie",
        SESSION_COOKIE,
    )
    assert document["paths"]["/any"]["get"]["security"] == [{"key": []}, {"session": []}]
