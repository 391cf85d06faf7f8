"""Figures of quality on outcomes small enough to count by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data.complaint import Labels
from data.taxonomy import Taxonomy
from models.answer import DepartmentTag, MisconductTag, Review, TaskReview, Triage, UrgencyTag, Versions
from models.assurance import TASKS, Level
from models.evidence import Evidence
from training.metrics import Outcome, bootstrap, character_f1, f1, headline, kappa, outcome, type_counts

PLAIN = Outcome(
    true_types=frozenset(), types=frozenset(), true_department="tax", departments=("tax", "health", "other"),
    true_rank=0, rank=0, evidence=(), confidence=dict.fromkeys(TASKS, 0.9), right=dict.fromkeys(TASKS, True),
    level="auto",
)  # fmt: skip


def make(**changes: Any) -> Outcome:
    changes = {k: frozenset(v) if k.endswith("types") else v for k, v in changes.items()}
    return replace(PLAIN, **changes)


def test_f1_from_counts() -> None:
    assert (f1(2, 4, 3), f1(0, 0, 0), f1(0, 3, 0), f1(3, 3, 3)) == (4 / 7, 0.0, 0.0, 1.0)


def test_character_f1_of_positions() -> None:
    assert character_f1({1, 2, 3, 4}, {3, 4}) == pytest.approx(2 / 3)
    assert character_f1({1}, {2}) == character_f1(set(), {2}) == 0.0


def test_kappa_weighs_by_the_square_of_the_distance() -> None:
    true = np.array([0, 1, 2, 0, 1, 2])
    assert kappa(true, true, 3) == 1.0
    near, far = np.array([1, 1, 2, 0, 1, 2]), np.array([2, 1, 2, 0, 1, 2])
    assert kappa(far, true, 3) < kappa(near, true, 3) < 1
    assert kappa(2 - true, true, 3) == pytest.approx(-1)
    assert kappa(np.zeros(4, int), np.zeros(4, int), 3) == 1.0


def test_types_are_counted_each(taxonomy: Taxonomy) -> None:
    found = [
        make(types={"arrears", "formalism"}, true_types={"arrears"}),
        make(types={"arrears"}, true_types=set()),
        make(types=set(), true_types={"formalism"}),
    ]
    counts = dict(zip(taxonomy.misconduct_ids, type_counts(found, taxonomy).tolist(), strict=True))
    assert counts.pop("arrears") == [1, 2, 1] and counts.pop("formalism") == [0, 1, 1]
    assert set(map(tuple, counts.values())) == {(0, 0, 0)} and len(counts) == 23


def test_headline(taxonomy: Taxonomy) -> None:
    found = [
        make(types={"arrears"}, true_types={"arrears"}, evidence=(0.5,)),
        make(types={"formalism"}, true_types={"arrears"}, rank=2, true_rank=2, evidence=(1.0,)),
        make(true_types={"arrears"}, departments=("health", "tax", "other"), rank=1, true_rank=2),
        make(types={"arrears"}, departments=("health", "courts", "other"), rank=2, true_rank=1),
    ]
    figures = headline(found, taxonomy)
    assert figures["misconduct_micro_f1"] == pytest.approx(2 * 1 / (3 + 3))
    assert np.isnan(figures["misconduct_macro_f1"])
    assert figures["any_misconduct_f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert (figures["department_top1"], figures["department_top3"]) == (0.5, 0.75)
    assert (figures["red_found"], figures["red_precision"]) == (0.5, 0.5)
    assert figures["evidence_f1"] == 0.75
    assert figures["urgency_kappa"] == kappa(np.array([0, 2, 1, 2]), np.array([0, 2, 2, 1]), 3)


def test_macro_f1_is_over_types_with_support(taxonomy: Taxonomy) -> None:
    found = [make(types={"arrears"}, true_types={"arrears"})] * 5 + [make(true_types={"formalism"})] * 4
    assert headline(found, taxonomy)["misconduct_macro_f1"] == 1.0
    found += [make(true_types={"formalism"})]
    assert headline(found, taxonomy)["misconduct_macro_f1"] == 0.5


def test_figures_without_cases_are_not_numbers(taxonomy: Taxonomy) -> None:
    figures = headline([PLAIN], taxonomy)
    for name in ("red_found", "red_precision", "evidence_f1", "misconduct_macro_f1"):
        assert np.isnan(figures[name])
    assert figures["department_top1"] == 1.0 and figures["misconduct_micro_f1"] == 0.0


def mean_rank(found: Sequence[Outcome]) -> dict[str, float]:
    return {"rank": float(np.mean([o.rank for o in found])), "never": float("nan")}


def test_intervals_hold_the_figure_and_are_the_same_each_time() -> None:
    found = [make(rank=int(rank)) for rank in np.random.default_rng(1).integers(3, size=80)]
    intervals = bootstrap(found, mean_rank)
    low, high = intervals["rank"]
    assert low < mean_rank(found)["rank"] < high and high - low == pytest.approx(2 * 1.96 * 0.82 / 80**0.5, rel=0.3)
    assert intervals == bootstrap(found, mean_rank) and intervals != bootstrap(found, mean_rank, seed=8)
    assert "never" not in intervals
    assert bootstrap([PLAIN] * 4, mean_rank, rounds=20)["rank"] == (0.0, 0.0)


def test_a_triage_against_its_labels(taxonomy: Taxonomy) -> None:
    text = "窗口收了我两条烟，还骂人"
    said = Evidence(start=0, end=8, text=text[:8], source="model")
    ruled = Evidence(start=9, end=12, text=text[9:], source="rule:x")
    tags = [MisconductTag(type=t, probability=0.9, evidence=(said, ruled)) for t in ("soliciting_benefits", "arrears")]
    triage = Triage(
        id="c",
        misconduct=tuple(tags),
        department=DepartmentTag(
            id="tax",
            probability=0.5,
            evidence=(),
            unit=None,
            assisting=(),
            candidates=(("health", 0.2), ("other", 0.1)),
        ),
        alleged=0.8,
        urgency=UrgencyTag(card="red", probability=0.6, evidence=()),
        review=Review(
            level=Level.RECOMMEND,
            reasons=(),
            **{task: TaskReview(confidence=0.4, level=Level.RECOMMEND, plausible=()) for task in TASKS},
        ),
        versions=Versions(bundle="b", taxonomy="t", rules="r"),
    )
    labels = Labels(
        misconduct=frozenset({"soliciting_benefits", "rude_attitude"}),
        department="health",
        urgency="yellow",
        evidence={"soliciting_benefits": "收了我两条烟", "rude_attitude": "还骂人"},
    )
    assert outcome(labels, text, triage, taxonomy) == Outcome(
        true_types=frozenset({"soliciting_benefits", "rude_attitude"}),
        types=frozenset({"soliciting_benefits", "arrears"}),
        true_department="health",
        departments=("tax", "health", "other"),
        true_rank=1,
        rank=2,
        evidence=(2 * 6 / (8 + 6),),
        confidence=dict.fromkeys(TASKS, 0.4),
        right=dict.fromkeys(TASKS, False),
        level="recommend",
    )
