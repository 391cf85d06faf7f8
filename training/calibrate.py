"""Fit the n-gram model on the train split and the fusion of all sources on held-out data, and complete a bundle.

``python -m training.calibrate --run runs/NAME --bundle FOLDER --corpus FILE …`` after ``training.export``.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.optimize import minimize

from data.complaint import LabelledComplaint
from data.labelled import is_authored
from data.policy_files import load_policy
from data.policy_schema import Policy
from data.taxonomy import Taxonomy
from models.assurance import Assurance
from models.bundle import CLAIMS, LEXICAL, load_bundle, write_manifest
from models.calibration import FUSED, Fusion, Signals, TaskFusion, sigmoid, softmax
from models.signals import STRENGTHS
from models.tokens import Windowing
from models.triage import Reading, Triager
from training.assure import assure, cross_decide
from training.experiment import Experiment
from training.fit import load_rows
from training.lexical import fit_claims, fit_lexical
from training.metrics import f1, kappa

BIAS_PENALTY = 2.0
WEIGHT_PENALTY = 4.0
USUAL_WEIGHT = 0.5
SHRINKAGE = 20
GRID = np.linspace(0.02, 0.98, 97)
RED_BETA = 1.5
LEAST_USUAL = 200
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
    claiming = [*names, "claims"] if "lexical" in names else names
    some, wanted = types.max(axis=1, keepdims=True), np.eye(len(taxonomy.departments))[departments]
    signals = {name: [getattr(r, name) for r in readings] for name in FUSED}
    own = np.array([is_authored(row) for row in rows])
    usual = ~own if (~own).sum() >= LEAST_USUAL else np.ones(len(rows), bool)
    shared = [f"{name}_alleged" for name in claiming]
    misconduct = _fit_task(signals["misconduct"], types, claiming + shared + fired, "sigmoid")
    misconduct = _rescaled(misconduct, signals["misconduct"], types, usual, "sigmoid")
    alleged = _fit_task(signals["alleged"], some, claiming + fired, "sigmoid")
    alleged = _rescaled(alleged, signals["alleged"], some, usual, "sigmoid")
    department = _fit_task(signals["department"], wanted, names + fired, "softmax")
    department = _rescaled(department, signals["department"], wanted, usual, "softmax")
    urgency = _fit_steps(signals["urgency"], ranks, names + cards, len(taxonomy.cards) - 1)
    misconduct = _with_type_thresholds(misconduct, [r.misconduct for r in readings], types)
    return Fusion(
        misconduct=misconduct,
        alleged=_with_gates(alleged, misconduct, readings, types),
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


def _rescaled(
    task: TaskFusion, signals: Sequence[Signals], target: np.ndarray, usual: np.ndarray, link: Link
) -> TaskFusion:
    """The same ranking, with probabilities that mean what they say on the rows of ``usual``: one factor for all logits
    and, of sigmoids, one shift (Platt 1999; Guo et al. 2017)."""
    logits = np.stack([task.logits(one) for one in signals])[usual]
    truth = target[usual]

    def loss(parameters: np.ndarray) -> float:
        scaled = np.exp(parameters[0]) * logits + parameters[1]
        if link == "softmax":
            return float(-np.log((softmax(scaled) * truth).sum(axis=1).clip(1e-12)).mean())
        return float((np.logaddexp(0, scaled) - truth * scaled).mean())

    factor, shift = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(-1.5, 1.5), (-2, 2)]).x
    factor, shift = float(np.exp(factor)), 0.0 if link == "softmax" else float(shift)
    return TaskFusion(
        weights={name: factor * weight for name, weight in task.weights.items()},
        bias=factor * task.bias + shift,
        thresholds=task.thresholds,
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


def _with_gates(
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
    """Fit the n-gram models on split ``train`` and the fusion on split ``calibration``, and write the manifest."""
    experiment = json.loads((run / "experiment.json").read_text(encoding="utf-8"))
    windowing = Windowing(length=experiment["window"], overlap=experiment["overlap"])
    train = [row for row in rows if row.split == "train"]
    fit_lexical(train, policy.taxonomy).save(bundle / LEXICAL)
    fit_claims(train, policy.taxonomy).save(bundle / CLAIMS)
    held_out = [row for row in rows if row.split == "calibration" and row.labels.complete]

    def write(fusion: Fusion, assurance: Assurance | None = None) -> None:
        write_manifest(
            bundle, name=name, taxonomy=policy.taxonomy, rules_digest=policy.rules_digest, windowing=windowing,
            fusion=fusion, assurance=assurance,
            experiment=Experiment(**experiment).as_dict(),
        )  # fmt: skip

    write(unfitted(policy.taxonomy))
    triager = Triager(policy, load_bundle(bundle, policy.taxonomy))
    readings = triager.read([row.complaint for row in held_out])
    fusion = fit_fusion(readings, held_out, policy.taxonomy)
    decided = cross_decide(triager, readings, held_out, partial(fit_fusion, taxonomy=policy.taxonomy))
    real = [one for one in decided if not is_authored(one.row)]
    decided = real if len(real) >= LEAST_USUAL else decided
    write(fusion, assure(decided, policy.taxonomy))
    return fusion


def unfitted(taxonomy: Taxonomy) -> Fusion:
    """The model's logits as they are: enough to read signals with, decides nothing."""

    def task(labels: int, thresholds: int) -> TaskFusion:
        return TaskFusion(
            weights={"model": np.ones(labels)}, bias=np.zeros(labels), thresholds=np.full(thresholds, 0.5)
        )

    types, departments, steps = len(taxonomy.misconduct), len(taxonomy.departments), len(taxonomy.cards) - 1
    return Fusion(
        misconduct=task(types, types),
        alleged=task(1, 2),
        department=task(departments, 0),
        urgency=task(steps, steps),
        assisting=1.0,
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
