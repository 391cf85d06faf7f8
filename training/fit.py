"""Fine-tune the encoder and its three heads: ``python -m training.fit --corpus FILE … --out runs/NAME``.

Writes checkpoints every 100 steps and resumes from the newest; the result is ``OUT/model.safetensors`` with its
experiment, ready for ``python -m training.export``.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from datasets import Dataset
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import save_model
from sklearn.metrics import f1_score
from transformers import (
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from data.complaint import LabelledComplaint
from data.labelled import read_corpus, read_labelled
from data.policy_files import load_policy
from data.taxonomy import Taxonomy
from models.encoder import load_encoder, load_tokenizer
from models.multitask import LossWeights, TriageModel
from models.tokens import ComplaintTokenizer
from training.examples import Collator, Example, make_example
from training.experiment import Experiment
from training.splits import assign_splits

Arrays = tuple[np.ndarray, ...]
LABELS = ["misconduct", "quoted", "department", "urgency"]


class RichProgress(TrainerCallback):
    """A progress bar with loss and time left."""

    def __init__(self) -> None:
        self.bar = Progress(
            TextColumn("fit"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
        )  # fmt: skip

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.task = self.bar.add_task("fit", total=state.max_steps, completed=state.global_step, loss="")
        self.bar.start()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.bar.update(self.task, completed=state.global_step)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any) -> None:
        kept = {k: round(v, 4) for k, v in (logs or {}).items() if k == "loss" or k.startswith("eval_")}
        self.bar.update(self.task, loss=f"loss {logs['loss']:.3f}" if logs and "loss" in logs else "")
        self.bar.console.print(f"step {state.global_step}: {kept}")

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.bar.stop()


def load_rows(corpora: Sequence[Path], taxonomy: Taxonomy) -> list[LabelledComplaint]:
    """The project's own corpus and the files named, with their splits."""
    rows = read_corpus(taxonomy)
    for path in corpora:
        rows += read_labelled(path, taxonomy)
    return assign_splits(rows)


def build_model(experiment: Experiment, taxonomy: Taxonomy) -> TriageModel:
    """The model with fresh heads."""
    return TriageModel(
        load_encoder(experiment.base, experiment.layers),
        types=len(taxonomy.misconduct),
        departments=len(taxonomy.departments),
        cards=len(taxonomy.cards),
    )


def set_class_weights(model: TriageModel, examples: Sequence[Example]) -> None:
    """Weights of positives: the square root of negatives per positive, between 1 and 4."""
    targets = np.stack([e.misconduct for e in examples])
    labelled = targets[~np.isnan(targets).any(axis=1)]
    if len(labelled):
        share = labelled.mean(axis=0).clip(1e-4, 0.5)
        model.positive_weight.copy_(torch.from_numpy(np.sqrt((1 - share) / share).clip(1, 4)))
    ranks = np.array([e.urgency for e in examples])
    steps = []
    for step in range(len(model.step_weight)):
        reached = ranks[ranks >= step]
        above = (reached > step).mean().clip(1e-3, 0.5) if len(reached) else 0.5
        steps.append(float(np.sqrt((1 - above) / above).clip(1, 4)))
    model.step_weight.copy_(torch.tensor(steps))


def quick_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """Figures to watch while training, at fixed thresholds; the reported ones come from `training.evaluate`."""
    outputs, labels = cast(Arrays, prediction.predictions), cast(Arrays, prediction.label_ids)
    types, departments, steps = outputs[:3]
    misconduct, _, department, urgency = labels
    known = ~np.isnan(misconduct).any(axis=1)
    rank = (steps[:, 0] > 0).astype(int) * (1 + (steps[:, 1] > 0))
    return {
        "misconduct_micro_f1": f1_score(misconduct[known] > 0.5, types[known] > 0, average="micro", zero_division=0),
        "misconduct_macro_f1": f1_score(misconduct[known] > 0.5, types[known] > 0, average="macro", zero_division=0),
        "department_top1": float((departments.argmax(1) == department)[department >= 0].mean()),
        "urgency_accuracy": float((rank == urgency)[urgency >= 0].mean()),
    }


