"""The evaluation report as tables."""

from collections.abc import Iterable, Iterator
from typing import Any

from models.assurance import TASKS
from training.metrics import LEAST_SUPPORT

FIGURES = {
    "misconduct_micro_f1": "misconduct micro-F1",
    "misconduct_macro_f1": f"misconduct macro-F1 (support ≥ {LEAST_SUPPORT})",
    "any_misconduct_f1": "any misconduct F1",
    "department_top1": "department top-1",
    "department_top3": "department top-3",
    "urgency_kappa": "urgency quadratic kappa",
    "red_found": "red found",
    "red_precision": "red precision",
    "evidence_f1": "evidence character F1",
    "misconduct_calibration_error": "calibration error, misconduct",
    "department_calibration_error": "calibration error, department",
    "urgency_calibration_error": "calibration error, urgency",
}
SLICE_FIGURES = ("misconduct_micro_f1", "any_misconduct_f1", "department_top1", "urgency_kappa")


def as_markdown(report: dict[str, Any]) -> str:
    """Headline figures, types, promises, invariance and slices; what the report lacks is left out."""
    lines = [*headlines(report), *types(report)]
    for name, tasks in report.get("promises", {}).items():
        lines += promised(name, tasks)
    for name, changes in report.get("invariance", {}).items():
        lines += invariance(name, changes)
    for name, slices in report.get("slices", {}).items():
        lines += sliced(name, slices)
    return "\n".join(lines).rstrip() + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = list(head)
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    yield from ("| " + " | ".join(row) + " |" for row in rows)
    yield ""


def headlines(report: dict[str, Any]) -> list[str]:
    """A table for each origin with a column for each source."""
    lines: list[str] = []
    for origin, sources in report["figures"].items():
        count = next(iter(sources.values()))["n"]
        rows = [
            [name, *(_cell(entry["figures"][key], entry["intervals"].get(key)) for entry in sources.values())]
            for key, name in FIGURES.items()
        ]
        lines += [f"### {origin} ({count})", "", *_table(["", *sources], rows)]
    return lines


def types(report: dict[str, Any]) -> list[str]:
    """F1 of every misconduct type."""
    rows = ([k, f"{v['f1']:.2f}", str(v["predicted"]), str(v["support"])] for k, v in report["types"].items())
    head = ["type", "F1", "said", "there"]
    return ["### misconduct by type (all test rows, served)", "", *_table(head, rows)]


def promised(origin: str, tasks: dict[str, list[dict[str, float]]]) -> list[str]:
    """Promised against realised risk."""
    rows = [
        [task, f"{row['risk']:.0%}", f"{row['threshold']:.3f}", f"{row['share']:.0%}",
         f"{row['realised']:.1%} of {row['automatic']:.0f}"]
        for task in TASKS
        for row in tasks.get(task, [])
    ]  # fmt: skip
    head = ["task", "promised risk", "least confidence", "automatic", "wrong among these"]
    return [f"### promised and realised risk, {origin}", "", *_table(head, rows)]


def invariance(origin: str, changes: dict[str, dict[str, int]]) -> list[str]:
    """Share of changed tags by what was changed."""
    rows = [
        [name, str(flips["pairs"]), *(f"{flips[task] / max(flips['pairs'], 1):.1%}" for task in TASKS)]
        for name, flips in changes.items()
    ]
    return [f"### tags changed by what must not matter, {origin}", "", *_table(["change", "complaints", *TASKS], rows)]


def sliced(origin: str, slices: dict[str, dict[str, float]]) -> list[str]:
    """A few figures of every slice."""
    rows = ([name, f"{v['n']:.0f}", *(_cell(v[key], None) for key in SLICE_FIGURES)] for name, v in slices.items())
    head = ["slice", "rows", *(FIGURES[key] for key in SLICE_FIGURES)]
    return [f"### slices, {origin}", "", *_table(head, rows)]


def _cell(value: float, interval: tuple[float, float] | None) -> str:
    if value != value:
        return "–"
    return f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else f"{value:.2f}"
