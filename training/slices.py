"""Every figure also by kind of complaint: channel, length, certainty of the label, markers, department, type."""

from collections import defaultdict
from collections.abc import Sequence

from data.complaint import LabelledComplaint
from data.taxonomy import Taxonomy
from training.metrics import Outcome, headline

LENGTHS = ((0, 30), (30, 100), (100, 300), (300, 800), (800, 10**9))
LEAST_ROWS = 15
WORST = 5


def slice_names(row: LabelledComplaint) -> list[str]:
    """The slices that a row belongs to."""
    length = len(row.complaint.text)
    low, high = next((low, high) for low, high in LENGTHS if low <= length < high)
    names = [
        f"channel: {row.complaint.channel}",
        f"characters: {low}–{high}" if high < 10**9 else f"characters: {low} and more",
        f"label: {'sure' if row.labels.sure else 'not sure'}",
        f"department: {row.labels.department}",
    ]
    names += [f"kind: {kind}" for kind in row.kind]
    return names + [f"type: {kind}" for kind in sorted(row.labels.misconduct or ())]


def by_slice(
    rows: Sequence[LabelledComplaint], outcomes: Sequence[Outcome], taxonomy: Taxonomy
) -> dict[str, dict[str, float]]:
    """The headline figures and the count of every slice of at least LEAST_ROWS rows; NaN where a slice cannot tell (F1
    without any allegation, kappa with a single card)."""
    slices: dict[str, list[Outcome]] = defaultdict(list)
    for row, outcome in zip(rows, outcomes, strict=True):
        for name in slice_names(row):
            slices[name].append(outcome)
    kept = {name: found for name, found in sorted(slices.items()) if len(found) >= LEAST_ROWS}
    return {name: {"n": len(found), **_telling(found, taxonomy)} for name, found in kept.items()}


def _telling(outcomes: Sequence[Outcome], taxonomy: Taxonomy) -> dict[str, float]:
    figures = headline(outcomes, taxonomy)
    if not any(o.true_types for o in outcomes):
        figures |= dict.fromkeys(("misconduct_micro_f1", "any_misconduct_f1"), float("nan"))
    if len({o.true_rank for o in outcomes}) < 2:
        figures["urgency_kappa"] = float("nan")
    return figures


def worst(slices: dict[str, dict[str, float]], figure: str, count: int = WORST) -> list[str]:
    """The names of the slices with the lowest ``figure``."""
    known = [name for name, figures in slices.items() if figures[figure] == figures[figure]]
    return sorted(known, key=lambda name: slices[name][figure])[:count]
