"""Reading in torch: of the pooling that ships it gives what serving reads, and of the others a decision with evidence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.complaint import LabelledComplaint
from data.errors import BundleError
from data.policy_schema import Policy
from data.taxonomy import Taxonomy
from models.heads import HeadChoices, Pooling
from models.multitask import TriageModel
from models.pooling import NEVER
from models.triage import Triager
from training.experiment import Experiment
from training.export import export
from training.fit import fit
from training.pooled import TorchTriager, document_logits
from training.runs import build_model, load_run

PARTS = (
    "misconduct", "alleged", "department", "urgency", "clause_misconduct", "clause_department", "clause_urgency",
)  # fmt: skip


def test_torch_reads_what_serving_reads(trained: Any, trained_triager: Triager, policy: Policy) -> None:
    model = load_run(trained.folder, policy.taxonomy)
    complaints = [row.complaint for row in trained.rows[:12]]
    torch_triager = TorchTriager(policy, trained_triager.bundle, model)
    for mine, served in zip(torch_triager.read(complaints), trained_triager.read(complaints), strict=True):
        for name in PARTS:
            np.testing.assert_allclose(
                getattr(mine.logits, name), getattr(served.logits, name), atol=2e-2, err_msg=name
            )  # float16 weights
        assert mine.matches == served.matches and mine.tokens == served.tokens


def model_of(experiment: Experiment, taxonomy: Taxonomy, pooling: Pooling) -> TriageModel:
    torch.manual_seed(1)
    return build_model(replace(experiment, pooling=pooling.value), taxonomy).eval()


@pytest.mark.parametrize("pooling", list(Pooling))
def test_a_complaint_without_clauses_and_one_of_the_agent_allege_nothing(
    experiment: Experiment, taxonomy: Taxonomy, pooling: Pooling
) -> None:
    model = model_of(experiment, taxonomy, pooling)
    width = sum(head.score.out_features for head in (model.misconduct, model.department, model.urgency))
    with torch.no_grad():
        nothing = document_logits(model, torch.zeros(0, width), torch.zeros(0, dtype=torch.bool))
        agent = document_logits(model, torch.ones(2, width), torch.zeros(2, dtype=torch.bool))
    for found, clauses in ((nothing, 0), (agent, 2)):
        assert (found.misconduct == NEVER).all() and found.alleged == NEVER
        assert found.clause_misconduct.shape == (clauses, len(taxonomy.misconduct))
        assert found.clause_urgency.shape == (clauses, len(taxonomy.cards) - 1)
        assert (found.clause_misconduct == NEVER).all()
    assert (nothing.urgency == NEVER).all() and (agent.urgency != NEVER).all()


@pytest.mark.parametrize("change", [{"pooling": "mean"}, {"pooling": "attention"}, {"loss": "focal"}])
def test_every_choice_trains_and_decides(
    change: dict[str, str], corpus_rows: tuple[LabelledComplaint, ...], experiment: Experiment, policy: Policy,
    trained_triager: Triager, tmp_path: Path,
) -> None:  # fmt: skip
    chosen = replace(experiment, batch=4, **change)  # type: ignore[arg-type]
    fit(corpus_rows[:12], chosen, policy.taxonomy, tmp_path)
    model = load_run(tmp_path, policy.taxonomy)
    assert model.misconduct.choices == HeadChoices(pooling=Pooling(chosen.pooling), loss=model.urgency.choices.loss)
    assert model.urgency.choices.loss == chosen.loss
    triager = TorchTriager(policy, trained_triager.bundle, model)
    (reading,) = triager.read([corpus_rows[0].complaint])
    assert len(reading.logits.clause_misconduct) == len(reading.tokens.clauses)
    assert triager.decide(reading).department.evidence


def test_only_the_pooling_that_ships_is_exported(
    experiment: Experiment, corpus_rows: tuple[LabelledComplaint, ...], taxonomy: Taxonomy, tmp_path: Path
) -> None:
    fit(corpus_rows[:4], replace(experiment, pooling="mean"), taxonomy, tmp_path / "run")
    with pytest.raises(BundleError, match="pools by mean, but only peak"):
        export(tmp_path / "run", tmp_path / "bundle", taxonomy)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("wrong", [{"pooling": "median"}, {"loss": "hinge"}])
def test_an_unknown_choice_is_refused(wrong: dict[str, str], experiment: Experiment) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong.values()))):
        replace(experiment, **wrong)  # type: ignore[arg-type]
