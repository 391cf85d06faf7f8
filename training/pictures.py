"""The report's pictures: reliability diagrams, risk-coverage curves and confusion tables."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.assurance import TASKS
from training.metrics import Outcome, reliability, risk_coverage

mpl.use("agg")
BINS = 10


def draw_reliability(outcomes: Sequence[Outcome], path: Path) -> None:
    """For every task how often decisions of some confidence are right."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    for task, axes in zip(TASKS, figure.subplots(1, len(TASKS)), strict=True):
        confidence, right = _of(outcomes, task)
        bins = reliability(confidence, right, BINS)
        axes.plot([0, 1], [0, 1], color="0.7", linestyle="--")
        axes.bar([b.confidence for b in bins], [b.accuracy for b in bins], width=0.07, color="#4477aa")
        for b in bins:
            axes.text(b.confidence, 0.02, str(b.count), ha="center", fontsize=6, color="white")
        axes.set(title=task, xlabel="confidence", ylabel="right", xlim=(0, 1), ylim=(0, 1))
    figure.savefig(path, dpi=110)


def draw_risk_coverage(outcomes: Sequence[Outcome], path: Path) -> None:
    """For every task the share of wrong decisions among the most confident ones."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for task in TASKS:
        coverage, risk = risk_coverage(*_of(outcomes, task))
        axes.plot(coverage, risk, label=task)
    axes.set(xlabel="share decided automatically", ylabel="share of these wrong", xlim=(0, 1), ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=110)


def draw_confusion(true: Sequence[str], said: Sequence[str], labels: Sequence[str], path: Path) -> NDArray[np.int64]:
    """A confusion table as a picture (rows true, columns said), and its counts (labels, labels)."""
    place = {label: index for index, label in enumerate(labels)}
    table = np.zeros((len(labels), len(labels)), np.int64)
    for one, other in zip(true, said, strict=True):
        table[place[one], place[other]] += 1
    size = 2.5 + 0.27 * len(labels)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(table / np.maximum(table.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.set(xlabel="said", ylabel="true")
    for row, column in zip(*np.nonzero(table), strict=True):
        axes.text(column, row, str(table[row, column]), ha="center", va="center", fontsize=6)
    figure.savefig(path, dpi=110)
    return table


def _of(outcomes: Sequence[Outcome], task: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([o.confidence[task] for o in outcomes]), np.array([o.right[task] for o in outcomes])
