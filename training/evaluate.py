"""Measure the deciding function: ``python -m training.evaluate --bundle … --data FILE … --report OUT``.

Without ``--data`` it takes split ``test`` of the own corpus and of the files given with ``--corpus``, and adds columns
for rules alone, the n-gram model alone and the fine-tuned model alone: each decides through ``models.triage``, with a
fusion fitted to that source on split ``calibration``. Writes ``OUT.json``, ``OUT.md`` and pictures ``OUT-*.png``.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from rich.progress import track

from data.complaint import LabelledComplaint
from data.labelled import is_authored, read_labelled
from data.policy_files import load_policy
from data.taxonomy import Taxonomy
from models.assurance import TASKS
from models.bundle import STARTER
from models.triage import Reading, Triager
from training.fit import load_rows
from training.fusion import fit_fusion
from training.invariance import measure
from training.markdown import as_markdown
from training.metrics import Outcome, bootstrap, f1, headline, outcome, type_counts
from training.pictures import draw_confusion, draw_reliability, draw_risk_coverage
from training.slices import by_slice, worst
from training.topics import read_single_task

CHUNK = 128
SERVED = "fusion (served)"
SOURCES = {"rules alone": ("rules",), "TF-IDF + linear": ("lexical",), "fine-tuned model": ("model",)}
ORIGINS = ("real messages", "authored complaints")
WATCHED = {"misconduct": "misconduct_micro_f1", "department": "department_top1", "urgency": "urgency_kappa"}
CHANGED_ROWS = 150

T = TypeVar("T")
Sources = dict[str, dict[str, list[Outcome]]]


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


def compare_sources(triager: Triager, rows: Sequence[LabelledComplaint]) -> Sources:
    """Outcomes on split ``test`` for each source of signals, for real messages and authored complaints apart."""
    whole = [row for row in rows if row.labels.complete]
    split = {name: [row for row in whole if row.split == name] for name in ("calibration", "test")}
    readings = {name: read_rows(triager, found) for name, found in split.items()}
    result: Sources = {}
    for name, sources in SOURCES.items():
        fusion = fit_fusion(readings["calibration"], split["calibration"], triager.taxonomy, sources)
        other = Triager(triager.policy, triager.bundle, fusion)
        result[name] = by_origin(split["test"], outcomes(other, split["test"], readings["test"]))
    result[SERVED] = by_origin(split["test"], outcomes(triager, split["test"], readings["test"]))
    return result


def origin(row: LabelledComplaint) -> str:
    """Whether a row is of the project's own corpus."""
    return ORIGINS[is_authored(row)]


def by_origin(rows: Sequence[LabelledComplaint], found: Sequence[T]) -> dict[str, list[T]]:
    """What belongs to the rows of each origin."""
    return {name: [o for row, o in zip(rows, found, strict=True) if origin(row) == name] for name in ORIGINS}


def report(result: Sources, taxonomy: Taxonomy) -> dict[str, Any]:
    """All figures with bootstrap intervals, and per-type figures of the last source."""
    figures: dict[str, Any] = {}
    for source, origins in result.items():
        for name, found in origins.items():
            if found:
                intervals = bootstrap(found, lambda some: headline(some, taxonomy))
                entry = {"n": len(found), "figures": headline(found, taxonomy), "intervals": intervals}
                figures.setdefault(name, {})[source] = entry
    last = [o for found in list(result.values())[-1].values() for o in found]
    counts = type_counts(last, taxonomy)
    types = {
        kind: {"f1": f1(*row), "predicted": int(row[1]), "support": int(row[2])}
        for kind, row in zip(taxonomy.misconduct_ids, counts, strict=True)
    }
    return {"figures": figures, "types": types}


