"""The OpenAPI document as those use it who never read it: generated clients and generated requests."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.access import OPEN, route_roles, unprotected_routes
from serving.roles import Role

TEXT = "窗口让我跑了三趟，每次要的材料都不一样，办一个证拖了两个月。"


@pytest.fixture(scope="module")
def client(open_service: Any) -> Iterator[TestClient]:
    with open_service() as client:
        yield client


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_route_is_described_in_chinese(document: dict[str, Any]) -> None:
    found = list(operations(document))
    assert len(found) >= 20
    for path, method, operation in found:
        words = operation["summary"] + operation.get("description", "")
        assert any("\u4e00" <= c <= "\u9fff" for c in words), (path, method)
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (path, method, parameter["name"])
    ids = [operation["operationId"] for _, _, operation in found]
    assert len(set(ids)) == len(ids)


def test_every_documented_request_runs(open_service: Any, document: dict[str, Any]) -> None:
    ran = 0
    with open_service("admin") as admin, open_service() as case_system:
        for path, method, operation in operations(document):
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for example in content.get("examples", {}).values():
                if "{" in path:
                    continue  # needs something that is there: the tests of the route do it
                roles = route_roles(admin.app)[method.upper(), path] or frozenset()
                client = case_system if Role.CASE_SYSTEM in roles else admin
                answer = client.request(method, path, json=example["value"])
                assert answer.status_code in {200, 201, 202, 204}, (path, answer.text)
                ran += 1
    assert ran >= 5


def test_no_route_is_left_open(client: TestClient) -> None:
    assert unprotected_routes(client.app) == []  # type: ignore[arg-type]
    paths = {path for _, path in route_roles(client.app)}  # type: ignore[arg-type]
    assert OPEN - {"/login"} <= paths | {"/static", "/static/docs"}


@pytest.mark.parametrize("role", list(Role))
def test_no_route_is_reachable_without_its_role(open_service: Any, role: Role) -> None:
    with open_service(role.value) as client:
        for (method, path), roles in route_roles(client.app).items():
            if roles is None:
                continue
            address = path.replace("{id}", "00000000-0000-4000-8000-000000000000")
            nobody = client.request(method, address, headers={"Authorization": ""}, follow_redirects=False)
            assert nobody.status_code in {303, 401, 405}, (method, path, nobody.status_code)
            answer = client.request(method, address, follow_redirects=False)
            assert (answer.status_code == 403) == (role not in roles), (method, path, role, answer.text)


def test_a_generated_client_works(client: TestClient, document: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    config = tmp_path / "config.yaml"
    config.write_text("post_hooks: []\npackage_name_override: fenzhen_client\n", encoding="utf-8")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(file), "--meta", "none"]
    command += ["--config", str(config), "--output-path", str(tmp_path / "fenzhen_client"), "--fail-on-warning"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(tmp_path))
    try:
        _use(client)
    finally:
        sys.path.remove(str(tmp_path))


def _use(client: TestClient) -> None:
    """Stores a lead and reads it again, as a program of someone else would."""
    client_module, leads, models = (import_module(f"fenzhen_client{name}") for name in ("", ".api.leads", ".models"))
    create, get, page = (
        import_module(f"{leads.__name__}.{name}") for name in ("create_lead", "get_lead", "list_leads")
    )
    token = client.headers["Authorization"].removeprefix("Bearer ")
    generated = client_module.AuthenticatedClient(base_url="http://testserver", token=token)
    generated.set_httpx_client(client)
    body = models.LeadRequest.from_dict({"external_id": "G-1", "text": TEXT, "channel": "hotline"})
    lead = create.sync(client=generated, body=body)
    assert (lead.external_id, lead.version, lead.redacted) == ("G-1", 1, TEXT)
    assert get.sync(id=lead.id, client=generated).to_dict() == lead.to_dict()
    assert [one.id for one in page.sync(client=generated, external_id="G-1").leads] == [lead.id]
