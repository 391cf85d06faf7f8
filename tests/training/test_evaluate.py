"""What is measured is what is served."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.complaint import LabelledComplaint
from data.labelled import CORPUS, read_labelled
from data.taxonomy import Taxonomy
from models.answer import Triage
from models.assurance import TASKS
from models.triage import Triager
from training.evaluate import SOURCES, compare_sources, main, outcomes, read_rows, report
from training.markdown import FIGURES, as_markdown
from training.metrics import Outcome, outcome


@pytest.fixture(scope="module")
def rows(taxonomy: Taxonomy) -> list[LabelledComplaint]:
    """Rows of which every other is for calibration and the rest to measure; some given as turns."""
    found = list(read_labelled(CORPUS / "b.jsonl", taxonomy))[:60]
    assert sum(row.complaint.from_turns for row in found) > 5
    renamed = [
        replace(row, complaint=replace(row.complaint, id=f"r{i}")) if i % 4 == 1 else row for i, row in enumerate(found)
    ]
    return [replace(row, split="test" if i % 2 else "calibration") for i, row in enumerate(renamed)]


def whole(row: LabelledComplaint, triage: Triage) -> Triage:
    """A served triage with the offsets of its evidence moved from the turn to the whole text."""

    def moved(evidence: Any) -> Any:
        base = row.complaint.utterances[evidence.turn].span.start if evidence.turn is not None else 0
        return replace(evidence, start=evidence.start + base, end=evidence.end + base)

    tags = tuple(replace(tag, evidence=tuple(map(moved, tag.evidence))) for tag in triage.misconduct)
    return replace(triage, misconduct=tags)


def in_order(found: Sequence[Outcome]) -> list[Outcome]:
    return [replace(one, evidence=tuple(sorted(one.evidence))) for one in found]


def test_the_evaluated_path_is_the_served_path(trained_triager: Triager, rows: list[LabelledComplaint]) -> None:
    measured = outcomes(trained_triager, rows, read_rows(trained_triager, rows))
    served = [
        outcome(
            row.labels,
            row.complaint.text,
            whole(row, trained_triager.triage([row.complaint])[0]),
            trained_triager.taxonomy,
        )
        for row in rows
    ]
    assert in_order(measured) == in_order(served)
    assert any(one.types for one in measured) and len({one.departments[0] for one in measured}) > 3


def test_evidence_of_turns_is_measured_in_the_whole_text(
    trained_triager: Triager, rows: list[LabelledComplaint]
) -> None:
    """A quote of the right turn overlaps its evidence although the turn's own offsets would not."""
    spoken = [row for row in rows if row.complaint.from_turns]
    for row, reading in zip(spoken, read_rows(trained_triager, spoken), strict=True):
        decided = trained_triager.decide(reading)
        if not decided.misconduct:
            continue
        tag = decided.misconduct[0]
        quoting = replace(
            row, labels=replace(row.labels, misconduct=frozenset({tag.type}), evidence={tag.type: tag.evidence[0].text})
        )
        (found,) = outcomes(trained_triager, [quoting], [reading])
        if row.complaint.text.count(tag.evidence[0].text) == 1:
            assert found.evidence == (1.0,)
            return
    pytest.fail("no complaint given as turns got a tag")


@pytest.fixture(scope="module")
def compared(trained_triager: Triager, rows: list[LabelledComplaint]) -> dict[str, dict[str, list[Outcome]]]:
    return compare_sources(trained_triager, rows)


def test_each_source_decides_the_same_rows(
    compared: dict[str, dict[str, list[Outcome]]], rows: list[LabelledComplaint], trained_triager: Triager
) -> None:
    assert list(compared) == [*SOURCES, "fusion (served)"]
    for origins in compared.values():
        assert {name: len(found) for name, found in origins.items()} == {"real messages": 15, "authored complaints": 15}
    truth = [[one.true_types for one in origins["real messages"]] for origins in compared.values()]
    assert all(one == truth[0] for one in truth)
    tested = [row for row in rows if row.split == "test" and not row.complaint.id.startswith("fz-")]
    served = outcomes(trained_triager, tested, read_rows(trained_triager, tested))
    assert in_order(compared["fusion (served)"]["real messages"]) == in_order(served)
    assert compared["rules alone"] != compared["TF-IDF + linear"]


def test_the_report_has_every_figure_with_its_interval(
    compared: dict[str, dict[str, list[Outcome]]], taxonomy: Taxonomy
) -> None:
    served = {"fusion (served)": {"authored complaints": compared["fusion (served)"]["authored complaints"]}}
    figures = report(served, taxonomy)
    entry = figures["figures"]["authored complaints"]["fusion (served)"]
    assert entry["n"] == 15 and set(entry["figures"]) == set(FIGURES)
    low, high = entry["intervals"]["department_top1"]
    assert 0 <= low <= entry["figures"]["department_top1"] <= high <= 1
    assert sum(kind["support"] for kind in figures["types"].values()) == sum(
        len(one.true_types) for found in served["fusion (served)"].values() for one in found
    )
    table = as_markdown(figures)
    assert "### authored complaints (15)" in table and "| department top-1 |" in table
    assert all(f"| {kind} |" in table for kind in taxonomy.misconduct_ids)


def test_a_figure_without_cases_is_a_dash(taxonomy: Taxonomy) -> None:
    nothing = Outcome(
        true_types=frozenset(), types=frozenset(), true_department="tax", departments=("tax", "health", "other"),
        true_rank=0, rank=0, evidence=(), confidence=dict.fromkeys(TASKS, 0.9), right=dict.fromkeys(TASKS, True),
        level="auto",
    )  # fmt: skip
    figures = report({"one": {"real messages": [nothing] * 3, "authored complaints": []}}, taxonomy)
    assert list(figures["figures"]) == ["real messages"]
    table = as_markdown(figures)
    assert "| red found | – |" in table and "| department top-1 | 1.00 [1.00, 1.00] |" in table


def test_the_command_measures_a_file(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (CORPUS / "c.jsonl").read_text(encoding="utf-8").splitlines()[:6]
    (tmp_path / "some.jsonl").write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "report"
    argv = ["evaluate", "--bundle", str(trained.bundle), "--data", str(tmp_path / "some.jsonl"), "--report", str(out)]
    monkeypatch.setattr(sys, "argv", argv)
    main()
    figures = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert figures["versions"].startswith("tiny-trained-")
    assert figures["figures"]["authored complaints"]["fusion (served)"]["n"] == 6
    assert "authored complaints (6)" in out.with_suffix(".md").read_text(encoding="utf-8")
    assert "authored complaints (6)" in capsys.readouterr().out