def promises(triager: Triager, found: Sequence[Outcome]) -> dict[str, list[dict[str, float]]]:
    """For every task and promised risk: the share that would go unchecked here, and how often it is wrong."""
    result: dict[str, list[dict[str, float]]] = {}
    for task in TASKS:
        known = [o for o in found if o.labelled(task)]
        for promised in triager.bundle.assurance.task(task).guarantees:
            automatic = [o for o in known if o.confidence[task] >= promised.threshold]
            wrong = sum(not o.right[task] for o in automatic)
            row = {
                "risk": promised.risk,
                "threshold": promised.threshold,
                "share": len(automatic) / max(len(known), 1),
                "realised": wrong / max(len(automatic), 1),
                "automatic": len(automatic),
            }
            result.setdefault(task, []).append(row)
    return result


def details(triager: Triager, rows: Sequence[LabelledComplaint], found: Sequence[Outcome], out: Path) -> dict[str, Any]:
    """Slices, promises and invariance for each origin; draws the pictures."""
    result: dict[str, Any] = {"slices": {}, "worst": {}, "promises": {}, "invariance": {}, "levels": {}}
    outcomes_by = by_origin(rows, found)
    for name, some in by_origin(rows, rows).items():
        own = outcomes_by[name]
        if not own:
            continue
        result["slices"][name] = slices = by_slice(some, own, triager.taxonomy)
        result["worst"][name] = {task: worst(slices, figure) for task, figure in WATCHED.items()}
        result["promises"][name] = promises(triager, own)
        result["levels"][name] = {level: sum(o.level == level for o in own) for level in sorted({o.level for o in own})}
        flips = measure(triager, some[:CHANGED_ROWS])
        result["invariance"][name] = {change: asdict(count) for change, count in flips.items()}
        _draw(own, triager.taxonomy, out.with_name(f"{out.name}-{name.split()[0]}"))
    return result


def _draw(found: Sequence[Outcome], taxonomy: Taxonomy, stem: Path) -> None:
    whole = [o for o in found if all(o.labelled(task) for task in TASKS)]
    if not whole:
        return
    draw_reliability(whole, stem.with_name(f"{stem.name}-reliability.png"))
    draw_risk_coverage(whole, stem.with_name(f"{stem.name}-risk-coverage.png"))
    true = [o.true_department or "" for o in whole]
    said = [o.departments[0] for o in whole]
    draw_confusion(true, said, taxonomy.department_ids, stem.with_name(f"{stem.name}-departments.png"))
    cards = taxonomy.card_ids
    draw_confusion(
        [cards[o.true_rank] for o in whole], [cards[o.rank] for o in whole], cards,
        stem.with_name(f"{stem.name}-cards.png"),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=STARTER)
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="labelled files to measure on, whole")
    parser.add_argument("--labels", choices=TASKS, help="the files of --data have text and label, of this one task")
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help="labelled files the bundle was trained with")
    parser.add_argument("--report", type=Path, required=True, help="path without suffix")
    options = parser.parse_args()
    triager = Triager.load(options.bundle, load_policy())
    if options.data:
        read = (lambda path: read_single_task(path, options.labels, triager.taxonomy)) if options.labels else (
            lambda path: read_labelled(path, triager.taxonomy)
        )  # fmt: skip
        rows = [row for path in options.data for row in read(path)]
        result = {SERVED: by_origin(rows, outcomes(triager, rows, read_rows(triager, rows)))}
    else:
        everything = load_rows(options.corpus, triager.taxonomy)
        rows = [row for row in everything if row.split == "test" and row.labels.complete]
        result = compare_sources(triager, everything)
    ordered = [row for found in by_origin(rows, rows).values() for row in found]
    served = [o for found in result[SERVED].values() for o in found]
    figures = {
        "versions": triager.versions.bundle,
        **report(result, triager.taxonomy),
        **details(triager, ordered, served, options.report),
    }
    options.report.with_suffix(".json").write_text(json.dumps(figures, ensure_ascii=False, indent=1), encoding="utf-8")
    text = as_markdown(figures)
    options.report.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
