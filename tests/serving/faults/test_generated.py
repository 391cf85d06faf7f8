"""Requests that nobody would think of, generated from the OpenAPI document and sent to a real server."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

EXAMPLES = 25


@pytest.mark.parametrize("role", ["admin", "case-system", "reviewer", "identity"])
def test_generated_requests_find_no_fault_of_ours(
    server: Callable[..., Any], role: str, fault_table: Callable[..., None]
) -> None:
    one = server().start()
    headers = {"Authorization": f"Bearer {one.key(role)}"}
    schema = schemathesis.openapi.from_dict(httpx.get(f"{one.url}/openapi.json", headers=headers).json())
    seen: dict[int, int] = {}

    def send(operation: Any) -> None:
        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def once(case: Any) -> None:
            answer = case.call(base_url=one.url, headers=headers)
            seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
            assert answer.status_code < 500, (operation.label, answer.text)

        once()

    for result in schema.get_all_operations():
        send(result.ok())
    fault_table("generated requests", role=role, answers=dict(sorted(seen.items())))
    assert sum(seen.values()) > 200
    assert one.wait() is None
