"""Keys over HTTP: an administrator makes, lists and revokes them."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.testclient import TestClient

from serving.access import Role
from serving.problems import MEDIA_TYPE
from serving.routes.keys import EXAMPLES
from serving.store.access import AccessStore
from serving.store.database import Database
from serving.store.schema import audit

EXAMPLE = EXAMPLES["case_system"]["value"]
KeyOf = Callable[..., dict[str, str]]


@pytest.fixture
def admin(client: TestClient, key_of: KeyOf) -> TestClient:
    client.headers.update(key_of(Role.ADMIN))
    return client


def test_a_new_key_works_and_its_secret_is_shown_once(admin: TestClient, database: Database) -> None:
    made = admin.post("/v1/keys", json=EXAMPLE)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    key = made.json()
    secret = key.pop("secret")
    assert (key["name"], key["role"], key["source"]) == ("县热线平台", "case-system", "hotline")
    assert (key["status"], key["per_minute"], key["revoked_at"]) == ("active", 600, None)
    assert (key["created_at"], key["expires_at"]) == ("2026-03-02T12:00:00+00:00", "2027-03-02T12:00:00+00:00")
    assert admin.get("/any", headers={"Authorization": f"Bearer {secret}"}).json()["actor"] == f"key:{key['id']}"
    listed = admin.get("/v1/keys")
    assert key in listed.json()["keys"] and len(listed.json()["keys"]) == 2
    assert secret not in listed.text
    with database.reading() as connection:
        actors = set(connection.execute(select(audit.c.actor).where(audit.c.subject.contains(key["id"]))).scalars())
    (own,) = [one for one in listed.json()["keys"] if one["id"] != key["id"]]
    assert actors == {f"key:{own['id']}"}


def test_only_the_name_and_the_role_must_be_given(admin: TestClient) -> None:
    made = admin.post("/v1/keys", json={"name": "prometheus", "role": "monitor"})
    assert made.status_code == 201
    assert (made.json()["source"], made.json()["department"], made.json()["per_minute"]) == (None, None, 600)


def test_a_revoked_key_stops_working(admin: TestClient) -> None:
    made = admin.post("/v1/keys", json=EXAMPLE).json()
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert admin.get("/any", headers=headers).status_code == 200
    for _ in range(2):
        assert admin.delete(f"/v1/keys/{made['id']}").status_code == 204
    assert admin.get("/any", headers=headers).status_code == 401
    (listed,) = [one for one in admin.get("/v1/keys").json()["keys"] if one["id"] == made["id"]]
    assert listed["status"] == "revoked" and listed["revoked_at"]


def test_an_unknown_key_is_not_found(admin: TestClient) -> None:
    for id in ("x", "00000000-0000-0000-0000-000000000000", "%00", "%ff", "名"):
        response = admin.delete(f"/v1/keys/{id}")
        assert (response.status_code, response.headers["content-type"]) == (404, MEDIA_TYPE)


BAD: dict[str, tuple[Any, str, str]] = {
    "no object": ([], "request_invalid", ""),
    "no name": ({"role": "admin"}, "request_invalid", "name"),
    "no role": ({"name": "k"}, "request_invalid", "role"),
    "unknown role": ({"name": "k", "role": "root"}, "request_invalid", "role"),
    "unknown field": ({"name": "k", "role": "admin", "secret": "mine"}, "request_invalid", "secret"),
    "text for a number": ({"name": "k", "role": "admin", "per_minute": "5"}, "request_invalid", "per_minute"),
    "no time": ({"name": "k", "role": "admin", "expires_in_days": 0}, "request_invalid", "expires_in_days"),
    "case system without source": ({"name": "k", "role": "case-system"}, "source_missing", ""),
    "source on another role": ({"name": "k", "role": "admin", "source": "a"}, "source_unused", ""),
    "unknown department": ({"name": "k", "role": "department", "department": "moon"}, "department_unknown", ""),
    "nul in the name": ({"name": "a\0", "role": "admin"}, "name_invalid", ""),
    "half a surrogate pair": ({"name": "\ud800", "role": "admin"}, "request_invalid", "name"),
}


def test_a_wrong_order_is_a_problem_and_makes_no_key(admin: TestClient, access: AccessStore) -> None:
    for why, (body, code, field) in BAD.items():
        response = admin.post("/v1/keys", content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (422, code), why
        if field:
            assert [fault["field"] for fault in response.json()["errors"]] == [field], why
    assert len(access.keys.list()) == 1


def test_nobody_but_an_administrator_gets_near_keys(client: TestClient, key_of: KeyOf) -> None:
    for role in set(Role) - {Role.ADMIN}:
        headers = key_of(role)
        assert client.post("/v1/keys", json=EXAMPLE, headers=headers).status_code == 403
        assert client.get("/v1/keys", headers=headers).status_code == 403
        assert client.delete("/v1/keys/x", headers=headers).status_code == 403


def test_a_large_order_of_a_stranger_is_not_read(client: TestClient) -> None:
    sent = 0

    def chunks() -> Any:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 65536

    assert client.post("/v1/keys", content=chunks(), headers={"Content-Type": "application/json"}).status_code == 401


def test_the_document_describes_the_order_and_its_example_runs(app: FastAPI, admin: TestClient) -> None:
    document = app.openapi()
    body = document["paths"]["/v1/keys"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["required"] == ["name", "role"]
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(body["schema"]))
    assert references
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]
    for example in body["examples"].values():
        assert admin.post("/v1/keys", json=example["value"]).status_code == 201
