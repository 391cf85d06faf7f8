"""The fusion: it finds the signal that tells, and leaves the others out."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data.complaint import LabelledComplaint, Labels
from data.policy_files import load_policy
from data.taxonomy import Taxonomy
from data.transcript import complaint_from_text
from models.bundle import MANIFEST
from models.calibration import Fusion, card_probabilities, sigmoid, softmax
from models.drift import reference_of
from models.signals import STRENGTHS
from models.triage import Reading, Triager
from training.fusion import fit_fusion
from training.thresholds import GRID

ROWS = 200
CARDS = ("yellow_strong", "yellow_medium", "yellow_weak", "red_strong", "red_medium", "red_weak")
NEVER_SEEN = 20


class Case:
    """Synthetic readings in which ``strong`` tells the truth nine times in ten, ``weak`` its opposite, and the rest
    nothing; the model's logits for urgency tell it too. The last five types never occur."""

    def __init__(self, triager: Triager, seed: int, count: int = ROWS) -> None:
        random = np.random.default_rng(seed)
        self.taxonomy = triager.taxonomy
        (self._reading,) = triager.read([complaint_from_text("c", "窗口")])
        self._random, self._other = random, np.random.default_rng(seed + 100)
        self.types = random.random((count, 25)) < 0.15
        self.types[:, NEVER_SEEN:] = False
        self.departments = random.integers(37, size=count)
        self.ranks = random.integers(3, size=count)
        self.readings = [self._read(i) for i in range(count)]
        self.rows = [self._row(i) for i in range(count)]

    def _noisy(self, truth: np.ndarray) -> np.ndarray:
        return np.where(self._random.random(truth.shape) < 0.9, truth, ~truth).astype(float)

    def _signals(self, truth: np.ndarray) -> dict[str, np.ndarray]:
        noise = {name: self._random.normal(size=len(truth)) for name in ("model", "lexical")}
        medium = (self._random.random(len(truth)) < 0.2).astype(float)
        return {**noise, "strong": self._noisy(truth), "medium": medium, "weak": self._noisy(~truth)}

    def _shared(self) -> dict[str, np.ndarray]:
        shared = {f"{name}_alleged": np.full(25, self._other.normal()) for name in ("model", "lexical", "claims")}
        return {**shared, "claims": self._other.normal(size=25)}

    def _alleged(self, truth: bool) -> dict[str, np.ndarray]:
        noise = {name: self._other.normal(size=1) for name in ("lexical", "claims", "strong", "medium", "weak")}
        return {"model": np.array([3.0 if truth else -3.0]) + self._other.normal(size=1), **noise}

    def _read(self, index: int) -> Reading:
        rank = self.ranks[index]
        steps = np.where(rank > np.arange(2), 1.0, -1.0) + self._random.normal(size=2)
        fired = {name: np.full(2, float(self._random.random() < 0.2)) for name in CARDS}
        fired["red_strong"] = np.full(2, self._noisy(np.array([rank == 2]))[0])
        return replace(
            self._reading,
            misconduct={**self._signals(self.types[index]), **self._shared()},
            alleged=self._alleged(self.types[index].any()),
            department=self._signals(np.arange(37) == self.departments[index]),
            urgency={"model": steps, "lexical": self._random.normal(size=2), **fired},
        )

    def _row(self, index: int) -> LabelledComplaint:
        ids = self.taxonomy.misconduct_ids
        labels = Labels(
            misconduct=frozenset(ids[i] for i in np.flatnonzero(self.types[index])),
            department=self.taxonomy.department_ids[self.departments[index]],
            urgency=self.taxonomy.card_ids[self.ranks[index]],
        )
        return LabelledComplaint(complaint=self._reading.complaint, labels=labels, group=str(index))


@pytest.fixture(scope="module")
def case(triager: Triager) -> Case:
    return Case(triager, seed=1)


@pytest.fixture(scope="module")
def fusion(case: Case, taxonomy: Taxonomy) -> Fusion:
    return fit_fusion(case.readings, case.rows, taxonomy)


def test_the_telling_signal_weighs_most(fusion: Fusion) -> None:
    for task in (fusion.misconduct, fusion.department):
        weights = {name: float(vector[0]) for name, vector in task.weights.items()}
        assert all((vector == vector[0]).all() for vector in task.weights.values())
        assert weights["strong"] > 2
        assert all(weight < weights["strong"] / 3 for name, weight in weights.items() if name != "strong")
    steps = fusion.urgency.weights
    assert steps["model"].min() > 1 and steps["red_strong"][1] > 2
    assert all(steps[name].max() < 1 for name in ("lexical", "yellow_weak", "red_weak"))


def test_no_weight_is_negative(fusion: Fusion) -> None:
    for task in (fusion.misconduct, fusion.department, fusion.urgency):
        assert all((vector >= 0).all() for vector in task.weights.values())
    assert fusion.misconduct.weights["weak"][0] == fusion.department.weights["weak"][0] == 0


