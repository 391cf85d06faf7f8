"""The JSON of answers, the same for HTTP and the command line.

Wire types are not domain types: these names are a promise to callers, fields may be added but none renamed.
"""

import json
from collections.abc import Iterable
from typing import Annotated, Any, NotRequired

from pydantic import Field
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from data.complaint import Complaint
from data.policy_schema import Policy
from models.answer import DepartmentTag, MisconductTag, Review, TaskReview, Triage, UrgencyTag, Versions
from models.assurance import Level, Reason
from models.evidence import Evidence
from serving.words import LEVEL_ZH, REASON_ZH

DIGITS = 4


Probability = Annotated[float, Field(ge=0, le=1, description="经校准的概率，四位小数")]


class EvidenceJson(TypedDict):
    """证据：原文中的一段，按 Unicode 码位计，end 不含。"""

    start: int
    end: int
    text: Annotated[str, Field(description="与原文 [start:end] 完全一致")]
    source: Annotated[str, Field(description="model 表示模型，rule:编号 表示哪条规则")]
    turn: NotRequired[Annotated[int, Field(description="按轮次给出的通话：第几轮（从 0 起），start/end 在该轮之内")]]


class MisconductJson(TypedDict):
    """反映的一类问题。"""

    type: str
    zh: str
    family: Annotated[str, Field(description="所属大类")]
    probability: Probability
    basis: Annotated[list[str], Field(description="所依据的条款编号，文字见 GET /v1/taxonomy")]
    evidence: list[EvidenceJson]


class CandidateJson(TypedDict):
    """次选的责任部门。"""

    id: str
    probability: Probability


class DepartmentJson(TypedDict):
    """责任部门。"""

    id: str
    zh: str
    probability: Probability
    evidence: list[EvidenceJson]
    unit: Annotated[str | None, Field(description="原文点名的具体单位在单位名录中的编号")]
    unit_zh: Annotated[str | None, Field(description="该单位全称")]
    assisting: Annotated[list[str], Field(description="协办部门")]
    candidates: list[CandidateJson]


class UrgencyJson(TypedDict):
    """紧急程度：蓝、黄、红牌。"""

    card: str
    zh: str
    probability: Probability
    evidence: list[EvidenceJson]


class TaskReviewJson(TypedDict):
    """一项判断有多大把握。"""

    confidence: Annotated[float, Field(ge=0, le=1, description="这项判断整体正确的把握，四位小数")]
    level: Annotated[Level, Field(description="auto 可自动采用；preselected 已预选待确认；recommend 仅供参考")]
    plausible: Annotated[list[str], Field(description="不能排除的标签，从最可能的起")]


class ReviewJson(TypedDict):
    """要不要人看：三项判断中最低的一级，以及须经人看的原因。"""

    level: Level
    level_zh: str
    reasons: Annotated[list[Reason], Field(description="须经人看的原因，最要紧的在前；可自动采用时为空")]
    reasons_zh: list[str]
    misconduct: TaskReviewJson
    department: TaskReviewJson
    urgency: TaskReviewJson


class VersionsJson(TypedDict):
    """由哪些版本得出。"""

    bundle: str
    taxonomy: str
    rules: str


class TriageJson(TypedDict):
    """一条投诉的研判结果。"""

    id: str
    misconduct: list[MisconductJson]
    alleged: Annotated[float, Field(ge=0, le=1, description="文中反映了某种问题的概率")]
    department: DepartmentJson
    urgency: UrgencyJson
    review: ReviewJson
    degraded: Annotated[bool, Field(description="模型暂时不能用，只凭规则和用词研判")]
    versions: VersionsJson


class RejectedJson(TypedDict):
    """没有研判的一条投诉及原因。"""

    index: Annotated[int, Field(description="在请求中的序号（从 0 起）")]
    id: str
    code: Annotated[str, Field(description="原因，供程序判断")]
    detail: Annotated[str, Field(description="原因，供人阅读")]
    field: Annotated[str, Field(description="有误的字段，整条有误时为空")]


class TriageAnswer(TypedDict):
    """对一批投诉的回答：triages 按原顺序，未研判的在 rejected。"""

    request_id: str
    triages: list[TriageJson]
    rejected: list[RejectedJson]


