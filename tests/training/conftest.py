"""A real bundle, trained in seconds: a random two-layer BERT over the characters of a few rows of the own corpus."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from data.complaint import LabelledComplaint
from data.labelled import CORPUS, read_labelled
from data.policy_schema import Policy
from data.taxonomy import Taxonomy
from data.text import normalise
from models.tokens import ComplaintTokenizer
from models.triage import Triager
from training.calibrate import calibrate
from training.experiment import Experiment
from training.export import export
from training.fit import fit

torch.set_num_threads(1)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = 1100  # the export check draws token ids below 1,000
ROWS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What training left behind: the run's folder, the bundle's, and the rows the encoder was trained on."""

    folder: Path
    bundle: Path
    experiment: Experiment
    rows: tuple[LabelledComplaint, ...]


@pytest.fixture(scope="session")
def corpus_rows(taxonomy: Taxonomy) -> tuple[LabelledComplaint, ...]:
    """The first corpus file, two rows of three for training."""
    found = read_labelled(CORPUS / "a.jsonl", taxonomy)
    return tuple(replace(row, split="calibration" if i % 3 == 0 else "train") for i, row in enumerate(found))


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, corpus_rows: tuple[LabelledComplaint, ...]) -> Path:
    """A folder as model hubs have them."""
    folder = tmp_path_factory.mktemp("tiny_base")
    write_tokenizer(folder / "tokenizer.json", (row.complaint.text for row in corpus_rows[:ROWS]))
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=130,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def write_tokenizer(path: Path, texts: Iterable[str]) -> None:
    characters = sorted({c for text in texts for c in normalise(text).text if not c.isspace()} | set("市民坐席:"))
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *characters])}
    assert len(vocabulary) <= VOCABULARY
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(path))


@pytest.fixture(scope="session")
def experiment(tiny_base: Path) -> Experiment:
    """One epoch in batches of eight; windows so short that most rows need several."""
    return Experiment(base=str(tiny_base), layers=2, window=96, overlap=32, epochs=1, batch=8)


@pytest.fixture(scope="session")
def tokenizer(tiny_base: Path) -> ComplaintTokenizer:
    return ComplaintTokenizer.from_file(tiny_base / "tokenizer.json")


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    corpus_rows: tuple[LabelledComplaint, ...],
    experiment: Experiment,
    policy: Policy,
) -> Run:
    """Fitted, exported and calibrated as the commands do it."""
    folder = tmp_path_factory.mktemp("trained")
    run, bundle = folder / "run", folder / "bundle"
    fit(corpus_rows[:ROWS], experiment, policy.taxonomy, run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather use its newer exporter, and says so
        export(run, bundle, policy.taxonomy)
    calibrate(run, bundle, corpus_rows, policy, "tiny-trained")
    return Run(folder=run, bundle=bundle, experiment=experiment, rows=corpus_rows[:ROWS])


@pytest.fixture(scope="session")
def trained_triager(trained: Run, policy: Policy) -> Triager:
    return Triager.load(trained.bundle, policy, threads=1)