def test_it_decides_new_cases_well(fusion: Fusion, triager: Triager) -> None:
    fresh = Case(triager, seed=2)
    said = np.stack([
        sigmoid(fusion.misconduct.logits(r.misconduct)) >= fusion.misconduct.thresholds for r in fresh.readings
    ])  # fmt: skip
    f1 = 2 * (said & fresh.types).sum() / (said.sum() + fresh.types.sum())
    assert f1 > 0.65
    best = [int(fusion.department.logits(r.department).argmax()) for r in fresh.readings]
    assert np.mean(best == fresh.departments) > 0.2
    cards = np.stack([card_probabilities(sigmoid(fusion.urgency.logits(r.urgency))) for r in fresh.readings])
    assert np.mean(cards.argmax(axis=1) == fresh.ranks) > 0.65


def test_its_probabilities_mean_what_they_say(fusion: Fusion, triager: Triager) -> None:
    fresh = Case(triager, seed=3)
    likely = np.stack([sigmoid(fusion.misconduct.logits(r.misconduct)) for r in fresh.readings])
    assert ((likely >= 0) & (likely <= 1)).all()
    for low, high in ((0.0, 0.1), (0.3, 1.0)):
        chosen = (likely >= low) & (likely < high)
        assert fresh.types[chosen].mean() == pytest.approx(likely[chosen].mean(), abs=0.1)
    departments = np.stack([softmax(fusion.department.logits(r.department)) for r in fresh.readings])
    np.testing.assert_allclose(departments.sum(axis=1), 1)
    cards = np.stack([card_probabilities(sigmoid(fusion.urgency.logits(r.urgency))) for r in fresh.readings])
    np.testing.assert_allclose(cards.sum(axis=1), 1)
    assert (cards >= 0).all()


def test_thresholds(fusion: Fusion) -> None:
    thresholds = fusion.misconduct.thresholds
    assert ((thresholds >= GRID[0]) & (thresholds <= GRID[-1])).all() and len(thresholds) == 25
    assert len(set(thresholds[NEVER_SEEN:])) == 1 and thresholds[NEVER_SEEN] in GRID
    assert len(fusion.urgency.thresholds) == 2 and len(fusion.department.thresholds) == 0


def test_a_missed_red_costs_more_than_a_false_one(fusion: Fusion, case: Case) -> None:
    above = np.array([np.cumprod(sigmoid(fusion.urgency.logits(r.urgency)))[-1] for r in case.readings])
    said, red = above >= fusion.urgency.thresholds[-1], case.ranks == 2
    assert said[red].mean() >= red[said].mean() and said[red].mean() > 0.8


@pytest.mark.parametrize(
    ("sources", "names"), [(("rules",), set(STRENGTHS)), (("model",), {"model"}), (("lexical",), {"lexical"})]
)
def test_one_source_alone(case: Case, taxonomy: Taxonomy, sources: tuple[str, ...], names: set[str]) -> None:
    alone = fit_fusion(case.readings, case.rows, taxonomy, sources)
    claiming = names | {"claims"} if sources == ("lexical",) else names
    assert set(alone.department.weights) == names and set(alone.alleged.weights) == claiming
    shared = {f"{name}_alleged" for name in claiming if sources != ("rules",)}
    assert set(alone.misconduct.weights) == claiming | shared
    assert set(alone.urgency.weights) == (set(CARDS) if sources == ("rules",) else names)


def test_the_fit_is_the_same_each_time(case: Case, fusion: Fusion, taxonomy: Taxonomy) -> None:
    assert fit_fusion(case.readings, case.rows, taxonomy).as_json() == fusion.as_json()


def test_assisting_departments_have_a_threshold_only_where_they_were_labelled(
    case: Case, fusion: Fusion, taxonomy: Taxonomy
) -> None:
    assert fusion.assisting == 1.0
    second = (case.departments + 1) % 37
    readings = [
        replace(r, department={**r.department, "strong": np.isin(np.arange(37), (first, other)) * 1.0})
        for r, first, other in zip(case.readings, case.departments, second, strict=True)
    ]
    named = [replace(row, assisting=(taxonomy.department_ids[i],)) for row, i in zip(case.rows, second, strict=True)]
    assert GRID[0] <= fit_fusion(readings, named, taxonomy).assisting < 0.6


def test_a_trained_bundle_is_calibrated(trained: Any, trained_triager: Triager) -> None:
    manifest = json.loads((trained.bundle / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["name"] == "tiny-trained" and manifest["experiment"] == trained.experiment.as_dict()
    assert manifest["windowing"] == {"length": 96, "overlap": 32}
    assert manifest["rules"] == load_policy().rules_digest
    reference = reference_of(manifest, load_policy().taxonomy)
    assert reference is not None
    assert reference["length"].total() == reference["department"].total() == reference["urgency"].total() > 10
    fusion = trained_triager.fusion
    both = {"model", "lexical", "claims"}
    assert set(fusion.misconduct.weights) == {*both, *(f"{name}_alleged" for name in both), *STRENGTHS}
    assert set(fusion.alleged.weights) == {*both, *STRENGTHS} and len(fusion.alleged.thresholds) == 2
    assert fusion.misconduct.weights["lexical"][0] > 0
    assert all((vector >= 0).all() for vector in fusion.urgency.weights.values())
