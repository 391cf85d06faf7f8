"""The shared text encoder: a local folder or a model hub name, cut to its first layers."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from data.errors import BundleError

TOKENIZER_FILE = "tokenizer.json"


def load_encoder(source: str | Path, layers: int | None = None) -> PreTrainedModel:
    """A BERT- or XLM-R-style encoder in float32 without pooler and dropout, of ``layers`` layers (all if None).

    Dropout is off because drawing it takes longer on a CPU than the encoder itself; training masks tokens instead.

    Raises BundleError if ``source`` cannot be loaded, has fewer layers than asked for, or no ``encoder.layer`` stack.
    """
    try:
        model: Any = AutoModel.from_pretrained(
            str(source), dtype=torch.float32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise BundleError(f"{source}: no encoder, expected a local folder or a model hub name: {error}") from error
    stack = getattr(getattr(model, "encoder", None), "layer", None)
    if stack is None:
        raise BundleError(f"{source}: no encoder.layer stack; expected a BERT- or XLM-R-style encoder")
    if layers is not None:
        if not 1 <= layers <= len(stack):
            raise BundleError(f"{source}: has {len(stack)} layers, {layers} were asked for")
        model.encoder.layer = stack[:layers]
        model.config.num_hidden_layers = layers
    return _without_pooler(model)


def empty_encoder(config: dict[str, Any]) -> PreTrainedModel:
    """An encoder of this configuration with random weights, for loading a checkpoint into."""
    config = dict(config)
    shape = AutoConfig.for_model(config.pop("model_type"), **config)
    return _without_pooler(AutoModel.from_config(shape))  # type: ignore[no-untyped-call]


def _without_pooler(model: Any) -> PreTrainedModel:
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    encoder: PreTrainedModel = model
    return encoder


def load_tokenizer(source: str | Path) -> Tokenizer:
    """The fast tokenizer that belongs to ``source``: its ``tokenizer.json``, or what its other files describe.

    Raises BundleError if there is none, or only one that knows no offsets.
    """
    file = Path(source) / TOKENIZER_FILE
    if file.is_file():
        try:
            return Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing more exact
            raise BundleError(f"{file}: not a tokenizer: {error}") from error
    try:
        loaded = AutoTokenizer.from_pretrained(str(source), use_fast=True)
    except (OSError, ValueError) as error:
        raise BundleError(f"{source}: no tokenizer, expected a local folder or a model hub name: {error}") from error
    tokenizer = getattr(loaded, "backend_tokenizer", None)
    if not isinstance(tokenizer, Tokenizer):
        raise BundleError(f"{source}: only a slow tokenizer without offsets, expected one with {TOKENIZER_FILE}")
    return tokenizer