class Json(JSONResponse):
    """JSON with Chinese as it is; a half of a surrogate pair, which is no character, becomes ``?``."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def triage_json(triage: Triage, policy: Policy) -> TriageJson:
    """The JSON of one triage; ``policy`` is the one that decided and names what the ids stand for."""
    return TriageJson(
        id=triage.id,
        misconduct=[_misconduct(tag, policy) for tag in triage.misconduct],
        alleged=round(triage.alleged, DIGITS),
        department=_department(triage.department, policy),
        urgency=_urgency(triage.urgency, policy),
        review=_review(triage.review),
        degraded=triage.degraded,
        versions=versions_json(triage.versions),
    )


def answer_json(triage: Triage, policy: Policy) -> dict[str, Any]:
    """The JSON of one triage as it is stored: without the words of evidence, which `with_words` puts back."""
    answer: dict[str, Any] = {**triage_json(triage, policy)}
    return {name: _wordless(value) for name, value in answer.items()}


def _wordless(value: Any) -> Any:
    if isinstance(value, list):
        return [_wordless(one) for one in value]
    if isinstance(value, dict):
        span = "start" in value and "source" in value
        return {name: _wordless(one) for name, one in value.items() if not (span and name == "text")}
    return value


def with_words(answer: Any, words: Complaint) -> Any:
    """A stored answer with the words of its evidence, cut from ``words`` (redacted or not)."""
    if isinstance(answer, list):
        return [with_words(one, words) for one in answer]
    if not isinstance(answer, dict):
        return answer
    if "start" in answer and "source" in answer:
        begin = words.utterances[answer["turn"]].span.start if "turn" in answer else 0
        quoted = words.text[begin + answer["start"] : begin + answer["end"]]
        return {**answer, "text": quoted}
    return {name: with_words(one, words) for name, one in answer.items()}


def versions_json(versions: Versions) -> VersionsJson:
    """What decided."""
    return VersionsJson(bundle=versions.bundle, taxonomy=versions.taxonomy, rules=versions.rules)


def _misconduct(tag: MisconductTag, policy: Policy) -> MisconductJson:
    kind = policy.taxonomy.misconduct_type(tag.type)
    return MisconductJson(
        type=tag.type,
        zh=kind.zh,
        family=kind.family,
        probability=round(tag.probability, DIGITS),
        basis=list(kind.basis),
        evidence=_evidence(tag.evidence),
    )


def _department(tag: DepartmentTag, policy: Policy) -> DepartmentJson:
    return DepartmentJson(
        id=tag.id,
        zh=policy.taxonomy.department(tag.id).zh,
        probability=round(tag.probability, DIGITS),
        evidence=_evidence(tag.evidence),
        unit=tag.unit,
        unit_zh=None if tag.unit is None else policy.units[tag.unit].zh,
        assisting=list(tag.assisting),
        candidates=[CandidateJson(id=id, probability=round(chance, DIGITS)) for id, chance in tag.candidates],
    )


def _urgency(tag: UrgencyTag, policy: Policy) -> UrgencyJson:
    card = next(card for card in policy.taxonomy.cards if card.id == tag.card)
    return UrgencyJson(
        card=tag.card, zh=card.zh, probability=round(tag.probability, DIGITS), evidence=_evidence(tag.evidence)
    )


def _review(review: Review) -> ReviewJson:
    return ReviewJson(
        level=review.level,
        level_zh=LEVEL_ZH[review.level],
        reasons=list(review.reasons),
        reasons_zh=[REASON_ZH[reason] for reason in review.reasons],
        misconduct=_task_review(review.misconduct),
        department=_task_review(review.department),
        urgency=_task_review(review.urgency),
    )


def _task_review(task: TaskReview) -> TaskReviewJson:
    return TaskReviewJson(confidence=round(task.confidence, DIGITS), level=task.level, plausible=list(task.plausible))


def _evidence(found: Iterable[Evidence]) -> list[EvidenceJson]:
    return [_span(one) for one in found]


def _span(one: Evidence) -> EvidenceJson:
    span = EvidenceJson(start=one.start, end=one.end, text=one.text, source=one.source)
    if one.turn is not None:
        span["turn"] = one.turn
    return span
