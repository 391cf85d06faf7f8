"""Bundles: what is saved is what loads, and nothing loads that does not fit."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import BundleError
from data.policy_schema import Policy
from data.taxonomy import Taxonomy
from data.transcript import complaint_from_text
from models.bundle import ENCODER, FILES, LEXICAL, MANIFEST, file_digest, load_bundle, write_manifest
from models.lexical import BUCKETS, LexicalScorer


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle to be damaged."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def refusal(folder: Path, taxonomy: Taxonomy) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder, taxonomy, threads=1)
    assert caught.value.code == "bundle_invalid"
    return str(caught.value)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def test_what_was_written_is_what_loads(copy: Path, tiny_bundle: Path, policy: Policy) -> None:
    first, second = (load_bundle(folder, policy.taxonomy, threads=1) for folder in (tiny_bundle, copy))
    assert first.version == second.version and re.fullmatch(r"tiny-[0-9a-f]{12}", first.version)
    tokens = first.tokenizer.tokenise(complaint_from_text("c", "窗口推诿扯皮，收了钱"))
    batch = second.tokenizer.collate([tokens], second.windowing)
    np.testing.assert_array_equal(first.token_scores(batch), second.token_scores(batch))
    assert first.token_scores(batch).shape == (*batch.input_ids.shape, 25 + 1 + 1 + 37 + 2)
    assert first.lexical.scores("收钱").tolist() == second.lexical.scores("收钱").tolist()
    write_manifest(
        copy, name="tiny", taxonomy=policy.taxonomy, rules_digest=policy.rules_digest, windowing=second.windowing,
        fusion=second.fusion, assurance=second.assurance, experiment=second.manifest["experiment"],
    )  # fmt: skip
    assert (copy / MANIFEST).read_bytes() == (tiny_bundle / MANIFEST).read_bytes()


def test_the_manifest_names_what_the_bundle_was_made_of(tiny_bundle: Path, policy: Policy) -> None:
    manifest = load_bundle(tiny_bundle, policy.taxonomy, threads=1).manifest
    assert manifest["taxonomy"] == {"label": policy.taxonomy.label, "digest": policy.taxonomy.digest}
    assert manifest["files"] == {name: file_digest(tiny_bundle / name) for name in FILES}
    assert len(manifest["rules"]) == 64


def test_the_version_changes_with_the_fusion(copy: Path, tiny_bundle: Path, taxonomy: Taxonomy) -> None:
    edit(copy, lambda manifest: manifest["fusion"].update(assisting=0.9))
    changed = load_bundle(copy, taxonomy, threads=1)
    assert changed.fusion.assisting == 0.9
    assert changed.version != load_bundle(tiny_bundle, taxonomy, threads=1).version


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file(copy: Path, taxonomy: Taxonomy, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    expected = file_digest(copy / name)
    (copy / name).write_bytes(bytes(content))
    message = refusal(copy, taxonomy)
    assert str(copy / name) in message and "file digest differs" in message
    assert expected in message and file_digest(copy / name) in message


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(copy: Path, taxonomy: Taxonomy, name: str) -> None:
    (copy / name).unlink()
    message = refusal(copy, taxonomy)
    assert str(copy / name) in message and message.endswith("found nothing")


def test_another_taxonomy_is_named_by_its_digest(tiny_bundle: Path, taxonomy: Taxonomy) -> None:
    other = replace(taxonomy, misconduct=taxonomy.misconduct[::-1])
    message = refusal(tiny_bundle, other)
    assert "taxonomy digest differs" in message and taxonomy.digest in message and other.digest in message


def test_another_wording_of_the_same_labels_is_taken(tiny_bundle: Path, taxonomy: Taxonomy) -> None:
    reworded = replace(taxonomy, departments=tuple(replace(d, zh=f"县{d.zh}") for d in taxonomy.departments))
    assert load_bundle(tiny_bundle, reworded, threads=1).version.startswith("tiny-")


def test_another_format(copy: Path, taxonomy: Taxonomy) -> None:
    edit(copy, lambda manifest: manifest.update(format=99))
    assert refusal(copy, taxonomy).endswith("format 99 is not supported, expected 2")


def test_a_folder_without_a_bundle(tmp_path: Path, taxonomy: Taxonomy) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        message = refusal(folder, taxonomy)
        assert str(folder / MANIFEST) in message and "cannot be read" in message


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '"format"', '{"format": 2}', "\udc80"])
def test_a_manifest_that_is_none(copy: Path, taxonomy: Taxonomy, content: str) -> None:
    (copy / MANIFEST).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert str(copy / MANIFEST) in refusal(copy, taxonomy)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("name"),
        lambda m: m.pop("fusion"),
        lambda m: m["files"].pop(LEXICAL),
        lambda m: m["files"].pop(ENCODER),
        lambda m: m.update(files=None),
        lambda m: m.update(taxonomy={}),
        lambda m: m.update(taxonomy="1-abc"),
        lambda m: m["windowing"].update(stride=3),
        lambda m: m["fusion"].pop("urgency"),
        lambda m: m["fusion"]["misconduct"].pop("bias"),
        lambda m: m["fusion"]["department"].update(bias="none"),
        lambda m: m["fusion"].update(assisting="often"),
        lambda m: m["fusion"].pop("alleged"),
        lambda m: m.pop("assurance"),
        lambda m: m["assurance"].pop("department"),
        lambda m: m["assurance"]["urgency"].update(guarantees=[{"risk": 0.1}]),
    ],
)
def test_a_manifest_that_lacks_something(
    copy: Path, taxonomy: Taxonomy, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(copy, change)
    assert str(copy / MANIFEST) in refusal(copy, taxonomy)


def test_n_gram_weights_for_other_labels(copy: Path, taxonomy: Taxonomy) -> None:
    narrow = LexicalScorer(
        idf=np.ones(BUCKETS, np.float32), weights=np.zeros((BUCKETS, 2), np.float16), bias=np.zeros(2, np.float32)
    )
    narrow.save(copy / LEXICAL)
    edit(copy, lambda manifest: manifest["files"].update({LEXICAL: file_digest(copy / LEXICAL)}))
    assert f"expected ({BUCKETS}, 65)" in refusal(copy, taxonomy)
