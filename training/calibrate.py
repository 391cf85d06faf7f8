"""Fit the n-gram model on the train split and the fusion of all sources on held-out data, and complete a bundle.

``python -m training.calibrate --run runs/NAME --bundle FOLDER --corpus FILE …`` after ``training.export``.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.optimize import minimize

from data.complaint import LabelledComplaint
from data.policy_files import load_policy
from data.policy_schema import Policy
from data.taxonomy import Taxonomy
from models.bundle import LEXICAL, load_bundle, write_manifest
from models.calibration import Fusion, Signals, TaskFusion, sigmoid, softmax
from models.tokens import Windowing
from models.triage import STRENGTHS, Reading, Triager
from training.experiment import Experiment
from training.fit import load_rows
from training.lexical import fit_lexical
from training.metrics import f1, kappa

BIAS_PENALTY = 2.0
WEIGHT_PENALTY = 4.0
USUAL_WEIGHT = 0.5
SHRINKAGE = 20
GRID = np.linspace(0.02, 0.98, 97)
RED_BETA = 2.0
SOURCES = ("model", "lexical", "rules")
Link = Literal["sigmoid", "softmax"]


def fit_fusion(
    readings: Sequence[Reading], rows: Sequence[LabelledComplaint], taxonomy: Taxonomy, sources: Sequence[str] = SOURCES
) -> Fusion:
    """The fusion of the named sources, from readings of fully labelled rows."""
    labels = [row.labels for row in rows]
    names = [source for source in sources if source != "rules"]
    fired = list(STRENGTHS) if "rules" in sources else []
    cards = [f"{card}_{strength}" for card in taxonomy.card_ids[1:] for strength in fired]
    types = np.array([[kind in (y.misconduct or ()) for kind in taxonomy.misconduct_ids] for y in labels], float)
    departments = np.array([taxonomy.department_ids.index(y.department or "other") for y in labels])
    ranks = np.array([taxonomy.card_ids.index(y.urgency or taxonomy.card_ids[0]) for y in labels])
    misconduct = _fit_task([r.misconduct for r in readings], types, names + fired, "sigmoid")
    department = _fit_task(
        [r.department for r in readings], np.eye(len(taxonomy.departments))[departments], names + fired, "softmax"
    )
    urgency = _fit_steps([r.urgency for r in readings], ranks, names + cards, len(taxonomy.cards) - 1)
    return Fusion(
        misconduct=_with_type_thresholds(misconduct, [r.misconduct for r in readings], types),
        department=department,
        urgency=_with_card_thresholds(urgency, [r.urgency for r in readings], ranks),
        assisting=_assisting_threshold(department, readings, rows, taxonomy),
    )


def _assisting_threshold(
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


def _fit_task(signals: Sequence[Signals], target: np.ndarray, names: Sequence[str], link: Link) -> TaskFusion:
    """One weight per signal, shared by all labels, never negative and drawn to USUAL_WEIGHT where the data say little;
    and a penalised bias per label."""
    inputs = np.stack([[s[name] for name in names] for s in signals])
    rows, count, labels = inputs.shape

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = parameters[:count], parameters[count:]
        logits = np.einsum("rnl,n->rl", inputs, weights) + bias
        if link == "softmax":
            probabilities = softmax(logits)
            loss = -np.log((probabilities * target).sum(axis=1).clip(1e-12)).sum()
        else:
            probabilities = sigmoid(logits)
            loss = (np.logaddexp(0, logits) - target * logits).sum()
        slope = probabilities - target
        away = weights - USUAL_WEIGHT
        penalty = 0.5 * BIAS_PENALTY * ((bias - bias.mean()) ** 2).sum() + 0.5 * WEIGHT_PENALTY * (away**2).sum()
        by_weight = np.einsum("rl,rnl->n", slope, inputs) + WEIGHT_PENALTY * away
        gradient = np.concatenate([by_weight, slope.sum(axis=0) + BIAS_PENALTY * (bias - bias.mean())])
        return (loss + penalty) / rows, gradient / rows

    start = np.concatenate([np.full(count, USUAL_WEIGHT), np.zeros(labels)])
    bounds = [(0, None)] * count + [(-12, 12)] * labels
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}).x
    return TaskFusion(
        weights={name: np.full(labels, found[i]) for i, name in enumerate(names)},
        bias=found[count:],
        thresholds=np.full(labels if link == "sigmoid" else 0, 0.5),
    )


def _fit_steps(signals: Sequence[Signals], ranks: np.ndarray, names: Sequence[str], steps: int) -> TaskFusion:
    """Each step on the rows that reach it, with weights of its own."""
    fitted = []
    for step in range(steps):
        reached = [int(i) for i in np.flatnonzero(ranks >= step)]
        chosen = [{name: signals[i][name][step : step + 1] for name in names} for i in reached]
        fitted.append(_fit_task(chosen, (ranks[reached] > step).astype(float)[:, None], names, "sigmoid"))
    return TaskFusion(
        weights={name: np.concatenate([task.weights[name] for task in fitted]) for name in names},
        bias=np.concatenate([task.bias for task in fitted]),
        thresholds=np.full(steps, 0.5),
    )


def _with_type_thresholds(task: TaskFusion, signals: Sequence[Signals], target: np.ndarray) -> TaskFusion:
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


def _with_card_thresholds(task: TaskFusion, signals: Sequence[Signals], ranks: np.ndarray) -> TaskFusion:
    """Red by F2 (a missed red costs more than a false one), then the lower steps by quadratic kappa."""
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


def calibrate(run: Path, bundle: Path, rows: Sequence[LabelledComplaint], policy: Policy, name: str) -> Fusion:
    """Fit the n-gram model on split ``train`` and the fusion on split ``calibration``, and write the manifest."""
    experiment = json.loads((run / "experiment.json").read_text(encoding="utf-8"))
    windowing = Windowing(length=experiment["window"], overlap=experiment["overlap"])
    fit_lexical([row for row in rows if row.split == "train"], policy.taxonomy).save(bundle / LEXICAL)
    held_out = [row for row in rows if row.split == "calibration" and row.labels.complete]

    def write(fusion: Fusion) -> None:
        write_manifest(
            bundle, name=name, taxonomy=policy.taxonomy, rules_digest=policy.rules_digest, windowing=windowing,
            fusion=fusion, experiment=Experiment(**experiment).as_dict(),
        )  # fmt: skip

    write(_unfitted(policy.taxonomy))
    triager = Triager(policy, load_bundle(bundle, policy.taxonomy))
    readings = triager.read([row.complaint for row in held_out])
    fusion = fit_fusion(readings, held_out, policy.taxonomy)
    write(fusion)
    return fusion


def _unfitted(taxonomy: Taxonomy) -> Fusion:
    """The model's logits as they are: enough to read signals with, decides nothing."""

    def task(labels: int, thresholds: int) -> TaskFusion:
        return TaskFusion(
            weights={"model": np.ones(labels)}, bias=np.zeros(labels), thresholds=np.full(thresholds, 0.5)
        )

    types, departments, steps = len(taxonomy.misconduct), len(taxonomy.departments), len(taxonomy.cards) - 1
    return Fusion(
        misconduct=task(types, types), department=task(departments, 0), urgency=task(steps, steps), assisting=1.0
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, nargs="*", default=[])
    parser.add_argument("--name", default="starter")
    options = parser.parse_args()
    policy = load_policy()
    calibrate(options.run, options.bundle, load_rows(options.corpus, policy.taxonomy), policy, options.name)


if __name__ == "__main__":
    main()