def optimizer(model: TriageModel, experiment: Experiment) -> torch.optim.AdamW:
    """AdamW; heads learn faster than the encoder, biases and norms do not decay."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        rate = experiment.learning_rate if name.startswith("encoder.") else experiment.head_learning_rate
        decay = 0.0 if parameter.ndim == 1 else experiment.weight_decay
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW([{"params": p, "lr": r, "weight_decay": d} for (r, d), p in groups.items()])


def _dataset(examples: Sequence[Example]) -> Dataset:
    return Dataset.from_dict({"index": list(range(len(examples))), "length": [len(e.tokens) for e in examples]})


def _newest_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint; the state is what the trainer writes last."""
    complete = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return str(max(complete, key=lambda path: int(path.name.split("-")[1]))) if complete else None


class _Trainer(Trainer):
    """Evaluation takes its examples from another list than training, so it needs its own collator."""

    def __init__(self, *args: Any, eval_collator: Collator, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._eval_collator = eval_collator

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        kept, self.data_collator = self.data_collator, self._eval_collator
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = kept


def fit(rows: Sequence[LabelledComplaint], experiment: Experiment, taxonomy: Taxonomy, out: Path) -> TriageModel:
    """Train on the rows of split ``train``, watching the split ``calibration``; resumes a run that was stopped."""
    set_seed(experiment.seed)
    torch.set_num_threads(max(1, torch.get_num_threads()))
    tokenizer = ComplaintTokenizer(load_tokenizer(experiment.base))
    examples = {
        s: [make_example(r, tokenizer, taxonomy) for r in rows if r.split == s] for s in ("train", "calibration")
    }
    examples = {split: [e for e in found if e.tokens.clauses] for split, found in examples.items()}
    model = build_model(experiment, taxonomy)
    model.weights = LossWeights(evidence=experiment.evidence_weight)
    set_class_weights(model, examples["train"])
    masking = {"train": experiment.masking, "calibration": 0.0}
    collators = {s: Collator(e, tokenizer, experiment.windowing, masking[s]) for s, e in examples.items()}
    steps = -(-len(examples["train"]) // experiment.batch) * experiment.epochs
    arguments = TrainingArguments(
        output_dir=str(out / "checkpoints"),
        num_train_epochs=experiment.epochs,
        per_device_train_batch_size=experiment.batch,
        per_device_eval_batch_size=experiment.batch,
        lr_scheduler_type="cosine",
        warmup_steps=int(experiment.warmup * steps),
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        remove_unused_columns=False,
        label_names=LABELS,
        eval_strategy="epoch",
        save_strategy="steps",
        save_steps=100,
        save_total_limit=2,
        logging_steps=25,
        disable_tqdm=True,
        report_to=[],
        seed=experiment.seed,
        dataloader_pin_memory=False,
    )
    trainer = _Trainer(
        model=model,
        args=arguments,
        data_collator=collators["train"],
        eval_collator=collators["calibration"],
        train_dataset=_dataset(examples["train"]),
        eval_dataset=_dataset(examples["calibration"]),
        compute_metrics=quick_metrics,
        optimizers=(optimizer(model, experiment), None),
        callbacks=[RichProgress()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=_newest_checkpoint(out / "checkpoints"))
    save_model(model, str(out / "model.safetensors"))
    (out / "experiment.json").write_text(json.dumps(experiment.as_dict(), indent=1), encoding="utf-8")
    (out / "encoder.json").write_text(model.encoder.config.to_json_string(), encoding="utf-8")
    load_tokenizer(experiment.base).save(str(out / "tokenizer.json"))
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--corpus", type=Path, nargs="*", default=[], help="further labelled files beside the own corpus"
    )
    parser.add_argument("--experiment", type=Path, default=Path("training/experiments/starter.toml"))
    parser.add_argument("--base", help="local folder or hub name instead of the experiment's")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    changes = {"base": options.base} if options.base else {}
    experiment = Experiment.from_toml(options.experiment, **changes)
    taxonomy = load_policy().taxonomy
    fit(load_rows(options.corpus, taxonomy), experiment, taxonomy, options.out)


if __name__ == "__main__":
    main()
