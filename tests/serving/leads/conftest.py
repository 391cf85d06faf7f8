"""The whole service over each database, with keys of every role."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.roles import Role
from serving.runtime import Runtime
from serving.store.keys import KeyOrder

TEXT = "窗口让我跑了三趟，每次要的材料都不一样，办一个证拖了两个月。"


@dataclass
class Api:
    """A client that speaks for anybody."""

    client: TestClient
    _keys: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def runtime(self) -> Runtime:
        found: Runtime = self.client.app.state.runtime  # type: ignore[attr-defined]
        return found

    def __call__(self, method: str, path: str, who: str = "case-system", scope: str = "", **more: Any) -> Any:
        headers = {**more.pop("headers", {}), "Authorization": f"Bearer {self._key(who, scope)}"}
        return self.client.request(method, path, headers=headers, **more)

    def send(self, text: str = TEXT, **lead: Any) -> dict[str, Any]:
        """Store a lead."""
        answer = self("POST", "/v1/leads", json={"text": text, **lead})
        assert answer.status_code in {200, 201}, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def page(self, who: str = "reviewer", scope: str = "", **filters: Any) -> list[str]:
        """The external ids of the leads that are listed."""
        answer = self("GET", "/v1/leads", who, scope, params=filters)
        assert answer.status_code == 200, answer.text
        return [lead["external_id"] for lead in answer.json()["leads"]]

    def _key(self, who: str, scope: str) -> str:
        if (who, scope) not in self._keys:
            scopes: dict[str, dict[str, str]] = {
                "case-system": {"source": scope or "hotline"},
                "department": {"department": scope or "commerce"},
            }
            order = KeyOrder(name="test", role=Role(who), per_minute=1_000_000, **scopes.get(who, {}))
            self._keys[who, scope] = self.runtime.access.keys.create("test", order).secret
        return self._keys[who, scope]


@pytest.fixture
def api(open_service: Any, database_url: str, tmp_path: Path) -> Iterator[Api]:
    with open_service(database_url=database_url, secret_file=tmp_path / "secret.key") as client:
        yield Api(client)


@pytest.fixture
def text() -> str:
    """A complaint."""
    return TEXT
