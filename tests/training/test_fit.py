"""Training itself: it learns, it resumes, and what nobody labelled teaches nothing."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import EvalPrediction
from transformers.trainer_utils import get_last_checkpoint

from data.complaint import LabelledComplaint, Labels
from data.errors import InputError
from data.labelled import CORPUS, SENTENCES, read_corpus
from data.taxonomy import Taxonomy
from data.transcript import complaint_from_text
from models.multitask import TriageModel
from models.tokens import ComplaintTokenizer
from training.examples import Collator, Example, make_example
from training.experiment import Experiment
from training.fit import fit, load_rows, optimizer, quick_metrics, set_class_weights
from training.runs import build_model, load_run


def examples(rows: Sequence[LabelledComplaint], tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> list[Example]:
    return [make_example(row, tokenizer, taxonomy) for row in rows]


def outputs(
    model: TriageModel, rows: Sequence[LabelledComplaint], tokenizer: ComplaintTokenizer, experiment: Experiment,
    taxonomy: Taxonomy,
) -> dict[str, torch.Tensor]:  # fmt: skip
    found = examples(rows, tokenizer, taxonomy)
    collate = Collator(found, tokenizer, experiment.windowing)
    result: dict[str, torch.Tensor] = model(**collate([{"index": i, "length": 0} for i in range(len(found))]))
    return result


def last_state(run: Path) -> dict[str, object]:
    checkpoint = get_last_checkpoint(str(run / "checkpoints"))
    assert checkpoint is not None
    state: dict[str, object] = json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))
    return state


@pytest.fixture(scope="module")
def eight(corpus_rows: tuple[LabelledComplaint, ...]) -> tuple[LabelledComplaint, ...]:
    """Eight short rows of every card to learn by heart, and two to watch."""
    short = sorted(corpus_rows[:60], key=lambda row: len(row.complaint.text))
    chosen = [row for card in ("red", "yellow", "blue") for row in [r for r in short if r.labels.urgency == card][:3]]
    watched = [row for row in short if row not in chosen][:2]
    return (
        *(replace(row, split="train") for row in chosen[-8:]),
        *(replace(row, split="calibration") for row in watched),
    )


def test_eight_rows_are_learned_nearly_by_heart(
    eight: tuple[LabelledComplaint, ...],
    experiment: Experiment,
    tokenizer: ComplaintTokenizer,
    taxonomy: Taxonomy,
    tmp_path: Path,
) -> None:
    eager = replace(experiment, epochs=30, batch=4, learning_rate=3e-3, head_learning_rate=2e-2, masking=0.0)
    fit(eight, eager, taxonomy, tmp_path / "run")
    torch.manual_seed(0)
    fresh, learned = build_model(eager, taxonomy).eval(), load_run(tmp_path / "run", taxonomy)
    with torch.no_grad():
        before = outputs(fresh, eight[:8], tokenizer, eager, taxonomy)
        after = outputs(learned, eight[:8], tokenizer, eager, taxonomy)
    assert after["loss"] < 0.4 * before["loss"]
    said = after["department"].argmax(dim=1).tolist()
    true = [taxonomy.department_ids.index(row.labels.department or "") for row in eight[:8]]
    assert sum(one == other for one, other in zip(said, true, strict=True)) >= 7
    alleged = np.array(
        [[kind in (row.labels.misconduct or ()) for kind in taxonomy.misconduct_ids] for row in eight[:8]]
    )
    assert ((after["misconduct"][:, :-1] > 0).numpy() == alleged).mean() > 0.97


def test_a_stopped_run_goes_on_where_it_was(
    eight: tuple[LabelledComplaint, ...], experiment: Experiment, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    small = replace(experiment, batch=4)
    fit(eight, replace(small, epochs=1), taxonomy, tmp_path / "run")
    first = last_state(tmp_path / "run")
    fit(eight, replace(small, epochs=3), taxonomy, tmp_path / "run")
    second = last_state(tmp_path / "run")
    assert (first["global_step"], second["global_step"]) == (2, 6)
    evaluated = [entry["step"] for entry in second["log_history"] if "eval_loss" in entry]  # type: ignore[attr-defined]
    assert evaluated == [4], "the epoch before the stop was trained again"


def test_partly_labelled_rows_train(
    eight: tuple[LabelledComplaint, ...],
    experiment: Experiment,
    tokenizer: ComplaintTokenizer,
    taxonomy: Taxonomy,
    tmp_path: Path,
) -> None:
    rows = [replace(eight[n], labels=replace(eight[n].labels, department=None, urgency=None)) for n in range(3)]
    rows += [replace(row, labels=replace(row.labels, misconduct=None, evidence={})) for row in eight[3:6]]
    fit([*rows, *eight[6:]], experiment, taxonomy, tmp_path / "run")
    model = load_run(tmp_path / "run", taxonomy)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert outputs(model, rows, tokenizer, experiment, taxonomy)["loss"].isfinite()


@pytest.fixture
def model(experiment: Experiment, taxonomy: Taxonomy) -> TriageModel:
    torch.manual_seed(2)
    return build_model(experiment, taxonomy).eval()


@pytest.mark.parametrize("task", ["misconduct", "department", "urgency"])
def test_rows_without_a_label_leave_the_loss_as_it_is(
    model: TriageModel,
    eight: tuple[LabelledComplaint, ...],
    tokenizer: ComplaintTokenizer,
    experiment: Experiment,
    taxonomy: Taxonomy,
    task: str,
) -> None:
    """One task labelled in the first rows, nothing in the others: these change neither the loss nor its gradient."""
    labelled = [
        replace(row, labels=replace(Labels(), **{task: getattr(row.labels, task)}))  # type: ignore[arg-type]
        for row in eight[:4]
    ]
    silent = [replace(row, labels=Labels()) for row in eight[4:8]]
    alone = outputs(model, labelled, tokenizer, experiment, taxonomy)["loss"]
    together = outputs(model, [*labelled, *silent], tokenizer, experiment, taxonomy)["loss"]
    assert alone > 0
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    together.backward()
    for name in ("misconduct", "department", "urgency"):
        gradient = getattr(model, name).score.weight.grad
        assert bool(gradient.any()) == (name == task), name


def test_nothing_labelled_teaches_nothing(
    model: TriageModel,
    eight: tuple[LabelledComplaint, ...],
    tokenizer: ComplaintTokenizer,
    experiment: Experiment,
    taxonomy: Taxonomy,
) -> None:
    loss = outputs(model, [replace(row, labels=Labels()) for row in eight], tokenizer, experiment, taxonomy)["loss"]
    loss.backward()
    assert loss == 0
    assert not any(p.grad is not None and p.grad.any() for p in model.parameters())


def test_masked_targets_have_no_gradient(model: TriageModel) -> None:
    types = torch.randn(4, 25, requires_grad=True)
    target = torch.full((4, 25), torch.nan)
    target[1], target[2] = 0, 1
    model.misconduct.loss(types, target, torch.ones(25)).backward()
    assert types.grad is not None
    assert not types.grad[[0, 3]].any() and types.grad[[1, 2]].all()
    departments = torch.randn(3, 37, requires_grad=True)
    model.department.loss(departments, torch.tensor([5, -100, 7])).backward()
    assert departments.grad is not None
    assert not departments.grad[1].any() and departments.grad[[0, 2]].all()
    steps = torch.randn(4, 2, requires_grad=True)
    model.urgency.loss(steps, torch.tensor([0, 2, -100, 1]), torch.ones(2)).backward()
    assert steps.grad is not None
    assert (steps.grad != 0).tolist() == [[True, False], [True, True], [False, False], [True, True]]


def test_only_quoted_types_have_an_evidence_gradient(model: TriageModel) -> None:
    scores = torch.randn(3, 25, requires_grad=True)
    target = torch.full((3, 25), torch.nan)
    target[:, 4] = torch.tensor([0.0, 1.0, 0.0])
    target[2, 4] = torch.nan
    model.misconduct.evidence_loss(scores, target).backward()
    assert scores.grad is not None
    assert scores.grad.nonzero().tolist() == [[0, 4], [1, 4]]
    assert scores.grad[0, 4] > 0 > scores.grad[1, 4]


def test_rare_positives_weigh_more(model: TriageModel, tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> None:
    cards = ["blue"] * 12 + ["yellow"] * 3 + ["red"]
    rows = [
        LabelledComplaint(
            complaint=complaint_from_text(str(n), "窗口收了钱"),
            labels=Labels(misconduct=frozenset({"arrears"} if n < 2 else ()), department="tax", urgency=card),
            group=str(n),
        )
        for n, card in enumerate(cards)
    ]
    set_class_weights(model, examples(rows, tokenizer, taxonomy))
    weights = dict(zip(taxonomy.misconduct_ids, model.positive_weight.tolist()[:-1], strict=True))
    assert weights["arrears"] == pytest.approx((14 / 2) ** 0.5) and weights["formalism"] == 4
    assert model.step_weight.tolist() == pytest.approx([(12 / 4) ** 0.5, (3 / 1) ** 0.5])


def test_heads_learn_faster_and_biases_do_not_decay(model: TriageModel, experiment: Experiment) -> None:
    rates = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer(model, experiment).param_groups
        for parameter in group["params"]
    }
    assert len(rates) == len(list(model.parameters()))
    assert rates[id(model.urgency.score.weight)] == (experiment.head_learning_rate, experiment.weight_decay)
    assert rates[id(model.urgency.score.bias)] == (experiment.head_learning_rate, 0)
    assert rates[id(model.encoder.embeddings.word_embeddings.weight)] == (
        experiment.learning_rate, experiment.weight_decay,
    )  # fmt: skip
    assert rates[id(model.encoder.embeddings.LayerNorm.weight)] == (experiment.learning_rate, 0)


def test_the_watched_figures_leave_unlabelled_rows_out() -> None:
    misconduct = np.array([[1.0, 0, 1], [0, 1, 1], [np.nan, np.nan, np.nan]])
    department, urgency = np.array([1, 0, -100]), np.array([2, -100, 0])
    types = np.array([[3.0, -3, 1], [-3, 3, 1], [9, 9, 9]])
    departments, steps = np.eye(3)[[1, 2, 0]], np.array([[2.0, 2], [0, 0], [-1, 5]])
    prediction = EvalPrediction(
        predictions=(types, departments, steps), label_ids=(misconduct, np.zeros(1), department, urgency)
    )
    assert quick_metrics(prediction) == {
        "misconduct_micro_f1": 1.0, "misconduct_macro_f1": 1.0, "department_top1": 0.5, "urgency_accuracy": 1.0,
    }  # fmt: skip


def test_the_same_seed_gives_the_same_weights(
    eight: tuple[LabelledComplaint, ...], experiment: Experiment, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        fit(eight, experiment, taxonomy, tmp_path / name)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_further_files_join_the_own_corpus(taxonomy: Taxonomy, tmp_path: Path) -> None:
    own = read_corpus(taxonomy)
    tested = next(row for row in own if row.split == "test" and len(row.complaint.text) > 60)
    copy = {"id": "copy", "text": tested.complaint.text + "，请尽快回复", "urgency": "blue"}
    (tmp_path / "more.jsonl").write_text(json.dumps(copy, ensure_ascii=False) + "\n", encoding="utf-8")
    rows = load_rows([tmp_path / "more.jsonl"], taxonomy)
    assert rows[:-1] == own + read_corpus(taxonomy, SENTENCES)
    assert (rows[-1].complaint.id, rows[-1].split, rows[-1].labels.department) == ("copy", "test", None)


def test_a_further_file_that_is_wrong_is_named(taxonomy: Taxonomy, tmp_path: Path) -> None:
    (tmp_path / "more.jsonl").write_text('{"id": "a", "text": "钱", "urgency": "green"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"more\.jsonl, row 1"):
        load_rows([tmp_path / "more.jsonl"], taxonomy)


def test_experiments_are_read_from_toml(tmp_path: Path) -> None:
    starter = Experiment.from_toml(CORPUS.parent.parent / "training" / "experiments" / "starter.toml", base="elsewhere")
    assert starter.base == "elsewhere" and Experiment(**starter.as_dict()) == starter
    assert (starter.windowing.length, starter.windowing.overlap) == (starter.window, starter.overlap)
    (tmp_path / "e.toml").write_text('base = "b"\nlearning_speed = 3\n', encoding="utf-8")
    with pytest.raises(TypeError, match="learning_speed"):
        Experiment.from_toml(tmp_path / "e.toml")
