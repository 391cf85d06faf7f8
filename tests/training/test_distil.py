"""Distillation: the teacher draws the student, labels or not, and learns nothing itself."""

from dataclasses import replace
from pathlib import Path

import torch

from data.complaint import LabelledComplaint, Labels
from data.taxonomy import Taxonomy
from training.distil import distillation_loss
from training.experiment import Experiment
from training.fit import fit
from training.runs import load_run

WIDTHS = {"misconduct": 5, "department": 7, "urgency": 2}


def logits(seed: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(3, width, generator=random).requires_grad_() for name, width in WIDTHS.items()}


def test_the_teacher_gets_no_gradient_and_a_copy_of_it_none_either() -> None:
    student, teacher = logits(0), logits(1)
    distillation_loss(student, teacher).backward()
    assert all(one.grad is None for one in teacher.values())
    assert all(one.grad is not None and one.grad.abs().max() > 1e-3 for one in student.values())
    copy = {name: one.detach().clone().requires_grad_() for name, one in teacher.items()}
    distillation_loss(copy, teacher).backward()
    assert all(one.grad is not None and one.grad.abs().max() < 1e-6 for one in copy.values())


def test_a_step_brings_the_student_nearer() -> None:
    student, teacher = logits(0), logits(1)
    before = distillation_loss(student, teacher)
    before.backward()
    nearer = {name: one - 0.1 * one.grad for name, one in student.items() if one.grad is not None}
    assert distillation_loss(nearer, teacher) < before


def test_a_shallower_run_learns_what_its_teacher_says_of_unlabelled_rows(
    corpus_rows: tuple[LabelledComplaint, ...], experiment: Experiment, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    eager = replace(experiment, epochs=8, batch=4, learning_rate=3e-3, head_learning_rate=2e-2, masking=0.0)
    rows = [
        replace(row, split="train") for row in sorted(corpus_rows[:40], key=lambda row: len(row.complaint.text))[:8]
    ]
    rows.append(replace(corpus_rows[0], split="calibration"))
    fit(rows, eager, taxonomy, tmp_path / "teacher")
    silent = [replace(row, labels=Labels()) if row.split == "train" else row for row in rows]
    student = replace(eager, layers=1, teacher=str(tmp_path / "teacher"))
    fit(silent, student, taxonomy, tmp_path / "student")
    alone = fit(silent, replace(student, teacher=""), taxonomy, tmp_path / "alone").misconduct.score.bias
    torch.testing.assert_close(alone, torch.full_like(alone, -2.0))
    taught = load_run(tmp_path / "student", taxonomy)
    assert taught.encoder.config.num_hidden_layers == 1
    assert (taught.misconduct.score.bias + 2).abs().max() > 0.05
