"""What is promised holds: on data with a known error rate, over many drawings."""

import numpy as np
import pytest

from models.assurance import NEVER
from training.assure import conformal_floor, guarantee


def drawn(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and whether the decision is right: right with the probability that is claimed."""
    confidence = random.beta(14, 0.8, count)
    return confidence, random.random(count) < confidence


@pytest.mark.parametrize("risk", [0.05, 0.1])
def test_the_promised_risk_holds_over_resampling(risk: float) -> None:
    """Of 120 drawings of a calibration set, at most 5 % (with slack for chance) promise more than they keep."""
    random = np.random.default_rng(4)
    confidence, right = drawn(random, 200_000)
    broken, shares = 0, []
    for _ in range(120):
        promise = guarantee(*drawn(random, 700), risk)
        automatic = confidence >= promise.threshold
        shares.append(automatic.mean())
        broken += bool(automatic.any()) and (~right[automatic]).mean() > risk
    assert broken <= 120 * 0.05 + 5
    assert np.mean(shares) > 0.1


def test_a_laxer_risk_lets_more_through() -> None:
    found = [guarantee(*drawn(np.random.default_rng(2), 900), risk) for risk in (0.02, 0.05, 0.1, 0.2)]
    shares = [one.share for one in found]
    assert shares == sorted(shares) and shares[-1] > shares[1] > 0
    assert [one.threshold for one in found] == sorted((one.threshold for one in found), reverse=True)


def test_nothing_is_promised_where_confidence_says_nothing() -> None:
    random = np.random.default_rng(3)
    found = guarantee(random.random(500), random.random(500) < 0.7, 0.05)
    assert (found.threshold, found.share) == (NEVER, 0.0)


def test_true_labels_stay_plausible() -> None:
    random = np.random.default_rng(5)
    kept = []
    for _ in range(200):
        floor = conformal_floor(random.beta(5, 2, 300), 0.9)
        kept.append((random.beta(5, 2, 2000) >= floor).mean())
    assert np.mean(kept) == pytest.approx(0.9, abs=0.01) and np.mean(kept) >= 0.895
    assert conformal_floor(np.array([0.9, 0.8]), 0.95) == 0.0
