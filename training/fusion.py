"""Fit the fusion: how much encoder, n-grams and rules count for each task, from readings of held-out complaints."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.optimize import minimize

from data.complaint import LabelledComplaint
from data.labelled import is_authored
from data.taxonomy import Taxonomy
from models.calibration import FUSED, Fusion, Signals, TaskFusion, sigmoid, softmax
from models.signals import STRENGTHS
from models.triage import Reading
from training.thresholds import assisting_threshold, with_card_thresholds, with_gates, with_type_thresholds

BIAS_PENALTY = 2.0
WEIGHT_PENALTY = 4.0
USUAL_WEIGHT = 0.5
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
    misconduct = with_type_thresholds(misconduct, signals["misconduct"], types)
    return Fusion(
        misconduct=misconduct,
        alleged=with_gates(alleged, misconduct, readings, types),
        department=department,
        urgency=with_card_thresholds(urgency, signals["urgency"], ranks),
        assisting=assisting_threshold(department, readings, rows, taxonomy),
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
