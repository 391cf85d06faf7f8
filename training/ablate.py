"""What each choice is worth: ``python -m training.ablate --out runs/ablation [--only NAME …] [--corpus FILE …]``.

Trains the variants of ``experiments/ablation.toml`` one after another and measures the encoder alone, through the
deciding function with a cross-fitted fusion, on split ``calibration``; the test split is not touched. Each variant's
figures are kept in a file of its own, so a stopped run goes on where it was. A teacher is named by its variant, which
is trained before its students.
"""

import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data.complaint import LabelledComplaint
from data.policy_files import load_policy
from data.policy_schema import Policy
from models.bundle import CLAIMS, LEXICAL, load_bundle, write_manifest
from models.heads import Pooling
from models.lexical import BUCKETS, LexicalScorer
from models.triage import Triager
from training.assure import cross_decide
from training.calibrate import unfitted
from training.evaluate import ORIGINS, by_origin, read_rows
from training.experiment import Experiment
from training.export import write_encoder
from training.fit import fit, load_rows
from training.fusion import fit_fusion
from training.markdown import FIGURES
from training.metrics import headline, outcome
from training.pooled import TorchTriager
from training.runs import load_run

EXPERIMENTS = Path(__file__).parent / "experiments"
REFERENCE = "reference"
SHOWN = (
    "misconduct_micro_f1", "misconduct_macro_f1", "any_misconduct_f1", "department_top1", "urgency_kappa",
    "evidence_f1",
)  # fmt: skip
Figures = dict[str, Any]


def variants(
    path: Path = EXPERIMENTS / "ablation.toml", base: Path = EXPERIMENTS / "own.toml"
) -> dict[str, Experiment]:
    """The experiments by name, the reference first."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        name: Experiment.from_toml(base, **{**data["reference"], **changes})
        for name, changes in data["variants"].items()
    }


def wanted(found: Mapping[str, Experiment], only: Sequence[str] | None) -> list[str]:
    """The names to measure: those of ``only`` and their teachers, or all; every teacher before its students.

    Raises ValueError naming what is no variant.
    """
    names = list(found) if only is None else list(only)
    teachers = [found[name].teacher for name in names if name in found and found[name].teacher]
    ordered = list(dict.fromkeys([*teachers, *names]))
    unknown = [name for name in ordered if name not in found]
    if unknown:
        raise ValueError(f"no such variant: {', '.join(unknown)}; there are {', '.join(found)}")
    return ordered


def measure(experiment: Experiment, rows: Sequence[LabelledComplaint], policy: Policy, folder: Path) -> Figures:
    """Train one variant in ``folder`` and give its figures by origin."""
    run, bundle, taxonomy = folder / "run", folder / "bundle", policy.taxonomy
    fit(rows, experiment, taxonomy, run)
    write_encoder(run, bundle, taxonomy)
    triager = _encoder_alone(experiment, run, bundle, policy)
    held = [row for row in rows if row.split == "calibration" and row.labels.complete]
    alone = partial(fit_fusion, taxonomy=taxonomy, sources=("model",))
    decided = cross_decide(triager, read_rows(triager, held), held, alone)
    measured = [outcome(one.row.labels, one.row.complaint.text, one.triage, taxonomy) for one in decided]
    origins = by_origin([one.row for one in decided], measured)
    return {name: headline(found, taxonomy) for name, found in origins.items() if found}


def _encoder_alone(experiment: Experiment, run: Path, bundle: Path, policy: Policy) -> Triager:
    """A triager whose n-grams are silent; it reads with torch where the run pools in another way than what ships."""
    taxonomy = policy.taxonomy
    for name, width in ((LEXICAL, taxonomy.outputs), (CLAIMS, len(taxonomy.misconduct) + 1)):
        _silent(width).save(bundle / name)
    write_manifest(
        bundle, name="ablation", taxonomy=taxonomy, rules_digest=policy.rules_digest, windowing=experiment.windowing,
        fusion=unfitted(taxonomy), experiment=experiment.as_dict(),
    )  # fmt: skip
    loaded = load_bundle(bundle, taxonomy)
    if experiment.pooling == Pooling.PEAK:
        return Triager(policy, loaded)
    return TorchTriager(policy, loaded, load_run(run, taxonomy))


def _silent(width: int) -> LexicalScorer:
    """An n-gram model that says nothing."""
    return LexicalScorer(
        idf=np.ones(BUCKETS, np.float32), weights=np.zeros((BUCKETS, width), np.float16),
        bias=np.zeros(width, np.float32),
    )  # fmt: skip


def table(found: Mapping[str, Figures], seeds: Sequence[str] = ()) -> str:
    """The variants as a Markdown table, one for each origin, first the mean and the standard deviation of ``seeds``."""
    lines = []
    for origin in [name for name in ORIGINS if any(name in figures for figures in found.values())]:
        lines += [f"| {origin} | {' | '.join(FIGURES[key] for key in SHOWN)} |", "|---" * (len(SHOWN) + 1) + "|"]
        again = [found[name][origin] for name in seeds if name in found]
        if len(again) > 1:
            lines.append(f"| mean of {len(again)} seeds | {' | '.join(_spread(again, key) for key in SHOWN)} |")
        for name, figures in found.items():
            cells = [f"{figures[origin][key]:.3f}" for key in SHOWN]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _spread(again: Sequence[Figures], key: str) -> str:
    values = [figures[key] for figures in again]
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--only", nargs="*", help="names of variants; all if left out")
    parser.add_argument("--corpus", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    policy, experiments, found = load_policy(), variants(), {}
    rows = load_rows(options.corpus, policy.taxonomy)
    folders = {name: options.out / name.replace(",", "").replace(" ", "-") for name in experiments}
    seeds = [n for n, one in experiments.items() if replace(one, seed=0) == replace(experiments[REFERENCE], seed=0)]
    for name in wanted(experiments, options.only):
        experiment, kept = experiments[name], folders[name] / "figures.json"
        if experiment.teacher:
            experiment = replace(experiment, teacher=str(folders[experiment.teacher] / "run"))
        if not kept.is_file():
            figures = measure(experiment, rows, policy, folders[name])
            kept.write_text(json.dumps(figures, indent=1), encoding="utf-8")
        found[name] = json.loads(kept.read_text(encoding="utf-8"))
        print(table(found, seeds))


if __name__ == "__main__":
    main()
