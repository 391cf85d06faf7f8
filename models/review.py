"""How far a decision can be relied on, and why a person should look."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from data.policy_schema import Policy
from models.answer import DepartmentTag, MisconductTag, Review, TaskReview, UrgencyTag
from models.assurance import TASKS, Assurance, Automat, Level, Reason, lowest, set_confidence
from models.tokens import Windowing

if TYPE_CHECKING:
    from models.triage import Probabilities, Reading


class Reviewer:
    """Says of each decision whether it may go unchecked."""

    def __init__(self, assurance: Assurance, windowing: Windowing, policy: Policy) -> None:
        self._familiar, self._window = assurance.familiar, windowing.body
        self.automat = Automat(assurance, policy.automation, policy.taxonomy)
        self._ids = policy.taxonomy.ids

    def is_foreign(self, reading: "Reading") -> bool:
        """Whether the text is of another kind than the model knows."""
        return reading.familiarity < self._familiar

    def review(
        self,
        reading: "Reading",
        found: "Probabilities",
        misconduct: Sequence[MisconductTag],
        department: DepartmentTag,
        urgency: UrgencyTag,
    ) -> Review:
        """Level, plausible labels and reasons; no reasons where the level is automatic."""
        said = [tag.type for tag in misconduct]
        chosen = [self._ids["misconduct"].index(kind) for kind in said]
        confidence = {
            "misconduct": set_confidence(found.misconduct, chosen, found.alleged),
            "department": department.probability,
            "urgency": urgency.probability,
        }
        decided: dict[str, Sequence[str]] = {
            "misconduct": said, "department": [department.id], "urgency": [urgency.card]
        }  # fmt: skip
        tasks = {task: self._task(task, reading, found, confidence[task], decided[task]) for task in confidence}
        level = lowest(task.level for task in tasks.values())
        why = self._reasons(reading, decided, confidence, bool(department.assisting))
        return Review(level=level, reasons=() if level is Level.AUTO else why, **tasks)

    def _task(
        self, task: str, reading: "Reading", found: "Probabilities", confidence: float, decided: Sequence[str]
    ) -> TaskReview:
        plausible = self.automat.plausible(task, self._ids[task], getattr(found, task), decided)
        level = self.automat.level(task, confidence, decided, plausible)
        if self.is_foreign(reading):
            level = Level.RECOMMEND
        return TaskReview(confidence=confidence, level=level, plausible=plausible)

    def _reasons(
        self, reading: "Reading", decided: Mapping[str, Sequence[str]], confidence: Mapping[str, float], mixed: bool
    ) -> tuple[Reason, ...]:
        """The reasons that hold, in the order of how much they matter."""
        holding = {
            Reason.OUT_OF_DISTRIBUTION: self.is_foreign(reading),
            Reason.NEVER_AUTO: any(self.automat.withheld(task, labels) for task, labels in decided.items()),
            Reason.RULE_MODEL_DISAGREE: _disagree(reading, decided),
            Reason.LOW_CONFIDENCE: any(confidence[task] < least for task, least in self.automat.thresholds.items()),
            Reason.MIXED_COMPLAINT: mixed,
            Reason.LONG_TEXT: len(reading.tokens) > self._window,
        }
        return tuple(reason for reason, holds in holding.items() if holds)


def without_model(review: Review) -> Review:
    """The review of a decision that no promise was measured for: nothing automatic, and why."""
    tasks = {name: getattr(review, name) for name in TASKS}
    lowered = {
        name: replace(task, level=Level.PRESELECTED) if task.level is Level.AUTO else task
        for name, task in tasks.items()
    }
    reasons = (Reason.DEGRADED, *review.reasons)
    return Review(level=lowest(task.level for task in lowered.values()), reasons=reasons, **lowered)


def _disagree(reading: "Reading", decided: Mapping[str, Sequence[str]]) -> bool:
    """Whether a strong rule spoke for a label that was not decided; of departments, for none that was."""
    strong = [match.rule.supports.label for match in reading.matches if match.rule.strength == "strong"]
    named = {label for task, label in strong if task == "department"}
    others = any(task != "department" and label not in decided[task] for task, label in strong)
    return others or bool(named and not named & set(decided["department"]))
