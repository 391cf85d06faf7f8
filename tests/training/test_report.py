"""Slices, invariance, pictures and promises on outcomes small enough to count."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.complaint import Channel, LabelledComplaint, Labels, Speaker
from data.taxonomy import Taxonomy
from data.transcript import complaint_from_text, complaint_from_turns
from models.assurance import TASKS, Guarantee, TaskAssurance
from models.triage import Triager
from training.evaluate import promises
from training.invariance import CHANGES, changed, measure
from training.markdown import as_markdown
from training.metrics import Outcome, calibration_error, headline, reliability, risk_coverage
from training.pictures import draw_confusion, draw_reliability, draw_risk_coverage
from training.slices import LEAST_ROWS, by_slice, slice_names, worst

RIGHT = Outcome(
    true_types=frozenset(), types=frozenset(), true_department="tax", departments=("tax", "health", "other"),
    true_rank=0, rank=0, evidence=(), confidence=dict.fromkeys(TASKS, 0.9), right=dict.fromkeys(TASKS, True),
    level="auto",
)  # fmt: skip
WRONG = replace(
    RIGHT, departments=("health", "tax", "other"), confidence=dict.fromkeys(TASKS, 0.6),
    right=dict.fromkeys(TASKS, False), level="recommend",
)  # fmt: skip


def row(text: str = "窗口没人", **changes: Any) -> LabelledComplaint:
    labels = Labels(misconduct=frozenset({"arrears"}), department="tax", urgency="blue")
    complaint = replace(complaint_from_text("c", text), channel=Channel.WEB)
    return replace(LabelledComplaint(complaint=complaint, labels=labels, group="c"), **changes)


def test_a_row_belongs_to_its_slices() -> None:
    names = slice_names(row("路" * 120, kind=("asr",)))
    assert names == [
        "channel: web", "characters: 100–300", "label: sure", "department: tax", "kind: asr", "type: arrears",
    ]  # fmt: skip


def test_slices_need_rows(taxonomy: Taxonomy) -> None:
    rows = [row()] * LEAST_ROWS + [row("路" * 900)] * (LEAST_ROWS - 1)
    found = by_slice(rows, [RIGHT] * LEAST_ROWS + [WRONG] * (LEAST_ROWS - 1), taxonomy)
    assert "characters: 800 and more" not in found and found["characters: 0–30"]["department_top1"] == 1.0
    assert found["department: tax"]["n"] == 2 * LEAST_ROWS - 1
    assert worst(found, "department_top1", 2)[0] != "characters: 0–30"
    assert np.isnan(found["department: tax"]["misconduct_micro_f1"]), "nothing is alleged in any row"
    assert np.isnan(found["department: tax"]["urgency_kappa"]) and worst(found, "urgency_kappa") == []


def test_calibration_error_by_hand() -> None:
    confidence, right = np.repeat([0.6, 0.9], 50), np.arange(100) % 50 < np.repeat([20, 45], 50)
    assert calibration_error(confidence, right, bins=2) == pytest.approx((0.2 + 0.0) / 2)
    assert [b.count for b in reliability(confidence, right, 2)] == [50, 50]


def test_risk_falls_with_coverage() -> None:
    coverage, risk = risk_coverage(np.array([0.9, 0.2, 0.7, 0.4]), np.array([True, False, True, False]))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0] and risk.tolist() == [0, 0, pytest.approx(1 / 3), 0.5]


def test_unlabelled_tasks_are_left_out(taxonomy: Taxonomy) -> None:
    only_card = replace(WRONG, true_types=None, true_department=None, true_rank=0)
    figures = headline([RIGHT, only_card], taxonomy)
    assert figures["department_top1"] == 1.0 and figures["department_calibration_error"] == pytest.approx(0.1)
    assert np.isnan(headline([only_card], taxonomy)["misconduct_micro_f1"])


def test_what_is_changed_for_invariance() -> None:
    text = "A市王某去找李局长，他说不管。张先生的儿子在B3区！"
    found = {name: change(text) for name, change in CHANGES.items()}
    assert found["place"] == "H市王某去找李局长，他说不管。张先生的儿子在I3区！"
    assert found["gender"] == "A市王某去找李局长，她说不管。张女士的女儿在B3区！"
    assert found["exclamation marks"].count("！！！") == 2
    assert found["surname"] != text and len(found["surname"]) == len(text)
    assert [text[i] for i in range(len(text)) if found["surname"][i] != text[i]] == ["王", "李", "张"]
    turns = complaint_from_turns("c", [(Speaker.AGENT, "请讲"), (Speaker.CITIZEN, "在A县。")], Channel.HOTLINE)
    other = changed(turns, CHANGES["place"])
    assert other.text == "请讲\n在H县。" and [u.speaker for u in other.utterances] == [Speaker.AGENT, Speaker.CITIZEN]


def test_flips_are_counted_where_something_changed(triager: Triager) -> None:
    rows = [row("A市没人管。"), row("没有句号也没有地名"), row("他来了，路坏了！")]
    found = measure(triager, rows)
    assert (found["place"].pairs, found["gender"].pairs, found["exclamation marks"].pairs) == (1, 1, 2)
    assert found["people"].pairs == 2 * len(rows)
    assert all(0 <= flips.department <= flips.pairs for flips in found.values())


def test_promises_against_what_happened(triager: Triager) -> None:
    task = TaskAssurance(guarantees=(Guarantee(risk=0.1, threshold=0.7, share=0.5),), plausible=0.1)
    assurance = replace(triager.bundle.assurance, misconduct=task, department=task, urgency=task)
    assured = Triager(triager.policy, replace(triager.bundle, assurance=assurance))
    (found,) = promises(assured, [RIGHT] * 3 + [WRONG, replace(WRONG, confidence=dict.fromkeys(TASKS, 0.8))])[
        "department"
    ]
    assert (found["automatic"], found["share"], found["realised"]) == (4, 0.8, 0.25)


def test_pictures_are_drawn(tmp_path: Path) -> None:
    some = [RIGHT] * 20 + [WRONG] * 8
    draw_reliability(some, tmp_path / "r.png")
    draw_risk_coverage(some, tmp_path / "c.png")
    table = draw_confusion(["a", "a", "b"], ["a", "b", "b"], ["a", "b"], tmp_path / "d.png")
    assert table.tolist() == [[1, 1], [0, 1]]
    assert all((tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in "rcd")


def test_the_whole_report_as_tables() -> None:
    report = {
        "figures": {}, "types": {"arrears": {"f1": 0.5, "predicted": 2, "support": 3}},
        "promises": {"real": {"department": [
            {"risk": 0.03, "threshold": 0.9, "share": 0.5, "realised": 0.02, "automatic": 100}
        ]}},
        "invariance": {"real": {"place": {"pairs": 200, "misconduct": 1, "department": 0, "urgency": 2}}},
        "slices": {"real": {"channel: web": {
            "n": 20, "misconduct_micro_f1": 0.5, "any_misconduct_f1": 0.6, "department_top1": 0.7,
            "urgency_kappa": float("nan"),
        }}},
    }  # fmt: skip
    text = as_markdown(report)
    assert "| department | 3% | 0.900 | 50% | 2.0% of 100 |" in text
    assert "| place | 200 | 0.5% | 0.0% | 1.0% |" in text and "| channel: web | 20 | 0.50 | 0.60 | 0.70 | – |" in text
