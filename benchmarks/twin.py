"""The encoder and heads of a bundle as PyTorch modules: the same weights, read back from its ONNX graph."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from models.bundle import ENCODER, TOKENIZER

SPECIAL = {"unk_token": ("[UNK]", "<unk>"), "pad_token": ("[PAD]", "<pad>"), "cls_token": ("[CLS]", "<s>"),
           "sep_token": ("[SEP]", "</s>")}  # fmt: skip
HEADS = ("misconduct", "department", "urgency")


@dataclass(frozen=True, kw_only=True)
class Twin:
    """An encoder with its tokenizer, and one linear layer with the scores of all heads, in the order of HEADS."""

    encoder: BertModel
    tokenizer: PreTrainedTokenizerFast
    heads: nn.Linear


class _Graph:
    """Named constants of a graph, and the matrices that its biases are added to."""

    def __init__(self, path: Path) -> None:
        graph = onnx.load(str(path)).graph
        self._made = {name: node for node in graph.node for name in node.output}
        self._kept = {one.name: one for one in graph.initializer}
        self.values: dict[str, Tensor] = {}
        for name in self._kept:
            if name.startswith("model."):
                self.values[name.removeprefix("model.").removesuffix("_half")] = self._constant(name)
        for node in graph.node:
            if node.op_type == "Add":
                self._linear(list(node.input))

    def _source(self, name: str) -> str:
        node = self._made.get(name)
        return self._source(node.input[0]) if node is not None and node.op_type in ("Cast", "Identity") else name

    def _constant(self, name: str) -> Tensor:
        name = self._source(name)
        if name in self._kept:
            array = numpy_helper.to_array(self._kept[name])
        else:
            array = numpy_helper.to_array(self._made[name].attribute[0].t)
        return torch.from_numpy(np.array(array, np.float32))

    def _linear(self, inputs: list[str]) -> None:
        for bias, product in (inputs, inputs[::-1]):
            named, node = self._source(bias), self._made.get(product)
            if named.startswith("model.") and ".bias" in named and node is not None and node.op_type == "MatMul":
                weight = named.removeprefix("model.").removesuffix("_half").removesuffix("bias") + "weight"
                self.values[weight] = self._constant(node.input[1]).T.contiguous()


def twin_of(bundle: Path) -> Twin:
    """The PyTorch twin of a bundle's encoder; raises ValueError if the graph has weights that were not found."""
    values = _Graph(bundle / ENCODER).values
    vocabulary, hidden = values["encoder.embeddings.word_embeddings.weight"].shape
    layers = 1 + max(int(name.split(".")[3]) for name in values if name.startswith("encoder.encoder.layer."))
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=hidden // 32,
        intermediate_size=values["encoder.encoder.layer.0.intermediate.dense.bias"].shape[0],
        max_position_embeddings=values["encoder.embeddings.position_embeddings.weight"].shape[0],
    )  # fmt: skip
    encoder = BertModel(config, add_pooling_layer=False).eval()
    own = {name.removeprefix("encoder."): value for name, value in values.items() if name.startswith("encoder.")}
    missing, unknown = encoder.load_state_dict(own, strict=False)
    if missing or unknown:
        raise ValueError(f"{bundle}: weights not found {missing}, not used {unknown}")
    weight = torch.cat([values[f"{name}.score.weight"] for name in HEADS])
    bias = torch.cat([values[f"{name}.score.bias"] for name in HEADS])
    heads = nn.Linear(hidden, len(bias))
    heads.load_state_dict({"weight": weight, "bias": bias})
    known = Tokenizer.from_file(str(bundle / TOKENIZER)).get_vocab()
    special = {name: next(token for token in tokens if token in known) for name, tokens in SPECIAL.items()}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(bundle / TOKENIZER), model_max_length=config.max_position_embeddings, **special
    )
    return Twin(encoder=encoder, tokenizer=tokenizer, heads=heads.eval())
