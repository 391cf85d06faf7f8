"""The exported encoder gives the scores that torch gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from data.errors import BundleError
from data.taxonomy import Taxonomy
from models.bundle import ENCODER, TOKENIZER, load_bundle
from models.multitask import TriageModel
from models.tokens import ComplaintTokenizer
from training.export import TOLERANCE, export_onnx
from training.runs import load_run

Trained = Any


@pytest.fixture(scope="module")
def model(trained: Trained, taxonomy: Taxonomy) -> TriageModel:
    return load_run(trained.folder, taxonomy)


def test_onnx_gives_the_scores_of_torch(
    trained: Trained, model: TriageModel, tokenizer: ComplaintTokenizer, taxonomy: Taxonomy
) -> None:
    bundle = load_bundle(trained.bundle, taxonomy, threads=1)
    batch = tokenizer.collate([tokenizer.tokenise(row.complaint) for row in trained.rows[:12]], bundle.windowing)
    assert (batch.attention_mask == 0).any() and len(batch.input_ids) > 12
    with torch.no_grad():
        expected = model.token_scores(torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)).numpy()
    real = batch.attention_mask == 1
    np.testing.assert_allclose(bundle.token_scores(batch)[real], expected[real], atol=TOLERANCE / 2)


def test_padding_changes_nothing(trained: Trained, tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> None:
    bundle = load_bundle(trained.bundle, taxonomy, threads=1)
    short, *longer = sorted((tokenizer.tokenise(row.complaint) for row in trained.rows), key=len)[::20]
    alone = bundle.token_scores(tokenizer.collate([short], bundle.windowing))
    together = bundle.token_scores(tokenizer.collate([short, *longer], bundle.windowing))
    assert together.shape[1] > alone.shape[1]
    np.testing.assert_allclose(together[0, : alone.shape[1]], alone[0], atol=1e-5)


def test_large_weights_are_stored_in_half(trained: Trained) -> None:
    stored = {
        t.name: (t.data_type, int(np.prod(t.dims))) for t in onnx.load(str(trained.bundle / ENCODER)).graph.initializer
    }
    floats = {kind for kind, size in stored.values() if size >= 1024 and kind != TensorProto.INT64}
    assert floats == {TensorProto.FLOAT16}
    assert sum(size for kind, size in stored.values() if kind == TensorProto.FLOAT16) > 1100 * 32


def test_the_bundle_has_the_tokenizer_of_the_run(trained: Trained) -> None:
    assert (trained.bundle / TOKENIZER).read_bytes() == (trained.folder / TOKENIZER).read_bytes()


def test_a_run_keeps_what_made_it(trained: Trained) -> None:
    assert json.loads((trained.folder / "experiment.json").read_text()) == trained.experiment.as_dict()
    assert json.loads((trained.folder / "encoder.json").read_text())["num_hidden_layers"] == 2


@pytest.mark.filterwarnings("ignore")
def test_an_export_that_differs_is_refused(model: TriageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.export.TOLERANCE", 0.0)
    with pytest.raises(BundleError, match="differ from torch by"):
        export_onnx(model, tmp_path / ENCODER)
