"""What a monitor can read: counters, histograms and gauges in Prometheus' text format, in a registry of their own.

Label values come from closed sets: patterns of routes, statuses, ids of taxonomy and rules. Never ids of leads, names
or words.
"""

import math
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from data.complaint import Complaint
from models.answer import Triage
from models.assurance import TASKS, Level, Reason
from models.triage import Triager
from serving.drift import DriftWatch
from serving.probe import Outbox
from serving.version import program_version

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OVERALL = "overall"
UNIT = "unit"  # stands for every named unit that evidence rests on
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TENTHS = tuple(number / 10 for number in range(1, 11))


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What holds at the moment of reading. ``outbox`` is None while the database cannot be asked."""

    queue_depth: int
    degraded: bool
    outbox: Outbox | None


class Metrics:
    """The metrics of one app."""

    def __init__(self, triager: Triager) -> None:
        self._registry = CollectorRegistry()
        self._drift = DriftWatch(triager)
        ProcessCollector(registry=self._registry)
        self._http()
        self._tags(triager)
        self._gauges(triager)

    def _http(self) -> None:
        labels = ("method", "route")
        self._requests = self._counter("http_requests", "已答复的请求", *labels, "status")
        self._request_seconds = self._histogram(
            "http_request_seconds", "答复一个请求的时间，不含等待请求体", _SECONDS, *labels, "status_class"
        )
        self._refused = self._counter("refused_connections", "因超限或不是 HTTP 而拒绝的连接", "status")

    def _tags(self, triager: Triager) -> None:
        taxonomy, rules = triager.taxonomy, [rule.id for rule in triager.policy.rules]
        levels = [(task, level) for task in (*TASKS, OVERALL) for level in Level]
        self._inference_seconds = self._histogram("inference_seconds", "一批投诉的推理时间", _SECONDS)
        self._batch = self._histogram("batch_complaints", "一批有几条投诉", _SIZES)
        self._triages = self._counter("triages", "研判过的投诉", "degraded", known=[("false",), ("true",)])
        self._types = self._counter("misconduct_tags", "标出的问题类型", "type", known=_each(taxonomy.misconduct_ids))
        self._departments = self._counter(
            "department_tags", "标出的责任部门", "department", known=_each(taxonomy.department_ids)
        )
        self._cards = self._counter("card_tags", "标出的紧急程度", "card", known=_each(taxonomy.card_ids))
        self._confidence = self._histogram("confidence", "每项判断的把握", _TENTHS, "task")
        self._levels = self._counter("levels", "可自动采用、已预选、仅供参考的判断", "task", "level", known=levels)
        self._reasons = self._counter("review_reasons", "须经人看的原因", "reason", known=_each(Reason))
        self._rules = self._counter("rule_hits", "标签所依据的规则", "rule", known=_each((*rules, UNIT)))
        self._rule_ids = frozenset(rules)

    def _gauges(self, triager: Triager) -> None:
        versions = triager.versions
        info = self._gauge("info", "版本", "version", "bundle", "taxonomy", "rules")
        info.labels(program_version(), versions.bundle, versions.taxonomy, versions.rules).set(1)
        self._queue = self._gauge("queue_depth", "排队等待研判的投诉")
        self._degraded = self._gauge("engine_degraded", "1 表示模型不能用，只按规则研判")
        self._database = self._gauge("database_up", "1 表示数据库可用")
        self._waiting = self._gauge("outbox_waiting", "还没有送达的消息")
        self._age = self._gauge("outbox_age_seconds", "最早一条还没有送达的消息有多久了")
        self._late = self._gauge("outbox_late_seconds", "最早一条该发未发的消息晚了多久")
        self._dead = self._gauge("dead_letters", "多次发送不成而搁置的消息")
        self._indexes = self._gauge("drift_index", "与参照相比的群体稳定性指标", "dimension", "reference")
        self._chances = self._gauge("drift_chance_index", "仅因偶然也有百分之一会超过的指标", "dimension", "reference")
        self._compared = self._gauge("drift_complaints", "与参照相比的最近投诉条数", "reference")

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request of this pattern was answered with ``status`` after so many seconds of ours."""
        method = method if method in _METHODS else "OTHER"
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route, f"{status // 100}xx").observe(max(seconds, 0.0))

    def observe_refusal(self, status: int) -> None:
        """A connection was turned away before there was a request."""
        self._refused.labels(str(status)).inc()

    def observe_batch(self, complaints: int, seconds: float) -> None:
        """So many complaints went through the model together in so many seconds."""
        self._batch.observe(complaints)
        self._inference_seconds.observe(seconds)

    def observe_triage(self, triages: Sequence[Triage], complaints: Sequence[Complaint]) -> None:
        """These complaints, in the same order, were triaged for the first time."""
        _add(self._triages, (str(one.degraded).lower() for one in triages))
        _add(self._types, (tag.type for one in triages for tag in one.misconduct))
        _add(self._departments, (one.department.id for one in triages))
        _add(self._cards, (one.urgency.card for one in triages))
        _add(self._reasons, (reason for one in triages for reason in one.review.reasons))
        _add(self._rules, (rule for one in triages for rule in self._hits(one)))
        for (task, level), count in Tally(pair for one in triages for pair in _levels(one)).items():
            self._levels.labels(task, level).inc(count)
        for task in TASKS:
            histogram = self._confidence.labels(task)
            for one in triages:
                histogram.observe(getattr(one.review, task).confidence)
        pairs = zip(complaints, triages, strict=True)
        self._drift.add([(complaint, triage) for complaint, triage in pairs if not triage.degraded])

    def render(self, state: State) -> bytes:
        """Everything as Prometheus' text, of type ``CONTENT_TYPE``."""
        self._queue.set(state.queue_depth)
        self._degraded.set(state.degraded)
        self._database.set(state.outbox is not None)
        self._waiting.set(state.outbox.waiting if state.outbox else math.nan)
        self._dead.set(state.outbox.dead if state.outbox else math.nan)
        self._age.set(state.outbox.age_seconds if state.outbox else math.nan)
        self._late.set(state.outbox.late_seconds if state.outbox else math.nan)
        source = self._drift.source
        self._compared.labels(source).set(self._drift.size)
        for drift in self._drift.report():
            self._indexes.labels(drift.dimension, source).set(drift.index)
            self._chances.labels(drift.dimension, source).set(drift.chance)
        return generate_latest(_Timeless(self._registry))

    def _hits(self, triage: Triage) -> set[str]:
        """The rules that a triage's evidence rests on, each once."""
        spans = [*triage.department.evidence, *triage.urgency.evidence]
        spans += [span for tag in triage.misconduct for span in tag.evidence]
        named = {span.source.removeprefix("rule:") for span in spans if span.source != "model"}
        return {id if id in self._rule_ids else UNIT for id in named}

    def _counter(self, name: str, help: str, *labels: str, known: Iterable[Sequence[str]] = ()) -> Counter:
        counter = Counter(f"fenzhen_{name}", help, labels, registry=self._registry)
        for values in known:
            counter.labels(*values)
        return counter

    def _histogram(self, name: str, help: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"fenzhen_{name}", help, labels, buckets=buckets, registry=self._registry)

    def _gauge(self, name: str, help: str, *labels: str) -> Gauge:
        return Gauge(f"fenzhen_{name}", help, labels, registry=self._registry)


class _Timeless(Collector):
    """A registry without the times at which its counters began, which double the lines and tell nothing here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


def _each(values: Iterable[str]) -> list[tuple[str]]:
    return [(str(value),) for value in values]


def _add(counter: Counter, values: Iterable[str]) -> None:
    for value, count in Tally(values).items():
        counter.labels(value).inc(count)


def _levels(triage: Triage) -> Iterator[tuple[str, str]]:
    yield OVERALL, triage.review.level
    yield from ((task, getattr(triage.review, task).level) for task in TASKS)
