"""The project's own corpus: every row valid, all labels there, no two alike, no template behind them."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from data.complaint import Channel, LabelledComplaint, Speaker
from data.labelled import CORPUS, SENTENCES, read_corpus
from data.taxonomy import Taxonomy
from data.text import normalise

GRAM = 5
OPENING = 6


@pytest.fixture(scope="module")
def corpus(taxonomy: Taxonomy) -> list[LabelledComplaint]:
    return read_corpus(taxonomy)


def said(row: LabelledComplaint) -> list[str]:
    """What the citizen says, utterance by utterance."""
    text = row.complaint.text
    return [text[u.span.start : u.span.end] for u in row.complaint.utterances if u.speaker is Speaker.CITIZEN]


def test_every_row_is_fully_labelled(corpus: list[LabelledComplaint]) -> None:
    assert len(corpus) >= 2500
    for row in corpus:
        labels = row.labels
        assert labels.misconduct is not None and labels.department and labels.urgency, row.complaint.id
        assert row.split in {"train", "calibration", "test"} and row.group, row.complaint.id
        assert row.complaint.channel is not Channel.OTHER and said(row), row.complaint.id


def test_ids_are_unique_and_named_after_their_file(corpus: list[LabelledComplaint]) -> None:
    assert len({row.complaint.id for row in corpus}) == len(corpus)
    assert {row.complaint.id.rsplit("-", 1)[0] for row in corpus} == {f"fz-{p.stem}" for p in CORPUS.glob("*.jsonl")}


def test_every_type_alleged_is_quoted_from_the_citizen(corpus: list[LabelledComplaint]) -> None:
    for row in corpus:
        assert set(row.labels.evidence) == row.labels.misconduct, row.complaint.id
        for quote in row.labels.evidence.values():
            assert any(quote in words for words in said(row)), (row.complaint.id, quote)


def test_all_labels_occur_in_training_and_test(corpus: list[LabelledComplaint], taxonomy: Taxonomy) -> None:
    for rows, least in ((corpus, 35), ([row for row in corpus if row.split == "test"], 1)):
        types = Counter(kind for row in rows for kind in row.labels.misconduct or ())
        departments = Counter(row.labels.department for row in rows)
        cards = Counter(row.labels.urgency for row in rows)
        assert set(types) == set(taxonomy.misconduct_ids) and min(types.values()) >= least
        assert set(departments) == set(taxonomy.department_ids) and min(departments.values()) >= least
        assert set(cards) == set(taxonomy.card_ids)
    assert sum(row.labels.urgency == "red" for row in corpus) >= 150
    assert sum(not row.labels.misconduct for row in corpus) > 0.25 * len(corpus)


def test_groups_never_straddle_splits(corpus: list[LabelledComplaint]) -> None:
    splits: dict[str, set[str | None]] = defaultdict(set)
    for row in corpus:
        splits[row.group].add(row.split)
    assert [group for group, found in splits.items() if len(found) > 1] == []
    sizes = Counter(row.split for row in corpus)
    assert sizes["train"] > 4 * sizes["test"] > 0 and sizes["calibration"] > 100


def grams(text: str) -> set[str]:
    words = "".join(normalise(text).text.split())
    return {words[at : at + GRAM] for at in range(len(words) - GRAM + 1)}


def test_no_two_share_half_of_their_five_grams(corpus: list[LabelledComplaint]) -> None:
    holders: dict[str, list[int]] = defaultdict(list)
    found = [grams(row.complaint.text) for row in corpus]
    alike = []
    for number, own in enumerate(found):
        shared = Counter(other for gram in own for other in holders[gram])
        for other, count in shared.items():
            if count * 2 >= min(len(own), len(found[other])):
                alike.append((corpus[other].complaint.id, corpus[number].complaint.id, count))
        for gram in own:
            holders[gram].append(number)
    assert alike == []


def test_no_opening_is_a_template(corpus: list[LabelledComplaint]) -> None:
    openings = Counter("".join(normalise(said(row)[0]).text.split())[:OPENING] for row in corpus)
    assert [(words, count) for words, count in openings.items() if count > 0.03 * len(corpus)] == []


def test_the_datasheet_counts_what_is_there(corpus: list[LabelledComplaint]) -> None:
    sheet = (CORPUS / "README.md").read_text(encoding="utf-8")
    assert f"{len(corpus):,} complaints" in sheet
    sizes = Counter(row.split for row in corpus)
    assert f"train {sizes['train']}, calibration {sizes['calibration']}, test {sizes['test']}" in sheet
    cards = Counter(row.labels.urgency for row in corpus)
    assert f"blue {cards['blue']}, yellow {cards['yellow']}, red {cards['red']}" in sheet


def test_files_are_plain_utf8_lines() -> None:
    for path in sorted(Path(CORPUS).glob("*.jsonl")):
        content = path.read_bytes()
        assert content.endswith(b"\n") and b"\r" not in content and not content.startswith(b"\xef\xbb\xbf"), path.name


def test_single_sentences_are_for_training_alone(corpus: list[LabelledComplaint], taxonomy: Taxonomy) -> None:
    sentences = read_corpus(taxonomy, SENTENCES)
    assert len(sentences) > 4000 and {row.split for row in sentences} == {"train"}
    ids = [row.complaint.id for row in (*corpus, *sentences)]
    assert len(set(ids)) == len(ids) and all(len(row.complaint.text) <= 200 for row in sentences)
    alleged = Counter(kind for row in sentences for kind in row.labels.misconduct or ())
    named = Counter(row.labels.department for row in sentences)
    assert min(alleged[kind] for kind in taxonomy.misconduct_ids) >= 60
    assert min(named[department] for department in taxonomy.department_ids) >= 26
    held = {"".join(row.complaint.text.split()) for row in corpus if row.split != "train"}
    assert not held & {"".join(row.complaint.text.split()) for row in sentences}
    sheet = (CORPUS / "README.md").read_text(encoding="utf-8")
    assert f"{len(sentences):,} single sentences" in sheet
