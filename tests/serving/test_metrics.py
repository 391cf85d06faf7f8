"""What a monitor reads: counted right, bounded in its labels, and never with words of a complaint."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from data.complaint import Complaint
from data.policy_schema import Policy
from data.transcript import complaint_from_text
from models.answer import Triage
from models.drift import bins, mixes
from models.triage import Triager
from serving.drift import DriftWatch
from serving.metrics import Metrics, State
from serving.probe import Outbox
from serving.version import program_version

TEXTS = (
    "窗口让我跑了三趟，每次要的材料都不一样，办一个证拖了两个月。",
    "去税务所开发票，窗口没人，电话也打不通",
    "我们楼后面的挡土墙裂了，今早还在掉石头，下面就是幼儿园。",
    "村干部把低保名额给了自己亲戚，还收了两条烟。",
)
CALM = State(queue_depth=0, degraded=False, outbox=Outbox(waiting=0, dead=0, age_seconds=0.0, late_seconds=0.0))


def complaints(count: int = len(TEXTS)) -> list[Complaint]:
    return [complaint_from_text(f"绝密编号-{number}", TEXTS[number % len(TEXTS)]) for number in range(count)]


@pytest.fixture
def metrics(triager: Triager) -> Metrics:
    return Metrics(triager)


@pytest.fixture(scope="module")
def triages(triager: Triager) -> list[Triage]:
    return triager.triage(complaints())


def read(metrics: Metrics, state: State = CALM) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels, as Prometheus' own parser finds them."""
    families = text_string_to_metric_families(metrics.render(state).decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(metrics: Metrics, name: str, state: State = CALM, **labels: str) -> Any:
    return read(metrics, state).get((f"fenzhen_{name}", frozenset(labels.items())))


def counted(metrics: Metrics, name: str, label: str) -> Counter[str]:
    """The counter by one label, without what was never counted."""
    found: Counter[str] = Counter()
    for (sample, labels), count in read(metrics).items():
        if sample == f"fenzhen_{name}":
            found[dict(labels)[label]] += int(count)
    return +found


def test_requests_are_counted_by_pattern_and_status(metrics: Metrics) -> None:
    for status, seconds in ((200, 0.02), (200, 0.2), (429, 0.001)):
        metrics.observe_request("POST", "/v1/triage", status, seconds)
    labels = {"method": "POST", "route": "/v1/triage"}
    assert value(metrics, "http_requests_total", **labels, status="200") == 2
    assert value(metrics, "http_requests_total", **labels, status="429") == 1
    taken = {**labels, "status_class": "2xx"}
    assert value(metrics, "http_request_seconds_count", **taken) == 2
    assert value(metrics, "http_request_seconds_sum", **taken) == pytest.approx(0.22)
    assert value(metrics, "http_request_seconds_bucket", **taken, le="0.025") == 1


def test_a_method_that_a_caller_made_up_is_one_of_others(metrics: Metrics) -> None:
    for number in range(50):
        metrics.observe_request(f"MADE-UP-{number}", "-", 405, 0.001)
    assert counted(metrics, "http_requests_total", "method") == {"OTHER": 50}


def test_tags_levels_reasons_and_rules_are_those_of_the_answers(metrics: Metrics, triages: list[Triage]) -> None:
    metrics.observe_triage(triages, complaints())
    metrics.observe_triage(triages[:1], complaints(1))
    seen = [*triages, triages[0]]
    assert counted(metrics, "misconduct_tags_total", "type") == Counter(t.type for o in seen for t in o.misconduct)
    assert counted(metrics, "department_tags_total", "department") == Counter(one.department.id for one in seen)
    assert counted(metrics, "card_tags_total", "card") == Counter(one.urgency.card for one in seen)
    assert counted(metrics, "review_reasons_total", "reason") == Counter(r for o in seen for r in o.review.reasons)
    for task in ("misconduct", "department", "urgency"):
        levels = Counter(str(getattr(one.review, task).level) for one in seen)
        for level, count in levels.items():
            assert value(metrics, "levels_total", task=task, level=level) == count
        assert value(metrics, "confidence_count", task=task) == len(seen)
        confidences = sum(getattr(one.review, task).confidence for one in seen)
        assert value(metrics, "confidence_sum", task=task) == pytest.approx(confidences)
    overall = Counter(str(one.review.level) for one in seen)
    assert {level: value(metrics, "levels_total", task="overall", level=level) for level in overall} == overall


def test_a_rule_counts_once_for_a_complaint(metrics: Metrics, triages: list[Triage], policy: Policy) -> None:
    metrics.observe_triage(triages, complaints())
    expected: Counter[str] = Counter()
    for one in triages:
        tags = (*one.misconduct, one.department, one.urgency)
        expected.update({span.source for tag in tags for span in tag.evidence if span.source.startswith("rule:")})
    found = counted(metrics, "rule_hits_total", "rule")
    units = sum(any(name.startswith("rule:unit:") for name in expected) for _ in (1,))
    assert found, "the texts hit no rule"
    assert {id: count for id, count in found.items() if id != "unit"} == {
        name.removeprefix("rule:"): count for name, count in expected.items() if not name.startswith("rule:unit:")
    }
    assert ("unit" in found) == bool(units)


def test_what_was_never_seen_is_zero_not_absent(metrics: Metrics, policy: Policy) -> None:
    assert value(metrics, "rule_hits_total", rule=policy.rules[-1].id) == 0
    assert value(metrics, "misconduct_tags_total", type=policy.taxonomy.misconduct_ids[-1]) == 0
    assert value(metrics, "triages_total", degraded="true") == 0


def test_degraded_answers_are_counted_and_left_out_of_drift(metrics: Metrics, triages: list[Triage]) -> None:
    metrics.observe_triage([replace(one, degraded=True) for one in triages] * 300, complaints() * 300)
    assert value(metrics, "triages_total", degraded="true") == 1200
    assert value(metrics, "drift_complaints", reference="first_leads") == 0


def test_batches_and_turned_away_connections_are_counted(metrics: Metrics) -> None:
    metrics.observe_batch(8, 0.03)
    metrics.observe_refusal(431)
    assert value(metrics, "batch_complaints_sum") == 8
    assert value(metrics, "inference_seconds_count") == 1
    assert value(metrics, "refused_connections_total", status="431") == 1


def test_the_state_is_told_as_it_is(metrics: Metrics) -> None:
    busy = State(queue_depth=7, degraded=True, outbox=Outbox(waiting=5, dead=2, age_seconds=90.0, late_seconds=61.5))
    told = {"queue_depth": 7, "engine_degraded": 1, "database_up": 1, "outbox_waiting": 5, "dead_letters": 2}
    told |= {"outbox_age_seconds": 90, "outbox_late_seconds": 61.5}
    assert {name: value(metrics, name, busy) for name in told} == told
    away = State(queue_depth=0, degraded=False, outbox=None)
    assert value(metrics, "database_up", away) == 0
    assert "fenzhen_outbox_waiting NaN" in metrics.render(away).decode()


def test_versions_are_told(metrics: Metrics, triager: Triager) -> None:
    versions = triager.versions
    labels = {"bundle": versions.bundle, "taxonomy": versions.taxonomy, "rules": versions.rules}
    assert value(metrics, "info", version=program_version(), **labels) == 1


def test_nothing_of_a_complaint_is_in_a_metric_and_labels_are_bounded(
    metrics: Metrics, triages: list[Triage], triager: Triager
) -> None:
    metrics.observe_triage(triages, complaints())
    for number in range(100):
        metrics.observe_request("GET", "/v1/leads/{id}", 200 + number % 5, 0.01)
    text = metrics.render(CALM).decode()
    labels = set(re.findall(r'="([^"]*)"', text))
    for one in complaints():
        assert one.id not in text
        assert not any(one.text[at : at + 4] in text for at in range(len(one.text) - 3))
    known = {label for names in bins(triager.taxonomy).values() for label in names}
    known |= {rule.id for rule in triager.policy.rules}
    assert len(labels - known) < 120
    assert len(text.splitlines()) < 1500


def test_no_series_tells_when_it_began(metrics: Metrics) -> None:
    assert "_created" not in metrics.render(CALM).decode()


def test_two_apps_count_apart(triager: Triager) -> None:
    first, second = Metrics(triager), Metrics(triager)
    first.observe_request("GET", "/healthz", 200, 0.001)
    assert counted(second, "http_requests_total", "route") == {}


# --- drift


def watch(triager: Triager, **sizes: int) -> DriftWatch:
    return DriftWatch(triager, **{"window": 40, "first": 20, "least": 10, **sizes})


def with_reference(triager: Triager, mix: dict[str, Counter[str]]) -> Triager:
    manifest = {**triager.bundle.manifest, "reference": {name: dict(counts) for name, counts in mix.items()}}
    return Triager(triager.policy, replace(triager.bundle, manifest=manifest))


def test_the_reference_of_the_bundle_is_used_where_it_has_one(triager: Triager, triages: list[Triage]) -> None:
    same = list(zip(complaints(), triages, strict=True)) * 25
    watched = watch(with_reference(triager, mixes(same)))
    assert (watched.source, watched.report()) == ("bundle", [])
    watched.add(same)
    calm = {drift.dimension: drift for drift in watched.report()}
    assert set(calm) == {"length", "misconduct", "department", "urgency"}
    assert all(drift.index < drift.chance for drift in calm.values())
    assert calm["length"].index < 0.05
    watched.add([(complaint_from_text("x", TEXTS[0] * 100), triages[0])] * 40)
    moved = {drift.dimension: drift for drift in watched.report()}
    assert watched.size == 40
    assert moved["length"].index > moved["length"].chance
    assert moved["department"].index > calm["department"].index
    watched.add(same)
    assert {drift.dimension: drift.index for drift in watched.report()} == pytest.approx(
        {name: drift.index for name, drift in calm.items()}
    )


def test_without_one_the_first_complaints_stand_in_and_it_says_so(triager: Triager, triages: list[Triage]) -> None:
    same = list(zip(complaints(), triages, strict=True))
    watched = watch(triager)
    watched.add(same * 4)
    assert (watched.source, watched.size, watched.report()) == ("first_leads", 0, [])
    watched.add(same * 4)
    assert watched.size == 12
    assert all(drift.index == pytest.approx(0, abs=0.1) for drift in watched.report())
    metrics = Metrics(triager)
    metrics.observe_triage(triages, complaints())
    assert value(metrics, "drift_complaints", reference="first_leads") == 0


def test_the_index_reaches_the_monitor(triager: Triager, triages: list[Triage]) -> None:
    same = list(zip(complaints(), triages, strict=True)) * 60
    metrics = Metrics(with_reference(triager, mixes(same)))
    metrics.observe_triage([one for _, one in same], [one for one, _ in same])
    assert value(metrics, "drift_complaints", reference="bundle") == 240
    assert value(metrics, "drift_index", dimension="length", reference="bundle") == pytest.approx(0, abs=1e-9)
    assert value(metrics, "drift_chance_index", dimension="length", reference="bundle") > 0


def test_every_metric_that_the_manual_names_exists(metrics: Metrics, triages: list[Triage]) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    named = set(re.findall(r"fenzhen_[a-z_]+", manual)) - {"fenzhen_session"}
    metrics.observe_request("POST", "/v1/leads", 201, 0.01)
    text = metrics.render(CALM).decode()
    existing = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)) | set(
        re.findall(r"^([a-z_]+)", text, re.MULTILINE)
    )
    assert len(named) > 10
    assert named <= existing
