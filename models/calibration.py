"""From signals to probabilities to decisions: linear fusion of model and rules, fitted on held-out data.

A *signal* is a named vector over a task's labels (or steps): the model's logits, or 1 where a rule of some strength
fired. Fusion is a weighted sum per label plus a bias; weights come from ``training.calibrate``, never from hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Signals = Mapping[str, Vector]


def sigmoid(logits: Vector) -> Vector:
    """Elementwise, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float64)


def softmax(logits: Vector) -> Vector:
    """Over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float64)


def card_probabilities(steps: Vector) -> Vector:
    """Conditional step probabilities (steps,) to card probabilities (steps + 1,), least urgent first."""
    reached = np.concatenate([[1.0], np.cumprod(steps)])
    return np.asarray(reached - np.concatenate([reached[1:], [0.0]]), np.float64)


@dataclass(frozen=True, kw_only=True)
class TaskFusion:
    """Weights (name to vector over labels), bias and thresholds of one task.

    ``thresholds``: for misconduct one for each type; for urgency one for each step, on the probability that the card
    is above the step; for department none (the highest probability decides).
    """

    weights: Mapping[str, Vector]
    bias: Vector
    thresholds: Vector

    def logits(self, signals: Signals) -> Vector:
        """The fused logits (labels,); signals without a weight are ignored."""
        total = self.bias.copy()
        for name, weight in self.weights.items():
            total += weight * signals[name]
        return total

    def as_json(self) -> dict[str, Any]:
        def rounded(vector: Vector) -> list[float]:
            return [round(float(value), 6) for value in vector]

        return {
            "weights": {name: rounded(weight) for name, weight in self.weights.items()},
            "bias": rounded(self.bias),
            "thresholds": rounded(self.thresholds),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TaskFusion":
        return cls(
            weights={name: np.array(weight, np.float64) for name, weight in data["weights"].items()},
            bias=np.array(data["bias"], np.float64),
            thresholds=np.array(data["thresholds"], np.float64),
        )


FUSED = ("misconduct", "alleged", "department", "urgency")


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """The fusion of all tasks. ``alleged`` decides whether anything is alleged at all; ``assisting`` is the probability
    above which a second department must act too."""

    misconduct: TaskFusion
    alleged: TaskFusion
    department: TaskFusion
    urgency: TaskFusion
    assisting: float

    def without(self, source: str) -> "Fusion":
        """The same, deaf to the signals of one source."""
        deaf = {
            name: replace(task, weights={n: w for n, w in task.weights.items() if n.partition("_")[0] != source})
            for name in FUSED
            for task in [getattr(self, name)]
        }
        return Fusion(**deaf, assisting=self.assisting)

    def as_json(self) -> dict[str, Any]:
        tasks = {name: getattr(self, name).as_json() for name in FUSED}
        return {**tasks, "assisting": round(self.assisting, 6)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Fusion":
        tasks = {name: TaskFusion.from_json(data[name]) for name in FUSED}
        return cls(**tasks, assisting=float(data["assisting"]))
