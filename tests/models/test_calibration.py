"""From logits to probabilities, and the fusion as it is saved."""

import json

import numpy as np
import pytest

from data.taxonomy import Taxonomy
from models.calibration import Fusion, TaskFusion, card_probabilities, sigmoid, softmax


def task(labels: int, thresholds: int, seed: int = 1) -> TaskFusion:
    random = np.random.default_rng(seed)
    return TaskFusion(
        weights={"model": random.random(labels), "strong": random.random(labels)},
        bias=random.normal(size=labels),
        thresholds=random.random(thresholds),
    )


def test_sigmoid_is_a_probability_at_any_height() -> None:
    logits = np.array([-1e6, -800.0, -1.0, 0.0, 2.0, 800.0, 1e6])
    found = sigmoid(logits)
    assert found[3] == 0.5 and found[0] == 0 and found[-1] == 1
    assert (np.diff(found) >= 0).all() and ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found[2:5], 1 / (1 + np.exp(-logits[2:5])), rtol=1e-12)


def test_softmax_sums_to_one_at_any_height() -> None:
    logits = np.array([[1e5, 1e5 - 1.0, -1e5], [0.0, 0.0, 0.0]])
    found = softmax(logits)
    np.testing.assert_allclose(found.sum(axis=-1), 1)
    np.testing.assert_allclose(found, [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0], [1 / 3] * 3], atol=1e-12)


def test_steps_make_cards() -> None:
    np.testing.assert_allclose(card_probabilities(np.array([0.5, 0.4])), [0.5, 0.3, 0.2])
    np.testing.assert_allclose(card_probabilities(np.array([0.0, 1.0])), [1, 0, 0])
    np.testing.assert_allclose(card_probabilities(np.array([1.0, 1.0])), [0, 0, 1])


@pytest.mark.parametrize("seed", range(10))
def test_cards_sum_to_one_and_none_is_negative(seed: int) -> None:
    found = card_probabilities(sigmoid(np.random.default_rng(seed).normal(0, 10, size=4)))
    assert len(found) == 5 and (found >= 0).all() and found.sum() == pytest.approx(1)


def test_fusion_is_a_weighted_sum_and_a_bias() -> None:
    fusion = TaskFusion(
        weights={"model": np.array([1.0, 2.0]), "strong": np.array([3.0, 3.0])},
        bias=np.array([-1.0, 0.5]),
        thresholds=np.array([0.5, 0.5]),
    )
    signals = {"model": np.array([2.0, 2.0]), "strong": np.array([0.0, 1.0]), "unweighted": np.array([99.0, 99.0])}
    assert fusion.logits(signals).tolist() == [1.0, 7.5]
    assert fusion.bias.tolist() == [-1.0, 0.5]


def test_a_saved_fusion_decides_as_before(taxonomy: Taxonomy) -> None:
    types, departments, steps = len(taxonomy.misconduct), len(taxonomy.departments), len(taxonomy.cards) - 1
    fusion = Fusion(
        misconduct=task(types, types),
        alleged=task(1, 2),
        department=task(departments, 0),
        urgency=task(steps, steps),
        assisting=0.25,
    )
    loaded = Fusion.from_json(json.loads(json.dumps(fusion.as_json())))
    assert loaded.as_json() == fusion.as_json() and loaded.assisting == 0.25
    for name, labels in (("misconduct", types), ("alleged", 1), ("department", departments), ("urgency", steps)):
        signals = {"model": np.linspace(-5, 5, labels), "strong": np.ones(labels)}
        before, after = getattr(fusion, name), getattr(loaded, name)
        np.testing.assert_allclose(after.logits(signals), before.logits(signals), atol=1e-5)
        np.testing.assert_allclose(after.thresholds, before.thresholds, atol=1e-6)
    assert len(loaded.department.thresholds) == 0
