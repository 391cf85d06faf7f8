"""What a bundle can promise: confidence thresholds under which the share of wrong decisions is controlled.

Learn-then-test (Angelopoulos et al. 2021) as MAPIE implements it: each threshold of a grid is tested with a binomial
p-value against "the automatic decisions err more often than the risk", Holm's correction over the grid, and the laxest
threshold that passes is kept. The decisions come from cross-fitting: each held-out complaint is decided with a fusion
that was fitted without it.
"""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from mapie.risk_control import BinaryClassificationController
from numpy.typing import NDArray

from data.complaint import LabelledComplaint
from data.taxonomy import OTHER_DEPARTMENT, Taxonomy
from models.answer import Triage
from models.assurance import NEVER, TASKS, Assurance, Guarantee, TaskAssurance
from models.calibration import Fusion
from models.triage import Probabilities, Reading, Triager
from training.metrics import right

RISKS = (0.01, 0.02, 0.03, 0.05, 0.08, 0.10, 0.15, 0.20, 0.30)
SHARES = np.array([1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5, 0.4, 0.3, 0.2])
CONFIDENCE = 0.95
COVERAGE = 0.95
FOREIGN = 0.01
FOLDS = 5
Fit = Callable[[Sequence[Reading], Sequence[LabelledComplaint]], Fusion]


@dataclass(frozen=True, kw_only=True)
class Decided:
    """One held-out complaint, decided by a fusion that has not seen it."""

    row: LabelledComplaint
    reading: Reading
    found: Probabilities
    triage: Triage


def cross_decide(
    triager: Triager, readings: Sequence[Reading], rows: Sequence[LabelledComplaint], fit: Fit
) -> list[Decided]:
    """Decide every row with a fusion fitted on the other folds; near-copies share a fold."""
    fold = np.array([int(hashlib.sha256(row.group.encode()).hexdigest()[:8], 16) % FOLDS for row in rows])
    decided = []
    for number in range(FOLDS):
        inside, outside = np.flatnonzero(fold == number).tolist(), np.flatnonzero(fold != number).tolist()
        if not len(inside) or not len(outside):
            continue
        fusion = fit([readings[i] for i in outside], [rows[i] for i in outside])
        other = Triager(triager.policy, triager.bundle, fusion)
        decided += [
            Decided(row=rows[i], reading=readings[i], found=other.probabilities(readings[i]),
                    triage=other.decide(readings[i]))
            for i in inside
        ]  # fmt: skip
    return decided


def guarantee(confidence: NDArray[np.float64], correct: NDArray[np.bool_], risk: float) -> Guarantee:
    """The laxest threshold whose automatic decisions err at most in ``risk`` of the cases, at 95 % confidence.

    Shapes: both (n,). A threshold above every confidence, with share 0, where none can be promised.
    """
    grid = np.unique(np.quantile(confidence, 1 - SHARES))
    controller = BinaryClassificationController(
        lambda column: np.column_stack([1 - column[:, 0], column[:, 0]]),
        risk="precision", target_level=1 - risk, confidence_level=CONFIDENCE, best_predict_param_choice="recall",
        list_predict_params=grid, fwer_method="bonferroni_holm",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where no threshold can be promised, which is an answer
        controller.calibrate(confidence[:, None], correct.astype(int))
    valid = controller.valid_predict_params
    if valid is None or not len(valid):
        return Guarantee(risk=risk, threshold=NEVER, share=0.0)
    threshold = float(np.min(valid))
    return Guarantee(risk=risk, threshold=threshold, share=float((confidence >= threshold).mean()))


def conformal_floor(true_probabilities: NDArray[np.float64], coverage: float = COVERAGE) -> float:
    """The least probability of a plausible label, so that a true label is plausible in ``coverage`` of the cases: the
    split-conformal quantile of the score 1 - p (Vovk et al. 2005). Shape (n,): of true labels alone."""
    count = len(true_probabilities)
    rank = int(np.floor((1 - coverage) * (count + 1)))
    return float(np.sort(true_probabilities)[rank - 1]) if rank >= 1 else 0.0


def assure(decided: Sequence[Decided], taxonomy: Taxonomy) -> Assurance:
    """Measure all guarantees on cross-decided complaints."""
    tasks = {}
    for task in TASKS:
        confidence = np.array([getattr(one.triage.review, task).confidence for one in decided])
        correct = np.array([right(one.row.labels, one.triage)[task] for one in decided])
        rows = [guarantee(confidence, correct, risk) for risk in RISKS]
        tasks[task] = TaskAssurance(
            guarantees=tuple(row for row in rows if row.share),
            plausible=conformal_floor(_of_true_labels(task, decided, taxonomy)),
        )
    own = [one.reading.familiarity for one in decided if one.row.labels.department != OTHER_DEPARTMENT]
    return Assurance(confidence=CONFIDENCE, coverage=COVERAGE, familiar=float(np.quantile(own, FOREIGN)), **tasks)


def _of_true_labels(task: str, decided: Sequence[Decided], taxonomy: Taxonomy) -> NDArray[np.float64]:
    found = []
    for one in decided:
        labels = one.row.labels
        true = {"misconduct": labels.misconduct or (), "department": [labels.department], "urgency": [labels.urgency]}
        found += [getattr(one.found, task)[taxonomy.ids[task].index(label)] for label in true[task]]
    return np.array(found)
