"""What a triage says: three tags with their evidence, and how far to rely on them."""

from dataclasses import dataclass

from models.assurance import Level, Reason
from models.evidence import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class MisconductTag:
    """One alleged type."""

    type: str
    probability: float
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DepartmentTag:
    """The responsible department, the next candidates, the concrete unit if named, and who must act too."""

    id: str
    probability: float
    evidence: tuple[Evidence, ...]
    unit: str | None
    assisting: tuple[str, ...]
    candidates: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UrgencyTag:
    """The card."""

    card: str
    probability: float
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReview:
    """How far one task's decision can be relied on: the confidence that it is right, the level, and the labels that
    cannot be ruled out, the likeliest first."""

    confidence: float
    level: Level
    plausible: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Whether a person must look: the lowest level of the three tasks, and why it is not higher."""

    level: Level
    reasons: tuple[Reason, ...]
    misconduct: TaskReview
    department: TaskReview
    urgency: TaskReview


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What decided."""

    bundle: str
    taxonomy: str
    rules: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Triage:
    """The answer for one complaint. ``alleged`` is the probability that any misconduct is alleged; ``degraded`` that
    rules and n-grams decided, as the encoder could not run."""

    id: str
    misconduct: tuple[MisconductTag, ...]
    alleged: float
    department: DepartmentTag
    urgency: UrgencyTag
    review: Review
    versions: Versions
    degraded: bool = False
