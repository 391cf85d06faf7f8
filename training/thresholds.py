"""Thresholds of a fitted fusion: which probability is enough to say a type, a card, a further department."""

from collections.abc import Sequence

import numpy as np

from data.complaint import LabelledComplaint
from data.taxonomy import Taxonomy
from models.calibration import Signals, TaskFusion, sigmoid, softmax
from models.triage import Reading
from training.metrics import f1, kappa

SHRINKAGE = 20
GRID = np.linspace(0.02, 0.98, 97)
RED_BETA = 1.5


def with_type_thresholds(task: TaskFusion, signals: Sequence[Signals], target: np.ndarray) -> TaskFusion:
    """The threshold of best micro-F1 for all, moved towards a type's own best the more examples it has."""
    probabilities = np.stack([sigmoid(task.logits(s)) for s in signals])
    said = probabilities[:, :, None] >= GRID
    hits, predicted = (said & (target[:, :, None] > 0)).sum(axis=0), said.sum(axis=0)
    actual = target.sum(axis=0)
    common = GRID[
        np.argmax([f1(h, p, actual.sum()) for h, p in zip(hits.sum(axis=0), predicted.sum(axis=0), strict=True)])
    ]
    thresholds = []
    for kind, support in enumerate(actual):
        own = GRID[np.argmax([f1(h, p, support) for h, p in zip(hits[kind], predicted[kind], strict=True)])]
        thresholds.append((support * own + SHRINKAGE * common) / (support + SHRINKAGE) if support else common)
    return TaskFusion(weights=task.weights, bias=task.bias, thresholds=np.array(thresholds))


def with_gates(
    alleged: TaskFusion, misconduct: TaskFusion, readings: Sequence[Reading], target: np.ndarray
) -> TaskFusion:
    """Two thresholds on the probability that anything is alleged: below the first no type is said, above the second at
    least the likeliest one. Chosen by the mean of micro-F1 and the F1 of "anything alleged"."""
    chances = np.array([sigmoid(alleged.logits(r.alleged))[0] for r in readings])
    probabilities = np.stack([sigmoid(misconduct.logits(r.misconduct)) for r in readings])
    above = probabilities >= misconduct.thresholds
    likeliest = np.eye(probabilities.shape[1], dtype=bool)[probabilities.argmax(axis=1)]
    forced = np.where(above.any(axis=1, keepdims=True), above, likeliest)
    true, gates = target > 0, np.linspace(0, 1, 41)
    best, chosen = -1.0, (0.0, 1.0)
    for low in gates[:-1]:
        for high in gates[gates >= low]:
            said = np.where((chances >= high)[:, None], forced, above) & (chances >= low)[:, None]
            some, any_true = said.any(axis=1), true.any(axis=1)
            quality = f1((said & true).sum(), said.sum(), true.sum())
            quality += f1((some & any_true).sum(), some.sum(), any_true.sum())
            if quality > best:
                best, chosen = quality, (float(low), float(high))
    return TaskFusion(weights=alleged.weights, bias=alleged.bias, thresholds=np.array(chosen))


def with_card_thresholds(task: TaskFusion, signals: Sequence[Signals], ranks: np.ndarray) -> TaskFusion:
    """Red by F1.5 (a missed red costs more than a false one), then the lower steps by quadratic kappa."""
    above = np.cumprod(np.stack([sigmoid(task.logits(s)) for s in signals]), axis=1)
    top = above.shape[1]
    red = [_f_beta(above[:, -1] >= t, ranks == top) for t in GRID]
    thresholds = np.full(top, 0.5)
    thresholds[-1] = GRID[int(np.argmax(red))]
    for step in reversed(range(top - 1)):
        agreement = []
        for threshold in GRID:
            thresholds[step] = threshold
            decided = np.where(above >= thresholds, np.arange(1, top + 1), 0).max(axis=1)
            agreement.append(kappa(decided, ranks, top + 1))
        thresholds[step] = GRID[int(np.argmax(agreement))]
    return TaskFusion(weights=task.weights, bias=task.bias, thresholds=thresholds)


def _f_beta(said: np.ndarray, true: np.ndarray) -> float:
    hits, weight = (said & true).sum(), RED_BETA**2
    return float((1 + weight) * hits / max(weight * true.sum() + said.sum(), 1))


def assisting_threshold(
    task: TaskFusion, readings: Sequence[Reading], rows: Sequence[LabelledComplaint], taxonomy: Taxonomy
) -> float:
    """The probability of best F1 for naming further departments; out of reach where nobody labelled any."""
    known = [(reading, row.assisting) for reading, row in zip(readings, rows, strict=True) if row.assisting is not None]
    if not any(named for _, named in known):
        return 1.0
    probabilities = np.stack([softmax(task.logits(reading.department)) for reading, _ in known])
    probabilities[np.arange(len(known)), probabilities.argmax(axis=1)] = 0
    true = np.array([[name in named for name in taxonomy.department_ids] for _, named in known])
    said = probabilities[:, :, None] >= GRID
    return float(
        GRID[np.argmax([f1((said[..., i] & true).sum(), said[..., i].sum(), true.sum()) for i in range(len(GRID))])]
    )
