"""Fit the n-gram model on the train split and the fusion of all sources on held-out data, and complete a bundle.

``python -m training.calibrate --run runs/NAME --bundle FOLDER --corpus FILE …`` after ``training.export``.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from data.complaint import LabelledComplaint
from data.labelled import is_authored
from data.policy_files import load_policy
from data.policy_schema import Policy
from data.taxonomy import Taxonomy
from models.assurance import Assurance
from models.bundle import CLAIMS, LEXICAL, load_bundle, write_manifest
from models.calibration import Fusion, TaskFusion
from models.drift import mixes
from models.tokens import Windowing
from models.triage import Triager
from training.assure import Decided, assure, cross_decide
from training.experiment import Experiment
from training.fit import load_rows
from training.fusion import LEAST_USUAL, fit_fusion
from training.lexical import fit_claims, fit_lexical

WITHOUT_ENCODER = ("lexical", "rules")


def calibrate(run: Path, bundle: Path, rows: Sequence[LabelledComplaint], policy: Policy, name: str) -> Fusion:
    """Fit the n-gram models on split ``train`` and the fusion on split ``calibration``, and write the manifest."""
    experiment = json.loads((run / "experiment.json").read_text(encoding="utf-8"))
    windowing = Windowing(length=experiment["window"], overlap=experiment["overlap"])
    train = [row for row in rows if row.split == "train"]
    fit_lexical(train, policy.taxonomy).save(bundle / LEXICAL)
    fit_claims(train, policy.taxonomy).save(bundle / CLAIMS)
    held_out = [row for row in rows if row.split == "calibration" and row.labels.complete]

    def write(
        fusion: Fusion, assurance: Assurance | None = None, decided: Sequence[Decided] = (),
        fallback: Fusion | None = None,
    ) -> None:  # fmt: skip
        write_manifest(
            bundle, name=name, taxonomy=policy.taxonomy, rules_digest=policy.rules_digest, windowing=windowing,
            fusion=fusion, assurance=assurance, fallback=fallback,
            reference=mixes((one.row.complaint, one.triage) for one in decided),
            experiment=Experiment(**experiment).as_dict(),
        )  # fmt: skip

    write(unfitted(policy.taxonomy))
    triager = Triager(policy, load_bundle(bundle, policy.taxonomy))
    readings = triager.read([row.complaint for row in held_out])
    fusion = fit_fusion(readings, held_out, policy.taxonomy)
    decided = cross_decide(triager, readings, held_out, partial(fit_fusion, taxonomy=policy.taxonomy))
    real = [one for one in decided if not is_authored(one.row)]
    decided = real if len(real) >= LEAST_USUAL else decided
    fallback = fit_fusion(readings, held_out, policy.taxonomy, WITHOUT_ENCODER)
    write(fusion, assure(decided, policy.taxonomy), decided, fallback)
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
