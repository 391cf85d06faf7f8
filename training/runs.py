"""A run's folder: the weights that training leaves behind, with what is needed to build the model around them."""

import json
from pathlib import Path

from safetensors.torch import load_file, load_model, save_model

from data.taxonomy import Taxonomy
from models.encoder import empty_encoder, load_encoder, load_tokenizer
from models.heads import HeadChoices, Loss, Pooling
from models.multitask import TriageModel
from training.experiment import Experiment

WEIGHTS, EXPERIMENT, SHAPE, TOPICS, TOKENIZER = (
    "model.safetensors", "experiment.json", "encoder.json", "topics.json", "tokenizer.json",
)  # fmt: skip


def build_model(experiment: Experiment, taxonomy: Taxonomy, topics: int = 0, start: Path | None = None) -> TriageModel:
    """The model with fresh heads, or with those of the run ``start`` as far as it has them."""
    model = TriageModel(
        load_encoder(experiment.base, experiment.layers),
        types=len(taxonomy.misconduct),
        departments=len(taxonomy.departments),
        cards=len(taxonomy.cards),
        topics=topics,
        choices=_choices(experiment),
    )
    if start is not None:
        own = model.state_dict()
        found = load_file(start / WEIGHTS)
        model.load_state_dict({n: t for n, t in found.items() if n in own and own[n].shape == t.shape}, strict=False)
    return model


def save_run(model: TriageModel, experiment: Experiment, topics: list[str], out: Path) -> None:
    """Write everything that ``load_run`` and ``training.export`` read."""
    save_model(model, str(out / WEIGHTS))
    (out / TOPICS).write_text(json.dumps(topics, ensure_ascii=False), encoding="utf-8")
    (out / EXPERIMENT).write_text(json.dumps(experiment.as_dict(), indent=1), encoding="utf-8")
    (out / SHAPE).write_text(model.encoder.config.to_json_string(), encoding="utf-8")
    load_tokenizer(experiment.base).save(str(out / TOKENIZER))


def load_experiment(run: Path) -> Experiment:
    """The experiment that ``run`` was made by."""
    return Experiment(**json.loads((run / EXPERIMENT).read_text(encoding="utf-8")))


def load_run(run: Path, taxonomy: Taxonomy, topics: int = 0) -> TriageModel:
    """The model that ``training.fit`` wrote to ``run``, in evaluation mode; with its topic head if asked for."""
    model = TriageModel(
        empty_encoder(json.loads((run / SHAPE).read_text(encoding="utf-8"))),
        types=len(taxonomy.misconduct),
        departments=len(taxonomy.departments),
        cards=len(taxonomy.cards),
        topics=topics,
        choices=_choices(load_experiment(run)),
    )
    load_model(model, str(run / WEIGHTS), strict=False)  # a head for topics is not exported
    return model.eval()


def _choices(experiment: Experiment) -> HeadChoices:
    return HeadChoices(pooling=Pooling(experiment.pooling), loss=Loss(experiment.loss))
