"""Levels: what may go unchecked, what is only proposed, and why a person must look."""

from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data.policy_schema import Automation, Policy, TaskAutomation
from data.taxonomy import Taxonomy
from data.transcript import complaint_from_text
from models.answer import Triage
from models.assurance import (
    NEVER,
    TASKS,
    Assurance,
    Automat,
    Guarantee,
    Level,
    Reason,
    TaskAssurance,
    lowest,
    nothing_assured,
    set_confidence,
)  # fmt: skip
from models.calibration import TaskFusion
from models.domain import familiarity, han_share
from models.review import Reviewer
from models.triage import Triager

TEXT = "窗口让找县税务局，税务局又说归镇里管，推来推去没人接。"


def assured(threshold: float = 0.5, plausible: float = 0.2, familiar: float = -1e9) -> Assurance:
    rows = (Guarantee(risk=0.02, threshold=0.9, share=0.1), Guarantee(risk=0.05, threshold=threshold, share=0.6))
    task = TaskAssurance(guarantees=rows, plausible=plausible)
    return Assurance(confidence=0.95, coverage=0.9, familiar=familiar, misconduct=task, department=task, urgency=task)


def policy_with(policy: Policy, discipline: bool = False, **never: tuple[str, ...]) -> Policy:
    tasks = {task: TaskAutomation(risk=0.05, never_auto=never.get(task, ())) for task in TASKS}
    return replace(policy, automation=Automation(**tasks, never_auto_discipline=discipline))


def deciding(triager: Triager, policy: Policy, assurance: Assurance, **fusion: Any) -> Triager:
    other = copy(triager)
    other.bundle = replace(triager.bundle, assurance=assurance)
    other.fusion = replace(triager.fusion, **fusion)
    other.reviewer = Reviewer(assurance, triager.bundle.windowing, policy)
    return other


def certain(labels: int, chosen: int | None, width: int) -> TaskFusion:
    """A fusion that heeds no signal: sure of label ``chosen``, or of none."""
    bias = np.full(labels, -9.0)
    if chosen is not None:
        bias[chosen] = 9.0
    return TaskFusion(weights={}, bias=bias, thresholds=np.full(width, 0.5))


def sure(triager: Triager, kind: str | None, department: str, card: str = "blue") -> dict[str, TaskFusion]:
    taxonomy = triager.taxonomy
    index = None if kind is None else taxonomy.misconduct_ids.index(kind)
    steps = np.where(np.arange(2) < taxonomy.card_ids.index(card), 9.0, -9.0)
    return {
        "misconduct": certain(25, index, 25),
        "alleged": TaskFusion(
            weights={}, bias=np.array([-9.0 if kind is None else 9.0]), thresholds=np.array([0.5, 0.5])
        ),
        "department": certain(37, taxonomy.department_ids.index(department), 0),
        "urgency": TaskFusion(weights={}, bias=steps, thresholds=np.full(2, 0.5)),
    }


def triaged(triager: Triager, text: str = TEXT) -> Triage:
    (found,) = triager.triage([complaint_from_text("c", text)])
    return found


def test_the_loosest_guarantee_within_the_risk() -> None:
    task = assured().department
    assert (task.guarantee(0.05).threshold, task.guarantee(0.2).threshold, task.guarantee(0.03).threshold) == (
        0.5, 0.5, 0.9,
    )  # fmt: skip
    assert task.guarantee(0.01) == Guarantee(risk=0.01, threshold=NEVER, share=0.0)


def test_an_assurance_survives_json() -> None:
    for assurance in (assured(), nothing_assured()):
        assert Assurance.from_json(assurance.as_json()) == assurance


def test_the_most_careful_level_counts() -> None:
    assert lowest([Level.AUTO, Level.RECOMMEND, Level.PRESELECTED]) is Level.RECOMMEND
    assert lowest([Level.AUTO]) is Level.AUTO


def test_confidence_in_a_set_of_types() -> None:
    probabilities = np.array([0.9, 0.2, 0.5])
    assert set_confidence(probabilities, [], 0.3) == pytest.approx(0.7)
    assert set_confidence(probabilities, [0], 0.9) == pytest.approx(0.9 * 0.8 * 0.5)
    assert probabilities.tolist() == [0.9, 0.2, 0.5]


def test_sure_decisions_go_unchecked(triager: Triager, policy: Policy) -> None:
    found = triaged(deciding(triager, policy_with(policy), assured(), **sure(triager, "buck_passing", "tax")))
    assert (found.review.level, found.review.reasons) == (Level.AUTO, ())
    assert found.review.department.plausible == ("tax",) and found.review.misconduct.plausible == ("buck_passing",)
    assert found.review.department.confidence == found.department.probability


