import json
from pathlib import Path
from typing import Any

import pytest

from data.complaint import Speaker
from data.errors import InputError
from data.labelled import read_corpus, read_labelled
from data.policy_files import load_policy
from data.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_policy().taxonomy


@pytest.fixture
def row(taxonomy: Taxonomy) -> dict[str, Any]:
    kind = taxonomy.misconduct_ids[0]
    return {
        "id": "x-1",
        "text": "窗口的人收了我两条烟才办。",
        "misconduct": [kind],
        "department": taxonomy.department_ids[0],
        "urgency": taxonomy.card_ids[0],
        "evidence": {kind: "收了我两条烟"},
    }


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    return path


def test_a_row_with_all_its_labels(tmp_path: Path, row: dict[str, Any], taxonomy: Taxonomy) -> None:
    row |= {"sure": False, "group": "g", "split": "test", "kind": ["slang"], "unit": "u"}
    (found,) = read_labelled(write(tmp_path / "a.jsonl", row), taxonomy)
    assert found.complaint.text == row["text"]
    assert found.labels.misconduct == frozenset(row["misconduct"])
    assert (found.labels.department, found.labels.urgency) == (row["department"], row["urgency"])
    assert found.labels.evidence == row["evidence"] and not found.labels.sure
    assert (found.group, found.split, found.kind, found.unit) == ("g", "test", ("slang",), "u")


def test_what_is_not_labelled_is_none_and_the_group_is_the_id(tmp_path: Path, taxonomy: Taxonomy) -> None:
    path = write(tmp_path / "a.jsonl", {"id": 7, "text": "停水"})
    path.write_text(path.read_text(encoding="utf-8") + "\n\n", encoding="utf-8")
    (found,) = read_labelled(path, taxonomy)
    assert (found.labels.misconduct, found.labels.department, found.labels.urgency) == (None, None, None)
    assert found.complaint.id == found.group == "7"


def test_labelled_as_none_is_not_unlabelled(tmp_path: Path, taxonomy: Taxonomy) -> None:
    (found,) = read_labelled(write(tmp_path / "a.jsonl", {"id": "1", "text": "停水", "misconduct": []}), taxonomy)
    assert found.labels.misconduct == frozenset()


def test_turns_keep_their_speakers(tmp_path: Path, taxonomy: Taxonomy) -> None:
    turns = [{"speaker": "agent", "text": "请讲"}, {"speaker": "citizen", "text": "停水"}]
    (found,) = read_labelled(write(tmp_path / "a.jsonl", {"id": "1", "turns": turns}), taxonomy)
    assert [u.speaker for u in found.complaint.utterances] == [Speaker.AGENT, Speaker.CITIZEN]


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"misconduct": ["nonsense"]}, "row_invalid", "nonsense"),
        ({"department": "nonsense"}, "row_invalid", "nonsense"),
        ({"urgency": "nonsense"}, "row_invalid", "nonsense"),
        ({"assisting": ["nonsense"]}, "row_invalid", "nonsense"),
        ({"evidence": ["nonsense"]}, "row_invalid", "字段有误"),
        ({"channel": "nonsense"}, "channel_unknown", "nonsense"),
        ({"nonsense": 1}, "field_unknown", "nonsense"),
        ({"turns": []}, "field_conflict", "text 与 turns"),
        ({"text": None}, "field_missing", "text 与 turns"),
    ],
)
def test_a_bad_field_is_refused_with_its_row(
    tmp_path: Path, row: dict[str, Any], taxonomy: Taxonomy, change: dict[str, Any], code: str, told: str
) -> None:
    path = write(tmp_path / "a.jsonl", row, row | change)
    with pytest.raises(InputError, match=told) as caught:
        list(read_labelled(path, taxonomy))
    assert caught.value.code == code
    assert "a.jsonl, row 2" in caught.value.where


def test_evidence_must_stand_in_the_text(tmp_path: Path, row: dict[str, Any], taxonomy: Taxonomy) -> None:
    row["evidence"] = dict.fromkeys(row["misconduct"], "收了三条烟")
    with pytest.raises(InputError, match=f"evidence.{row['misconduct'][0]}"):
        list(read_labelled(write(tmp_path / "a.jsonl", row), taxonomy))


def test_a_missing_id_and_a_broken_line_are_refused(tmp_path: Path, taxonomy: Taxonomy) -> None:
    with pytest.raises(InputError, match="id"):
        list(read_labelled(write(tmp_path / "a.jsonl", {"text": "停水"}), taxonomy))
    path = tmp_path / "b.jsonl"
    path.write_text('{"id": "1", "text": "停水"\n', encoding="utf-8")
    with pytest.raises(InputError, match="row 1") as caught:
        list(read_labelled(path, taxonomy))
    assert caught.value.code == "json_invalid"


def test_the_own_corpus_is_sound(taxonomy: Taxonomy) -> None:
    rows = read_corpus(taxonomy)
    ids = [row.complaint.id for row in rows]
    assert len(rows) > 500
    assert len(set(ids)) == len(ids)
    assert all(any(u.speaker is Speaker.CITIZEN for u in row.complaint.utterances) for row in rows)
    assert all(
        quote
        in "".join(
            row.complaint.text[u.span.start : u.span.end]
            for u in row.complaint.utterances
            if u.speaker is Speaker.CITIZEN
        )
        for row in rows
        for quote in row.labels.evidence.values()
        if "\n" not in quote
    )
