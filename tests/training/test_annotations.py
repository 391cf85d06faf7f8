"""Labels without text find their text again, and two readings are compared."""

import json
from pathlib import Path

import pytest

from data.errors import InputError
from data.labelled import READINGS, read_corpus, read_labelled
from data.taxonomy import Taxonomy
from training.agreement import Labelling, agreement, read_labelling
from training.annotations import joined, texts_by_id

ANNOTATIONS = READINGS.parent.parent / "annotations"
LABELS = {
    "id": "t-1", "split": "train", "misconduct": ["arrears"], "evidence": {"arrears": [2, 6]},
    "department": "tax", "urgency": "blue", "sure": True,
}  # fmt: skip


def test_labels_meet_their_text(tmp_path: Path, taxonomy: Taxonomy) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "一直 欠着 货款 没给"}\n', encoding="utf-8")
    (tmp_path / "l.jsonl").write_text(json.dumps(LABELS) + "\n", encoding="utf-8")
    rows = list(joined(tmp_path / "l.jsonl", texts_by_id(tmp_path / "t.jsonl")))
    assert rows[0]["text"] == "一直欠着货款没给" and rows[0]["evidence"] == {"arrears": "欠着货款"}
    out = tmp_path / "o.jsonl"
    out.write_text(json.dumps(rows[0], ensure_ascii=False), encoding="utf-8")
    (read,) = read_labelled(out, taxonomy)
    assert read.labels.evidence == {"arrears": "欠着货款"} and read.split == "train"


def test_a_missing_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text(json.dumps(LABELS) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"l\.jsonl, row 1"):
        list(joined(tmp_path / "l.jsonl", {}))


@pytest.mark.parametrize("path", sorted(ANNOTATIONS.glob("*.jsonl")), ids=lambda path: path.name)
def test_annotations_hold_no_text(path: Path, taxonomy: Taxonomy) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) > 500 and len({json.loads(line)["id"] for line in lines}) == len(lines)
    for line in lines:
        row = json.loads(line)
        assert set(row) == set(LABELS) and line.isascii()
        assert set(row["misconduct"]) == set(row["evidence"]) <= set(taxonomy.misconduct_ids)
        assert row["department"] in taxonomy.department_ids and row["urgency"] in taxonomy.card_ids
        assert row["split"] in {"train", "calibration"} and all(0 <= a < b for a, b in row["evidence"].values())


def labelling(*misconduct: str, department: str = "tax", urgency: str = "blue") -> Labelling:
    return Labelling(misconduct=frozenset(misconduct), department=department, urgency=urgency)


def test_agreement_by_hand(taxonomy: Taxonomy) -> None:
    first = {"1": labelling("arrears"), "2": labelling(urgency="red"), "3": labelling("formalism"), "4": labelling()}
    second = {"1": labelling("arrears"), "2": labelling(department="health"), "3": labelling(), "5": labelling()}
    found = agreement(first, second, taxonomy)
    assert found["complaints"] == 3 and found["department accuracy"] == pytest.approx(2 / 3)
    assert found["misconduct micro-F1"] == pytest.approx(2 / 3) and found["misconduct macro-F1"] == 0.5
    assert found["all three alike"] == pytest.approx(1 / 3)


def test_every_complaint_of_the_own_corpus_was_read_twice(taxonomy: Taxonomy) -> None:
    first, second = (read_labelling(READINGS / f"{name}.jsonl") for name in ("first", "second"))
    corpus = read_corpus(taxonomy)
    assert first.keys() == second.keys() == {row.complaint.id for row in corpus}
    assert agreement(first, second, taxonomy)["misconduct micro-F1"] > 0.9
    for row in corpus:
        a, b, settled = first[row.complaint.id], second[row.complaint.id], row.labels
        if a == b:
            assert (settled.misconduct, settled.department, settled.urgency) == (a.misconduct, a.department, a.urgency)
