"""Ablation: every variant differs from the reference in what it names, and is trained and measured once."""

import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from data.complaint import LabelledComplaint
from training import ablate
from training.experiment import Experiment


def test_variants_change_what_they_name() -> None:
    found = ablate.variants()
    reference = asdict(found["reference"])
    assert reference["epochs"] == 2 and found["12 layers"].layers == 12
    changed = {name: {k for k, v in asdict(one).items() if v != reference[k]} for name, one in found.items()}
    assert changed.pop("reference") == set() and all(changed.values())
    assert changed["no noise"] == {"noise"} and changed["windows of 128 tokens"] == {"window", "overlap"}


def test_a_measured_variant_is_not_trained_again(
    corpus_rows: tuple[LabelledComplaint, ...], experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    rows = [replace(row, split="calibration" if n % 2 else "train") for n, row in enumerate(corpus_rows[:60])]
    monkeypatch.setattr(ablate, "load_rows", lambda *_: rows)
    monkeypatch.setattr(ablate, "variants", lambda: {"one": experiment, "two": experiment})
    monkeypatch.setattr(sys, "argv", ["ablate", "--out", str(tmp_path), "--only", "one"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather use its newer exporter, and says so
        ablate.main()
    assert "| one | 0." in capsys.readouterr().out and not (tmp_path / "two").exists()
    monkeypatch.setattr(ablate, "measure", lambda *_: pytest.fail("trained again"))
    ablate.main()
    assert "| authored complaints |" in capsys.readouterr().out
