"""Files of another scheme: read, kept apart from what is measured, and learned as a further task."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from data.complaint import LabelledComplaint
from data.errors import InputError
from data.taxonomy import Taxonomy
from training.experiment import Experiment
from training.fit import fit
from training.runs import load_run
from training.topics import drop_copies, read_ids, read_single_task, read_topics, topic_names

WORDS = ["路灯 坏 三个月 一直 不亮 社区 报修 没有 回音", "孩子 入学 名额 学校 说法 不一 咨询 招生 政策"]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write(
        tmp_path / "train.jsonl", [{"text": w, "label": n} for w, n in zip(WORDS, ("城建", "教育"), strict=True)]
    )


def test_topics_are_read_with_their_words_joined(train: Path) -> None:
    rows = read_topics(train)
    assert [row.complaint.text for row in rows] == ["".join(w.split()) for w in WORDS]
    assert topic_names(rows) == ["城建", "教育"] and {row.split for row in rows} == {"train"}
    assert rows[0].labels.misconduct is None and not rows[0].labels.complete
    assert rows[0].complaint.id == "train-1"


def test_copies_of_what_is_measured_are_left_out(train: Path, tmp_path: Path) -> None:
    held = write(tmp_path / "held.jsonl", [{"text": "路灯坏了三个月一直不亮，社区报修也没有回音。", "label": "城建"}])
    assert [row["label"] for row in drop_copies(train, held)] == ["教育"]
    assert [row.labels.topic for row in read_topics(train, held)] == ["教育"]


@pytest.mark.parametrize("line", ['{"text": "路灯"}', "{", '["路灯", "城建"]'])
def test_a_file_without_labels_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.jsonl"):
        read_topics(path)


def test_ids_to_leave_out(tmp_path: Path) -> None:
    assert read_ids([write(tmp_path / "a.jsonl", [{"id": "x"}, {"id": 7}])]) == {"x", "7"}


def test_single_task_files(tmp_path: Path, taxonomy: Taxonomy) -> None:
    path = write(tmp_path / "d.jsonl", [{"text": "路灯坏了", "label": "urban_management"}])
    (row,) = read_single_task(path, "department", taxonomy)
    assert (row.labels.department, row.labels.misconduct, row.labels.urgency) == ("urban_management", None, None)
    many = write(tmp_path / "m.jsonl", [{"text": "收了钱", "label": ["arrears"]}])
    assert read_single_task(many, "misconduct", taxonomy)[0].labels.misconduct == {"arrears"}
    with pytest.raises(InputError, match=r"d\.jsonl, row 1, field label"):
        read_single_task(path, "urgency", taxonomy)


def test_topics_are_a_further_task_and_stay_out_of_the_bundle(
    train: Path, corpus_rows: tuple[LabelledComplaint, ...], experiment: Experiment, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    rows = [*(replace(row, split="train") for row in corpus_rows[:8]), *read_topics(train), corpus_rows[0]]
    model = fit(rows, replace(experiment, batch=4), taxonomy, tmp_path / "run")
    assert model.topic is not None
    assert json.loads((tmp_path / "run" / "topics.json").read_text(encoding="utf-8")) == ["城建", "教育"]
    assert load_run(tmp_path / "run", taxonomy).topic is None
    again = load_run(tmp_path / "run", taxonomy, topics=2)
    assert again.topic is not None and (again.topic.score.weight == model.topic.score.weight).all()


def test_a_run_goes_on_from_another(
    corpus_rows: tuple[LabelledComplaint, ...], experiment: Experiment, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    rows = [*(replace(row, split="train") for row in corpus_rows[:8]), corpus_rows[0]]
    first = fit(rows, replace(experiment, batch=4), taxonomy, tmp_path / "first")
    still = replace(experiment, batch=4, learning_rate=0.0, head_learning_rate=0.0)
    second = fit(rows, still, taxonomy, tmp_path / "second", tmp_path / "first")
    for (name, before), after in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert (before == after).all(), name
