"""Fine-tune the encoder and its heads: ``python -m training.fit --corpus FILE … --out runs/NAME``.

``--start`` takes the weights of an earlier run, ``--topics`` single-label files of another scheme as a further task,
``--without`` files whose ids are left out. Writes checkpoints every 100 steps and resumes from the newest; the result
is ``OUT/model.safetensors`` with its experiment, ready for ``python -m training.export``.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from datasets import Dataset
from sklearn.metrics import f1_score
from transformers import (
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from data.complaint import LabelledComplaint
from data.labelled import SENTENCES, read_corpus, read_labelled
from data.policy_files import load_policy
from data.taxonomy import Taxonomy
from models.encoder import load_tokenizer
from models.multitask import LossWeights, TriageModel
from models.tokens import ComplaintTokenizer
from training.distil import distillation_loss
from training.examples import Collator, Example, make_example
from training.experiment import Experiment
from training.noise import Noise
from training.progress import RichProgress
from training.runs import build_model, load_run, save_run
from training.splits import assign_splits
from training.topics import read_ids, read_topics, topic_names

WATCHED = ("train", "calibration")
Arrays = tuple[np.ndarray, ...]
LABELS = ["misconduct", "quoted", "department", "urgency", "topic"]


def load_rows(
    corpora: Sequence[Path], taxonomy: Taxonomy, without: frozenset[str] = frozenset()
) -> list[LabelledComplaint]:
    """The project's own corpus with its single sentences and the files named, with their splits, but for the ids of
    ``without``."""
    rows = read_corpus(taxonomy) + read_corpus(taxonomy, SENTENCES)
    for path in corpora:
        rows += read_labelled(path, taxonomy)
    return [row for row in assign_splits(rows) if row.complaint.id not in without]


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
    misconduct, _, department, urgency = labels[:4]
    known = ~np.isnan(misconduct).any(axis=1)
    misconduct, types = misconduct[:, :-1], types[:, :-1]
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


def _dataset(examples: Sequence[Example], longest: int) -> Dataset:
    lengths = [min(len(e.tokens), longest) for e in examples]
    return Dataset.from_dict({"index": list(range(len(examples))), "length": lengths})


def _noise(
    rows: Sequence[LabelledComplaint], rate: float, make: Callable[..., Example]
) -> Callable[[int], Example | None] | None:
    """What the collator asks for a noisy copy of train example ``index``; None where no noise is wanted."""
    if not rate:
        return None
    noise = Noise((row.complaint.text for row in rows), rate)

    def noisy(index: int) -> Example | None:
        heard = noise.copy(rows[index].complaint, np.random.default_rng(int(torch.randint(2**31, (1,)))))
        example = make(rows[index], heard=heard) if heard else None
        return example if example and example.tokens.clauses else None

    return noisy


def _newest_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint; the state is what the trainer writes last."""
    complete = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return str(max(complete, key=lambda path: int(path.name.split("-")[1]))) if complete else None


class _Trainer(Trainer):
    """Evaluation takes its examples from another list than training, so it needs its own collator; a teacher's say
    joins the loss while training."""

    def __init__(self, *args: Any, eval_collator: Collator, teacher: TriageModel | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._eval_collator, self._teacher = eval_collator, teacher

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        kept, self.data_collator = self.data_collator, self._eval_collator
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = kept

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(**inputs)
        loss = outputs["loss"]
        if self._teacher is not None and model.training:
            with torch.no_grad():
                taught = self._teacher(**inputs)
            loss = loss + distillation_loss(outputs, taught)
        return (loss, outputs) if return_outputs else loss


def _arguments(experiment: Experiment, examples: int, out: Path) -> TrainingArguments:
    steps = -(-examples // experiment.batch) * experiment.epochs
    return TrainingArguments(
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


def fit(
    rows: Sequence[LabelledComplaint], experiment: Experiment, taxonomy: Taxonomy, out: Path, start: Path | None = None
) -> TriageModel:
    """Train on the rows of split ``train``, watching the split ``calibration``; resumes a run that was stopped."""
    set_seed(experiment.seed)
    torch.set_num_threads(max(1, torch.get_num_threads()))
    tokenizer = ComplaintTokenizer(load_tokenizer(experiment.base))
    topics = topic_names(rows)
    make = partial(make_example, tokenizer=tokenizer, taxonomy=taxonomy, topics=topics)
    pairs = {s: [(r, e) for r in rows if r.split == s and (e := make(r)).tokens.clauses] for s in WATCHED}
    train, watched = ([example for _, example in pairs[split]] for split in WATCHED)
    model = build_model(experiment, taxonomy, len(topics), start)
    model.weights = LossWeights(evidence=experiment.evidence_weight)
    set_class_weights(model, train)
    noise = _noise([row for row, _ in pairs["train"]], experiment.noise, make)
    trainer = _Trainer(
        model=model,
        args=_arguments(experiment, len(train), out),
        data_collator=Collator(train, tokenizer, experiment.windowing, experiment.masking, experiment.longest, noise),
        eval_collator=Collator(watched, tokenizer, experiment.windowing),
        teacher=load_run(Path(experiment.teacher), taxonomy) if experiment.teacher else None,
        train_dataset=_dataset(train, experiment.longest),
        eval_dataset=_dataset(watched, experiment.window * 100),
        compute_metrics=quick_metrics,
        optimizers=(optimizer(model, experiment), None),
        callbacks=[RichProgress()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=_newest_checkpoint(out / "checkpoints"))
    save_run(model, experiment, topics, out)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--corpus", type=Path, nargs="*", default=[], help="further labelled files beside the own corpus"
    )
    parser.add_argument("--experiment", type=Path, default=Path("training/experiments/starter.toml"))
    parser.add_argument("--base", help="local folder or hub name instead of the experiment's")
    parser.add_argument("--start", type=Path, help="an earlier run whose weights to go on from")
    parser.add_argument("--topics", type=Path, nargs="*", default=[], help="single-label files as a further task")
    parser.add_argument("--held-out", type=Path, help="messages whose copies are left out of the files of --topics")
    parser.add_argument("--without", type=Path, nargs="*", default=[], help="files whose ids are left out")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    changes = {"base": options.base} if options.base else {}
    experiment = Experiment.from_toml(options.experiment, **changes)
    taxonomy = load_policy().taxonomy
    rows = load_rows(options.corpus, taxonomy, read_ids(options.without))
    rows += [row for path in options.topics for row in read_topics(path, options.held_out)]
    fit(rows, experiment, taxonomy, options.out, options.start)


if __name__ == "__main__":
    main()
