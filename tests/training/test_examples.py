"""Targets and batches as the model sees them in training."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from data.complaint import LabelledComplaint, Labels, Speaker
from data.taxonomy import Taxonomy
from data.transcript import complaint_from_text, complaint_from_turns
from models.tokens import ComplaintTokenizer, Windowing
from training.examples import UNLABELLED, Collator, Example, crop, make_example

TEXT = "窗口收了我兩條煙，还骂人。后来没有办"
WINDOWING = Windowing(length=16, overlap=4)


def row(text: str = TEXT, **labels: object) -> LabelledComplaint:
    return LabelledComplaint(complaint=complaint_from_text("c", text), labels=Labels(**labels), group="c")  # type: ignore[arg-type]


def full(text: str = TEXT) -> LabelledComplaint:
    return row(text, misconduct=frozenset({"rude_attitude"}), department="tax", urgency="red")


def test_targets_follow_the_order_of_the_taxonomy(tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> None:
    types = frozenset({"rude_attitude", "soliciting_benefits"})
    found = make_example(row(misconduct=types, department="tax", urgency="yellow"), tokenizer, taxonomy)
    assert {taxonomy.misconduct_ids[i] for i in np.flatnonzero(found.misconduct[:-1])} == types
    assert found.misconduct[-1] == 1 and found.misconduct.sum() == 3 and found.misconduct.dtype == np.float32
    assert taxonomy.department_ids[found.department] == "tax" and taxonomy.card_ids[found.urgency] == "yellow"
    assert np.isnan(found.quoted).all() and found.quoted.shape == (3, 26)


def test_none_alleged_is_not_unlabelled(tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> None:
    nothing = make_example(row(misconduct=frozenset()), tokenizer, taxonomy)
    assert (nothing.misconduct == 0).all()
    assert (nothing.department, nothing.urgency) == (UNLABELLED, UNLABELLED)
    assert np.isnan(make_example(row(), tokenizer, taxonomy).misconduct).all()


@pytest.mark.parametrize(
    ("quote", "clauses"),
    [
        ("收了我兩條煙", [1, 0, 0]),
        ("还骂人", [0, 1, 0]),
        ("兩條煙，还骂人", [0, 1, 0]),
        ("窗口收了我兩條煙，还骂人", [1, 1, 0]),
        (TEXT, [1, 1, 1]),
        ("收", [1, 0, 0]),
    ],
)
def test_quotes_mark_the_clauses_they_cover(
    tokenizer: ComplaintTokenizer, taxonomy: Taxonomy, quote: str, clauses: list[int]
) -> None:
    quoted = row(misconduct=frozenset({"rude_attitude"}), evidence={"rude_attitude": quote})
    found = make_example(quoted, tokenizer, taxonomy).quoted
    column = taxonomy.misconduct_ids.index("rude_attitude")
    assert found[:, column].tolist() == clauses
    assert found[:, -1].tolist() == clauses
    assert np.isnan(np.delete(found, [column, 25], axis=1)).all()


def test_the_agents_clauses_are_neither_quoted_nor_not(tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> None:
    turns = [(Speaker.AGENT, "他骂人了吗"), (Speaker.CITIZEN, "是，骂人了")]
    labels = Labels(misconduct=frozenset({"rude_attitude"}), evidence={"rude_attitude": "骂人了吗"})
    spoken = LabelledComplaint(complaint=complaint_from_turns("c", turns), labels=labels, group="c")
    found = make_example(spoken, tokenizer, taxonomy).quoted[:, taxonomy.misconduct_ids.index("rude_attitude")]
    assert np.isnan(found[0]) and found[1:].tolist() == [0, 0]


def examples(tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> list[Example]:
    rows = [full(), row(misconduct=frozenset()), row("只有一句话", department="health"), full("，".join([TEXT] * 3))]
    return [make_example(one, tokenizer, taxonomy) for one in rows]


def batch_of(found: Sequence[Example], tokenizer: ComplaintTokenizer, masking: float = 0.0) -> dict[str, torch.Tensor]:
    collate = Collator(found, tokenizer, WINDOWING, masking)
    return collate([{"index": i, "length": len(e.tokens)} for i, e in enumerate(found)])


def test_a_batch_has_a_target_for_each_document_and_clause(tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> None:
    found = examples(tokenizer, taxonomy)
    batch = batch_of(found, tokenizer)
    clauses = sum(len(e.tokens.clauses) for e in found)
    windows, width = batch["input_ids"].shape
    assert windows > len(found) and width <= WINDOWING.length
    assert batch["attention_mask"].shape == batch["clause_index"].shape == (windows, width)
    assert len(batch["clause_document"]) == len(batch["clause_alleges"]) == len(batch["quoted"]) == clauses
    assert int(batch["clause_index"].max()) == clauses - 1
    assert batch["department"].tolist() == [e.department for e in found] and UNLABELLED in batch["department"]
    assert batch["misconduct"].isnan().all(dim=1).tolist() == [False, False, True, False]
    expected = tokenizer.collate([e.tokens for e in found], WINDOWING)
    np.testing.assert_array_equal(batch["input_ids"].numpy(), expected.input_ids)


def test_rows_are_taken_by_their_index(tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> None:
    found = examples(tokenizer, taxonomy)
    batch = Collator(found, tokenizer, WINDOWING)([{"index": 2, "length": 0}])
    assert batch["department"].tolist() == [taxonomy.department_ids.index("health")]


def test_masking_hides_words_and_nothing_else(tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> None:
    found = examples(tokenizer, taxonomy)
    plain = batch_of(found, tokenizer)
    torch.manual_seed(1)
    masked = batch_of(found, tokenizer, masking=0.5)
    changed = plain["input_ids"] != masked["input_ids"]
    assert (masked["input_ids"][changed] == tokenizer.mask).all()
    assert not changed[plain["clause_index"] < 0].any()
    assert 0.3 < float(changed[plain["clause_index"] >= 0].float().mean()) < 0.7
    again = batch_of(found, tokenizer, masking=0.5)
    assert (again["input_ids"] != masked["input_ids"]).any()
    for name in plain:
        if name != "input_ids":
            torch.testing.assert_close(plain[name], masked[name], equal_nan=True)


def long_example(tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> Example:
    text = "，".join([*["后来没有办"] * 12, "窗口收了我兩條煙", *["后来没有办"] * 12, "还骂人"])
    evidence = {"soliciting_benefits": "窗口收了我兩條煙", "rude_attitude": "还骂人"}
    labelled = row(text, misconduct=frozenset(evidence), department="tax", urgency="red", evidence=evidence)
    return make_example(labelled, tokenizer, taxonomy)


def test_a_crop_is_a_run_of_whole_clauses(tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> None:
    whole = long_example(tokenizer, taxonomy)
    for seed in range(60):
        part = crop(whole, 40, np.random.default_rng(seed))
        assert 0 < len(part.tokens) <= 40 and len(part.tokens.owner) == len(part.tokens.ids)
        assert len(part.quoted) == len(part.tokens.clauses) == max(part.tokens.owner) + 1
        first = whole.tokens.clauses.index(part.tokens.clauses[0])
        assert part.tokens.clauses == whole.tokens.clauses[first : first + len(part.tokens.clauses)]
        assert (part.department, part.urgency) == (whole.department, whole.urgency)


def test_a_type_without_its_quote_becomes_unknown(tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> None:
    whole = long_example(tokenizer, taxonomy)
    columns = [taxonomy.misconduct_ids.index(kind) for kind in ("soliciting_benefits", "rude_attitude")]
    seen = set()
    for seed in range(120):
        part = crop(whole, 40, np.random.default_rng(seed))
        kept = [(part.quoted[:, column] == 1).any() for column in columns]
        seen.add(tuple(map(bool, kept)))
        for column, there in zip(columns, kept, strict=True):
            assert part.misconduct[column] == 1 if there else np.isnan(part.misconduct[column])
        assert part.misconduct[-1] == 1 if any(kept) else np.isnan(part.misconduct[-1])
        assert np.nansum(np.delete(part.misconduct, [*columns, 25])) == 0
    assert seen >= {(True, False), (False, True)}
    assert whole.misconduct[columns].tolist() == [1, 1]


def test_short_examples_are_not_cropped(tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> None:
    short = make_example(full(), tokenizer, taxonomy)
    assert crop(short, 200, np.random.default_rng(0)) is short


def test_what_was_heard_keeps_the_quotes(tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> None:
    quoted = row(misconduct=frozenset({"rude_attitude"}), evidence={"rude_attitude": "还骂人"})
    heard = complaint_from_text("c", TEXT.replace("骂", "麻"))
    found = make_example(quoted, tokenizer, taxonomy, heard=heard)
    assert found.tokens.text.text == make_example(row(heard.text), tokenizer, taxonomy).tokens.text.text
    assert found.quoted[:, taxonomy.misconduct_ids.index("rude_attitude")].tolist() == [0, 1, 0]
