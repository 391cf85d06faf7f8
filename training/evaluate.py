"""Measure the deciding function: ``python -m training.evaluate --bundle … --data FILE … --report OUT``.

Without ``--data`` it takes split ``test`` of the own corpus and of the files given with ``--corpus``, and adds columns
for rules alone, the n-gram model alone and the fine-tuned model alone: each decides through ``models.triage``, with a
fusion fitted to that source on split ``calibration``. Writes ``OUT.json`` and ``OUT.md``.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import track

from data.complaint import LabelledComplaint
from data.labelled import read_labelled
from data.policy_files import load_policy
from data.taxonomy import Taxonomy
from models.bundle import STARTER
from models.triage import Reading, Triager
from training.calibrate import fit_fusion
from training.fit import load_rows
from training.metrics import LEAST_SUPPORT, Outcome, bootstrap, f1, headline, outcome, type_counts

CHUNK = 128
SOURCES = {"rules alone": ("rules",), "TF-IDF + linear": ("lexical",), "fine-tuned model": ("model",)}
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
}


def read_rows(triager: Triager, rows: Sequence[LabelledComplaint]) -> list[Reading]:
    """Readings of all rows, with a progress bar."""
    starts = track(range(0, len(rows), CHUNK), description="reading", transient=True)
    return [r for start in starts for r in triager.read([row.complaint for row in rows[start : start + CHUNK]])]


def outcomes(triager: Triager, rows: Sequence[LabelledComplaint], readings: Sequence[Reading]) -> list[Outcome]:
    """What the deciding function makes of the readings, against the labels. Evidence offsets of complaints given as
    turns are moved back to the whole text."""
    found = []
    for row, reading in zip(rows, readings, strict=True):
        whole = replace(reading, complaint=replace(reading.complaint, from_turns=False))
        found.append(outcome(row.labels, row.complaint.text, triager.decide(whole), triager.taxonomy))
    return found


def compare_sources(triager: Triager, rows: Sequence[LabelledComplaint]) -> dict[str, dict[str, list[Outcome]]]:
    """Outcomes on split ``test`` for each source of signals, for real messages and authored complaints apart."""
    whole = [row for row in rows if row.labels.complete]
    split = {name: [row for row in whole if row.split == name] for name in ("calibration", "test")}
    readings = {name: read_rows(triager, found) for name, found in split.items()}
    result: dict[str, dict[str, list[Outcome]]] = {}
    for name, sources in SOURCES.items():
        fusion = fit_fusion(readings["calibration"], split["calibration"], triager.taxonomy, sources)
        result[name] = _by_origin(Triager(triager.policy, triager.bundle, fusion), split["test"], readings["test"])
    result["fusion (served)"] = _by_origin(triager, split["test"], readings["test"])
    return result


def _by_origin(
    triager: Triager, rows: Sequence[LabelledComplaint], readings: Sequence[Reading]
) -> dict[str, list[Outcome]]:
    found = outcomes(triager, rows, readings)
    authored = [row.complaint.id.startswith("fz-") for row in rows]
    return {
        "real messages": [o for o, own in zip(found, authored, strict=True) if not own],
        "authored complaints": [o for o, own in zip(found, authored, strict=True) if own],
    }


def report(result: dict[str, dict[str, list[Outcome]]], taxonomy: Taxonomy) -> dict[str, Any]:
    """All figures with bootstrap intervals, and per-type figures of the last source."""
    figures: dict[str, Any] = {}
    for source, origins in result.items():
        for origin, found in origins.items():
            if found:
                intervals = bootstrap(found, lambda some: headline(some, taxonomy))
                entry = {"n": len(found), "figures": headline(found, taxonomy), "intervals": intervals}
                figures.setdefault(origin, {})[source] = entry
    last = [o for found in list(result.values())[-1].values() for o in found]
    counts = type_counts(last, taxonomy)
    types = {
        kind: {"f1": f1(*row), "predicted": int(row[1]), "support": int(row[2])}
        for kind, row in zip(taxonomy.misconduct_ids, counts, strict=True)
    }
    return {"figures": figures, "types": types}


def as_markdown(figures: dict[str, Any]) -> str:
    """The report as tables."""
    lines: list[str] = []
    for origin, sources in figures["figures"].items():
        count = next(iter(sources.values()))["n"]
        lines += [f"### {origin} ({count})", "", "| | " + " | ".join(sources) + " |", "|---" * (len(sources) + 1) + "|"]
        for key, name in FIGURES.items():
            cells = [_cell(entry["figures"][key], entry["intervals"].get(key)) for entry in sources.values()]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["### misconduct by type (all test rows, served)", "", "| type | F1 | said | there |", "|---|---|---|---|"]
    lines += [f"| {k} | {v['f1']:.2f} | {v['predicted']} | {v['support']} |" for k, v in figures["types"].items()]
    return "\n".join(lines) + "\n"


def _cell(value: float, interval: tuple[float, float] | None) -> str:
    if value != value:
        return "–"
    return f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=STARTER)
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="labelled files to measure on, whole")
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help="labelled files the bundle was trained with")
    parser.add_argument("--report", type=Path, required=True, help="path without suffix")
    options = parser.parse_args()
    triager = Triager.load(options.bundle, load_policy())
    if options.data:
        rows = [row for path in options.data for row in read_labelled(path, triager.taxonomy)]
        result = {"fusion (served)": _by_origin(triager, rows, read_rows(triager, rows))}
    else:
        result = compare_sources(triager, load_rows(options.corpus, triager.taxonomy))
    figures = {"versions": triager.versions.bundle, **report(result, triager.taxonomy)}
    options.report.with_suffix(".json").write_text(json.dumps(figures, ensure_ascii=False, indent=1), encoding="utf-8")
    options.report.with_suffix(".md").write_text(as_markdown(figures), encoding="utf-8")
    print(as_markdown(figures))


if __name__ == "__main__":
    main()
