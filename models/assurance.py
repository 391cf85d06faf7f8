"""How sure a decision is, what else is plausible, and whether it may go unchecked.

``training.assure`` measures on held-out data how confidence and error go together; the operator's policy
(``automation.yaml``) says which share of errors is acceptable; this module compares the two.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from data.policy_schema import Automation, TaskAutomation
from data.taxonomy import Taxonomy
from models.calibration import Vector

TASKS = ("misconduct", "department", "urgency")
NEVER = 2.0  # above every confidence
ANY_TEXT = -1e9  # below every familiarity but that of a text that is not Chinese


class Level(StrEnum):
    """What may be done with a decision: taken unchecked, shown as chosen, or shown among others."""

    AUTO = "auto"
    PRESELECTED = "preselected"
    RECOMMEND = "recommend"


class Reason(StrEnum):
    """Why a person should look."""

    DEGRADED = "degraded"
    LOW_CONFIDENCE = "low_confidence"
    NEVER_AUTO = "never_auto"
    RULE_MODEL_DISAGREE = "rule_model_disagree"
    OUT_OF_DISTRIBUTION = "out_of_distribution"
    MIXED_COMPLAINT = "mixed_complaint"
    LONG_TEXT = "long_text"


LEVELS = tuple(Level)


def lowest(levels: Iterable[Level]) -> Level:
    """The most careful of these levels."""
    return max(levels, key=LEVELS.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """Decisions of at least ``threshold`` confidence err in at most ``risk`` of the cases; ``share`` of the held-out
    complaints were that confident."""

    risk: float
    threshold: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAssurance:
    """Of one task. ``plausible`` is the least probability of a label that is still plausible."""

    guarantees: tuple[Guarantee, ...]
    plausible: float

    def guarantee(self, risk: float) -> Guarantee:
        """The loosest measured guarantee within ``risk``; one that is never met where none was found."""
        fitting = [g for g in self.guarantees if g.risk <= risk + 1e-9]
        return max(fitting, key=lambda g: g.risk, default=Guarantee(risk=risk, threshold=NEVER, share=0.0))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TaskAssurance":
        return cls(guarantees=tuple(Guarantee(**row) for row in data["guarantees"]), plausible=data["plausible"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Assurance:
    """Of a bundle. The guarantees hold with probability ``confidence`` over the drawing of the held-out complaints; a
    true label is among the plausible ones in ``coverage`` of the cases. ``familiar`` is the least familiarity of a text
    that counts as within the domain (`models.domain`)."""

    confidence: float
    coverage: float
    familiar: float
    misconduct: TaskAssurance
    department: TaskAssurance
    urgency: TaskAssurance

    def task(self, name: str) -> TaskAssurance:
        found: TaskAssurance = getattr(self, name)
        return found

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Assurance":
        tasks = {name: TaskAssurance.from_json(data[name]) for name in TASKS}
        return cls(confidence=data["confidence"], coverage=data["coverage"], familiar=data["familiar"], **tasks)


def nothing_assured() -> Assurance:
    """For a bundle that nobody measured: nothing is automatic, nothing is ruled out."""
    task = TaskAssurance(guarantees=(), plausible=0.0)
    return Assurance(confidence=0.95, coverage=1.0, familiar=ANY_TEXT, misconduct=task, department=task, urgency=task)


def set_confidence(probabilities: Vector, chosen: Sequence[int], alleged: float) -> float:
    """How sure the set of types is: that nothing is alleged, or that every type is rightly in or out."""
    if not len(chosen):
        return 1 - alleged
    right = 1 - probabilities
    right[list(chosen)] = probabilities[list(chosen)]
    return float(right.prod())


class Automat:
    """Applies the operator's policy to confidences."""

    def __init__(self, assurance: Assurance, automation: Automation, taxonomy: Taxonomy) -> None:
        self._assurance = assurance
        settings: dict[str, TaskAutomation] = {name: getattr(automation, name) for name in TASKS}
        self.thresholds = {name: assurance.task(name).guarantee(task.risk).threshold for name, task in settings.items()}
        self.never = {name: frozenset(task.never_auto) for name, task in settings.items()}
        if automation.never_auto_discipline:
            self.never["misconduct"] |= {kind.id for kind in taxonomy.misconduct if kind.discipline}

    def plausible(
        self, task: str, ids: Sequence[str], probabilities: Vector, decided: Iterable[str]
    ) -> tuple[str, ...]:
        """The labels that cannot be ruled out, the likeliest first, the decided ones always among them."""
        least, kept = self._assurance.task(task).plausible, set(decided)
        order = sorted(range(len(ids)), key=lambda i: -probabilities[i])
        return tuple(ids[i] for i in order if ids[i] in kept or probabilities[i] >= least)

    def level(self, task: str, confidence: float, decided: Iterable[str], plausible: Sequence[str]) -> Level:
        """Whether the decision may go unchecked, and if not, whether it is the only plausible one."""
        if confidence >= self.thresholds[task] and not self.never[task] & set(plausible):
            return Level.AUTO
        return Level.PRESELECTED if set(plausible) == set(decided) else Level.RECOMMEND

    def withheld(self, task: str, decided: Iterable[str]) -> bool:
        """Whether policy wants a person to see one of these labels whatever the confidence."""
        return bool(self.never[task] & set(decided))
