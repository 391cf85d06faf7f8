"""From a trained run to the ONNX encoder of a bundle: weights stored as float16, computed in float32.

``python -m training.export --run runs/NAME --out FOLDER`` writes ``encoder.onnx`` and ``tokenizer.json`` and checks
that the exported graph gives the same token scores as torch; ``training.calibrate`` then completes the bundle.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from data.errors import BundleError
from data.policy_files import load_policy
from data.taxonomy import Taxonomy
from models.bundle import ENCODER, TOKENIZER
from models.heads import Pooling
from models.multitask import TriageModel
from training.runs import load_experiment, load_run

TOLERANCE = 2e-2
SMALLEST_HALVED = 1024


class _TokenScores(nn.Module):
    def __init__(self, model: TriageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model.token_scores(input_ids, attention_mask)


def export_onnx(model: TriageModel, path: Path) -> None:
    """Write the graph ids, mask (W, T) to token_scores (W, T, K), and check it against torch.

    Raises BundleError if a score differs by more than TOLERANCE.
    """
    model.eval()
    model.encoder.set_attn_implementation("eager")  # exports as plain matrix products
    ids = torch.randint(5, model.encoder.config.vocab_size, (2, 16))
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    names = {0: "windows", 1: "tokens"}
    torch.onnx.export(
        _TokenScores(model).eval(), (ids, mask), str(path), input_names=["input_ids", "attention_mask"],
        output_names=["token_scores"], dynamic_axes={n: names for n in ("input_ids", "attention_mask", "token_scores")},
        opset_version=17, dynamo=False,
    )  # fmt: skip
    onnx.save(_halve(onnx.load(str(path))), str(path))
    _check(model, path)


def _halve(graph_model: onnx.ModelProto) -> onnx.ModelProto:
    """Store large float32 weights as float16 behind a Cast, which the runtime folds away when it loads."""
    graph = graph_model.graph
    casts, kept = [], []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST_HALVED:
            kept.append(tensor)
            continue
        half = numpy_helper.to_array(tensor).astype(np.float16)
        kept.append(numpy_helper.from_array(half, f"{tensor.name}_half"))
        casts.append(helper.make_node("Cast", [f"{tensor.name}_half"], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    return graph_model


def _check(model: TriageModel, path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, model.encoder.config.vocab_size, (3, 41), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 20:] = 0
    with torch.no_grad():
        expected = model.token_scores(ids, mask).numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]
    worst = float(np.abs(found - expected)[mask.numpy() == 1].max())
    if worst > TOLERANCE:
        raise BundleError(f"{path}: exported scores differ from torch by {worst:.4f}, at most {TOLERANCE} expected")


def export(run: Path, out: Path, taxonomy: Taxonomy) -> None:
    """Write encoder and tokenizer of a bundle. Raises BundleError for a run whose pooling serving does not know."""
    pooling = load_experiment(run).pooling
    if pooling != Pooling.PEAK:
        raise BundleError(f"{run}: pools by {pooling}, but only {Pooling.PEAK} can be served")
    write_encoder(run, out, taxonomy)


def write_encoder(run: Path, out: Path, taxonomy: Taxonomy) -> None:
    """Write encoder and tokenizer, whatever the pooling; for measuring."""
    out.mkdir(parents=True, exist_ok=True)
    export_onnx(load_run(run, taxonomy), out / ENCODER)
    shutil.copyfile(run / TOKENIZER, out / TOKENIZER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    export(options.run, options.out, load_policy().taxonomy)


if __name__ == "__main__":
    main()