def test_a_label_that_people_must_see(triager: Triager, policy: Policy) -> None:
    taxes = policy_with(policy, department=("tax",))
    found = triaged(deciding(triager, taxes, assured(), **sure(triager, "buck_passing", "tax")))
    assert found.review.department.level is Level.PRESELECTED and found.review.level is Level.PRESELECTED
    assert Reason.NEVER_AUTO in found.review.reasons and Reason.LOW_CONFIDENCE not in found.review.reasons


@pytest.mark.parametrize(("discipline", "level"), [(True, Level.PRESELECTED), (False, Level.AUTO)])
def test_the_discipline_channel_is_never_automatic(
    triager: Triager, policy: Policy, discipline: bool, level: Level
) -> None:
    strict = policy_with(policy, discipline=discipline)
    found = triaged(deciding(triager, strict, assured(), **sure(triager, "embezzlement", "tax")))
    assert found.review.misconduct.level is level


def test_shipped_policy_never_decides_discipline_or_red_alone(policy: Policy, taxonomy: Taxonomy) -> None:
    automat = Automat(assured(threshold=0.0), policy.automation, taxonomy)
    for kind in taxonomy.misconduct:
        expected = Level.PRESELECTED if kind.discipline else Level.AUTO
        assert automat.level("misconduct", 1.0, [kind.id], [kind.id]) is expected
    assert automat.level("urgency", 1.0, ["red"], ["red"]) is Level.PRESELECTED
    assert automat.level("misconduct", 1.0, [], ["embezzlement"]) is Level.RECOMMEND


def test_nothing_is_automatic_in_a_bundle_nobody_measured(triager: Triager, policy: Policy) -> None:
    found = triaged(deciding(triager, policy_with(policy), nothing_assured(), **sure(triager, None, "tax")))
    assert found.review.level is Level.RECOMMEND and Reason.LOW_CONFIDENCE in found.review.reasons
    assert len(found.review.department.plausible) == 37


def test_a_foreign_text_accuses_nobody(triager: Triager, policy: Policy) -> None:
    strict = deciding(triager, policy_with(policy), assured(familiar=1e9), **sure(triager, "embezzlement", "tax"))
    found = triaged(strict)
    assert found.misconduct == () and found.review.level is Level.RECOMMEND
    assert found.review.reasons[0] is Reason.OUT_OF_DISTRIBUTION


@pytest.mark.parametrize("text", ["Dear sir, the mayor took a bribe from me", "def f(x):\n    return x + 1", "¿Qué?"])
def test_what_is_not_chinese_goes_to_a_person(triager: Triager, policy: Policy, text: str) -> None:
    found = triaged(deciding(triager, policy_with(policy), assured(), **sure(triager, "embezzlement", "tax")), text)
    assert (found.misconduct, found.department.id) == ((), "other") and found.department.probability < 0.1
    assert found.review.level is Level.RECOMMEND and Reason.OUT_OF_DISTRIBUTION in found.review.reasons


def test_a_strong_rule_that_was_overruled_is_a_reason(triager: Triager, policy: Policy) -> None:
    found = triaged(deciding(triager, policy_with(policy), assured(), **sure(triager, "buck_passing", "health")))
    (reading,) = triager.read([complaint_from_text("c", TEXT)])
    assert any(m.rule.strength == "strong" and m.rule.supports.department for m in reading.matches)
    assert found.review.reasons == () and found.review.level is Level.AUTO
    doubting = deciding(triager, policy_with(policy, urgency=("blue",)), assured(),
                        **sure(triager, "buck_passing", "health"))  # fmt: skip
    assert Reason.RULE_MODEL_DISAGREE in triaged(doubting).review.reasons


def test_long_texts_are_named(triager: Triager, policy: Policy) -> None:
    unsure = deciding(triager, policy_with(policy), nothing_assured())
    assert Reason.LONG_TEXT in triaged(unsure, TEXT * 10).review.reasons
    assert Reason.LONG_TEXT not in triaged(unsure, TEXT).review.reasons


@pytest.mark.parametrize(
    ("text", "share"), [("窗口推诿", 1.0), ("ok", 0.0), ("办证ab", 0.5), ("！？。", 1.0), ("", 1.0)]
)
def test_the_share_of_chinese(text: str, share: float) -> None:
    assert han_share(text) == share


def test_familiarity_is_that_of_the_best_fitting_department(taxonomy: Taxonomy) -> None:
    scores = np.linspace(-9, -1, 37)
    scores[taxonomy.department_ids.index("other")] = 5
    others = np.delete(scores, taxonomy.department_ids.index("other"))
    assert familiarity("窗口推诿", {"lexical": scores}, taxonomy) == others.max()
    assert familiarity("hello", {"lexical": scores}, taxonomy) == float("-inf")
