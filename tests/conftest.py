"""A real bundle with seeded random weights, built without torch, and the shipped policy to go with it."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
for name in [name for name in os.environ if name.startswith("FENZHEN_") and name != "FENZHEN_TEST_NETWORK"]:
    del os.environ[name]

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from starlette.testclient import TestClient
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from data.policy_files import load_policy
from data.policy_reader import SHIPPED
from data.policy_schema import Policy
from data.taxonomy import Taxonomy
from models.bundle import CLAIMS, ENCODER, LEXICAL, TOKENIZER, write_manifest
from models.calibration import Fusion, TaskFusion
from models.lexical import BUCKETS, LexicalScorer
from models.signals import STRENGTHS
from models.tokens import Windowing
from models.triage import Triager

SEED = 20240607
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
STRENGTH_WEIGHTS = {"strong": 4.0, "medium": 2.0, "weak": 1.0}


@pytest.fixture(scope="session")
def policy() -> Policy:
    """The shipped policy."""
    return load_policy(SHIPPED)


@pytest.fixture(scope="session")
def taxonomy(policy: Policy) -> Taxonomy:
    """The shipped taxonomy."""
    return policy.taxonomy


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, policy: Policy) -> Path:
    """Folder of a bundle that loads and runs like any other: each character has random scores of its own."""
    folder = tmp_path_factory.mktemp("tiny_bundle")
    words = _write_tokenizer(folder / TOKENIZER, policy.taxonomy)
    _write_encoder(folder / ENCODER, words, policy.taxonomy)
    _write_lexical(folder / LEXICAL, policy.taxonomy.outputs)
    _write_lexical(folder / CLAIMS, len(policy.taxonomy.misconduct) + 1)
    write_manifest(
        folder,
        name="tiny",
        taxonomy=policy.taxonomy,
        rules_digest=policy.rules_digest,
        windowing=Windowing(length=64, overlap=16),
        fusion=_fusion(policy.taxonomy),
        experiment={"seed": SEED},
    )
    return folder


def _write_lexical(path: Path, width: int) -> None:
    weights = np.random.default_rng(SEED).normal(0, 0.5, (1024, width)).astype(np.float16)
    scorer = LexicalScorer(
        idf=np.ones(BUCKETS, np.float32),
        weights=np.tile(weights, (BUCKETS // 1024, 1)),
        bias=np.zeros(width, np.float32),
    )
    scorer.save(path)


@pytest.fixture(scope="session")
def triager(tiny_bundle: Path, policy: Policy) -> Triager:
    """A triager over the tiny bundle."""
    return Triager.load(tiny_bundle, policy, threads=1)


OpenService = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture(scope="session")
def open_service(triager: Triager, tmp_path_factory: pytest.TempPathFactory) -> OpenService:
    """Starts the service with an SQLite of its own; the client has a key of ``role``. Other arguments are settings."""
    from serving.app import create_app
    from serving.roles import Role
    from serving.settings import Settings
    from serving.store.keys import KeyOrder

    @contextmanager
    def opened(role: str = "case-system", decides: Triager = triager, **settings: Any) -> Iterator[TestClient]:
        app = create_app(Settings(**{"data_dir": tmp_path_factory.mktemp("data"), **settings}), decides)
        scope = {"case-system": {"source": "hotline"}, "department": {"department": "commerce"}}.get(role, {})
        with TestClient(app) as client:
            order = KeyOrder(name="test", role=Role(role), per_minute=1_000_000, **scope)
            secret = app.state.runtime.access.keys.create("test", order).secret
            client.headers["Authorization"] = f"Bearer {secret}"
            yield client

    return opened


def _write_tokenizer(path: Path, taxonomy: Taxonomy) -> int:
    """Every character of the taxonomy's own wording is a token; returns the size of the vocabulary."""
    wording = "".join(kind.zh + kind.means for kind in taxonomy.misconduct) + "市民坐席:：，。！？0123456789m2"
    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *sorted(set(wording))))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    tokenizer.save(str(path))
    return len(vocabulary)


def _write_encoder(path: Path, words: int, taxonomy: Taxonomy) -> None:
    """input_ids, attention_mask (W, T) to token_scores (W, T, K): a look-up in a random table, masked."""
    width = len(taxonomy.misconduct) + 2 + len(taxonomy.departments) + len(taxonomy.cards) - 1
    table = np.random.default_rng(SEED).normal(size=(words, width)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["scores"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask_column"]),
        helper.make_node("Mul", ["scores", "mask_column"], ["token_scores"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["windows", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("token_scores", TensorProto.FLOAT, ["windows", "tokens", width])
    weights = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([-1]), "last")]
    graph = helper.make_graph(nodes, "tiny", inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _fusion(taxonomy: Taxonomy) -> Fusion:
    steps = len(taxonomy.cards) - 1
    rules_of_cards = {
        f"{card}_{strength}": np.full(steps, STRENGTH_WEIGHTS[strength])
        for card in taxonomy.card_ids[1:]
        for strength in STRENGTHS
    }
    misconduct, departments = len(taxonomy.misconduct), len(taxonomy.departments)
    return Fusion(
        misconduct=_task(
            misconduct, {name: np.full(misconduct, w) for name, w in STRENGTH_WEIGHTS.items()}, misconduct
        ),
        alleged=TaskFusion(weights={}, bias=np.zeros(1), thresholds=np.array([0.0, 1.0])),
        department=_task(departments, {name: np.full(departments, w) for name, w in STRENGTH_WEIGHTS.items()}, 0),
        urgency=_task(steps, rules_of_cards, steps),
        assisting=0.2,
    )


def _task(labels: int, rules: dict[str, np.ndarray], thresholds: int) -> TaskFusion:
    return TaskFusion(
        weights={"model": np.ones(labels), **rules}, bias=np.zeros(labels), thresholds=np.full(thresholds, 0.5)
    )
