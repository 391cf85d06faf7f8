"""Liveness, readiness and metrics of the running service: who may ask, and what an outage looks like."""

import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from models.bundle import EncoderFailed
from models.triage import Triager
from serving.routes import health

TEXT = "窗口让我跑了三趟，每次要的材料都不一样，办一个证拖了两个月。"
WATCHERS = {"monitor", "supervisor", "admin"}
NOBODY = {"Authorization": ""}


def runtime(client: TestClient) -> Any:
    return client.app.state.runtime  # type: ignore[attr-defined]


def samples(client: TestClient) -> dict[str, float]:
    """Every sample without labels, and the sum over labels of the others."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def test_anybody_learns_that_it_lives_and_is_ready(open_service: Any, triager: Triager) -> None:
    with open_service() as client:
        assert client.get("/healthz", headers=NOBODY).json() == {"status": "ok"}
        answer = client.get("/readyz", headers=NOBODY)
        assert answer.status_code == 200
        body = answer.json()
        assert set(body) == {"status", "degraded", "outbox_age_seconds", "versions"}
        assert (body["status"], body["degraded"]) == ("ready", False)
        assert body["versions"]["bundle"] == triager.versions.bundle


@pytest.mark.parametrize(
    "role", ["case-system", "reviewer", "supervisor", "admin", "department", "identity", "monitor"]
)
def test_metrics_are_for_watchers(open_service: Any, role: str) -> None:
    with open_service(role) as client:
        assert client.get("/metrics", headers=NOBODY).status_code == 401
        answer = client.get("/metrics")
        assert answer.status_code == (200 if role in WATCHERS else 403)
        if role in WATCHERS:
            assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert "fenzhen_queue_depth 0.0" in answer.text


def test_what_the_service_does_reaches_its_metrics(open_service: Any) -> None:
    with open_service("admin") as client:
        before = samples(client)
        complaints = [{"id": str(number), "text": TEXT} for number in range(3)]
        assert client.post("/v1/triage", json={"complaints": complaints}).status_code == 200
        assert client.post("/v1/triage", content=b"{").status_code == 415
        after = samples(client)
        grown = {name: after[name] - before.get(name, 0) for name in after}
        assert grown["fenzhen_triages_total"] == 3
        assert grown["fenzhen_department_tags_total"] == grown["fenzhen_card_tags_total"] == 3
        assert grown["fenzhen_batch_complaints_sum"] == 3
        assert grown["fenzhen_inference_seconds_count"] >= 1
        assert grown["fenzhen_http_requests_total"] == 3  # with the first look at the metrics
        assert after["fenzhen_database_up"] == 1
        text = client.get("/metrics").text
        assert 'fenzhen_http_requests_total{method="POST",route="/v1/triage",status="415"} 1.0' in text


def test_a_service_whose_database_is_gone_lives_but_is_not_ready(open_service: Any, tmp_path: Path) -> None:
    with open_service("monitor", data_dir=tmp_path / "data") as client:
        assert client.get("/metrics").status_code == 200  # from here on the key is known
        runtime(client).database.engine.dispose()
        moved = (tmp_path / "data").rename(tmp_path / "moved")
        time.sleep(1.1)  # an answer holds for a second
        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert str(tmp_path) not in answer.text
        watched = client.get("/metrics")
        assert "fenzhen_database_up 0.0" in watched.text
        assert "fenzhen_outbox_waiting NaN" in watched.text
        moved.rename(tmp_path / "data")
        time.sleep(1.1)
        assert client.get("/readyz").status_code == 200


def test_a_service_that_sends_nothing_any_more_is_not_ready(open_service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SILENT", 2.0)
    with open_service() as client:
        time.sleep(2.5)
        assert client.get("/readyz").status_code == 200
        runtime(client).deliverer.stop()
        time.sleep(2.5)
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "outbox_stopped")


class Broken(Triager):
    """A triager whose model cannot run."""

    def read(self, complaints: Any) -> Any:
        raise EncoderFailed("no memory")


def test_a_service_without_its_model_is_ready_and_says_that_it_is_degraded(open_service: Any, triager: Triager) -> None:
    with open_service("admin", decides=Broken(triager.policy, triager.bundle)) as client:
        assert client.post("/v1/triage", json={"complaints": [{"text": TEXT}]}).status_code == 200
        assert client.get("/readyz").json()["degraded"] is True
        text = client.get("/metrics").text
        assert "fenzhen_engine_degraded 1.0" in text
        assert 'fenzhen_triages_total{degraded="true"} 1.0' in text


def test_before_the_start_it_lives_but_is_not_ready(open_service: Any) -> None:
    with open_service() as client:
        app = client.app
    late = TestClient(app)
    assert late.get("/healthz").json() == {"status": "ok"}
    answer = late.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert late.get("/metrics").status_code == 503
