"""What each choice is worth: ``python -m training.ablate --out runs/ablation [--only NAME …] [--corpus FILE …]``.

Trains the variants of ``experiments/ablation.toml`` one after another and measures the encoder alone, through the
deciding function with a cross-fitted fusion, on split ``calibration``; the test split is not touched. Each variant's
figures are kept in a file of its own, so a stopped run goes on where it was.
"""

import argparse
import json
import time
import tomllib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data.complaint import LabelledComplaint
from data.policy_files import load_policy
from data.policy_schema import Policy
from models.bundle import CLAIMS, LEXICAL, load_bundle, write_manifest
from models.lexical import BUCKETS, LexicalScorer
from models.triage import Triager
from training.assure import cross_decide
from training.calibrate import unfitted
from training.evaluate import by_origin, read_rows
from training.experiment import Experiment
from training.export import export
from training.fit import fit, load_rows
from training.fusion import fit_fusion
from training.markdown import FIGURES
from training.metrics import headline, outcome

EXPERIMENTS = Path(__file__).parent / "experiments"
SHOWN = ("misconduct_micro_f1", "any_misconduct_f1", "department_top1", "urgency_kappa", "evidence_f1")


def variants(
    path: Path = EXPERIMENTS / "ablation.toml", base: Path = EXPERIMENTS / "own.toml"
) -> dict[str, Experiment]:
    """The experiments by name, the reference first."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        name: Experiment.from_toml(base, **{**data["reference"], **changes})
        for name, changes in data["variants"].items()
    }


def measure(experiment: Experiment, rows: Sequence[LabelledComplaint], policy: Policy, folder: Path) -> dict[str, Any]:
    """Train one variant in ``folder`` and give its figures by origin, and the minutes it took."""
    start = time.monotonic()
    run, bundle, taxonomy = folder / "run", folder / "bundle", policy.taxonomy
    fit(rows, experiment, taxonomy, run)
    minutes = (time.monotonic() - start) / 60
    export(run, bundle, taxonomy)
    for name, width in ((LEXICAL, taxonomy.outputs), (CLAIMS, len(taxonomy.misconduct) + 1)):
        _silent(width).save(bundle / name)
    write_manifest(
        bundle, name="ablation", taxonomy=taxonomy, rules_digest=policy.rules_digest, windowing=experiment.windowing,
        fusion=unfitted(taxonomy), experiment=experiment.as_dict(),
    )  # fmt: skip
    triager = Triager(policy, load_bundle(bundle, taxonomy))
    held = [row for row in rows if row.split == "calibration" and row.labels.complete]
    alone = partial(fit_fusion, taxonomy=taxonomy, sources=("model",))
    decided = cross_decide(triager, read_rows(triager, held), held, alone)
    measured = [outcome(one.row.labels, one.row.complaint.text, one.triage, taxonomy) for one in decided]
    origins = by_origin([one.row for one in decided], measured)
    return {"minutes": minutes, **{name: headline(found, taxonomy) for name, found in origins.items() if found}}


def _silent(width: int) -> LexicalScorer:
    """An n-gram model that says nothing."""
    return LexicalScorer(
        idf=np.ones(BUCKETS, np.float32), weights=np.zeros((BUCKETS, width), np.float16),
        bias=np.zeros(width, np.float32),
    )  # fmt: skip


def table(found: dict[str, dict[str, Any]]) -> str:
    """The variants as a Markdown table, one for each origin."""
    lines = []
    for origin in sorted({name for figures in found.values() for name in figures} - {"minutes"}):
        lines += [
            f"| {origin} | {' | '.join(FIGURES[key] for key in SHOWN)} | minutes |",
            "|---" * (len(SHOWN) + 2) + "|",
        ]
        for name, figures in found.items():
            cells = [f"{figures[origin][key]:.3f}" for key in SHOWN]
            lines.append(f"| {name} | {' | '.join(cells)} | {figures['minutes']:.0f} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--only", nargs="*", help="names of variants; all if left out")
    parser.add_argument("--corpus", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    policy = load_policy()
    rows = load_rows(options.corpus, policy.taxonomy)
    found = {}
    for name, experiment in variants().items():
        if options.only is not None and name not in options.only:
            continue
        folder = options.out / name.replace(" ", "-")
        kept = folder / "figures.json"
        if not kept.is_file():
            figures = measure(experiment, rows, policy, folder)
            kept.write_text(json.dumps(figures, indent=1), encoding="utf-8")
        found[name] = json.loads(kept.read_text(encoding="utf-8"))
        print(table(found))


if __name__ == "__main__":
    main()
