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
    assert reference["epochs"] == 1 and found["12 layers"].layers == 12
    changed = {name: {k for k, v in asdict(one).items() if v != reference[k]} for name, one in found.items()}
    assert changed.pop("reference") == set() and all(changed.values())
    assert changed["no noise"] == {"noise"} and changed["windows of 128 tokens"] == {"window", "overlap"}


def test_a_teacher_comes_before_its_students_and_unknown_names_are_refused() -> None:
    found = ablate.variants()
    taught = [name for name, one in found.items() if one.teacher]
    assert taught and all(found[found[name].teacher].layers > found[name].layers for name in taught)
    assert ablate.wanted(found, [taught[0]]) == [found[taught[0]].teacher, taught[0]]
    assert sorted(ablate.wanted(found, None)) == sorted(found)
    with pytest.raises(ValueError, match="no such variant: seed 7"):
        ablate.wanted(found, ["seed 7"])


def test_seeds_are_summed_up_by_mean_and_deviation() -> None:
    found = {
        name: {"authored complaints": dict.fromkeys(ablate.SHOWN, value)}
        for name, value in (("reference", 0.4), ("seed 21", 0.6), ("4 layers", 0.1))
    }
    lines = ablate.table(found, ["reference", "seed 21"]).splitlines()
    assert lines[2].startswith("| mean of 2 seeds | 0.500 ± 0.141 |") and lines[5].startswith("| 4 layers | 0.100 |")
    assert "mean" not in ablate.table(found, ["reference"])


def test_a_measured_variant_is_not_trained_again(
    corpus_rows: tuple[LabelledComplaint, ...], experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    rows = [replace(row, split="calibration" if n % 2 else "train") for n, row in enumerate(corpus_rows[:60])]
    monkeypatch.setattr(ablate, "load_rows", lambda *_: rows)
    found = {"reference": experiment, "one": replace(experiment, pooling="mean"), "two": experiment}
    monkeypatch.setattr(ablate, "variants", lambda: found)
    monkeypatch.setattr(sys, "argv", ["ablate", "--out", str(tmp_path), "--only", "one"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather use its newer exporter, and says so
        ablate.main()
    assert "| one | 0." in capsys.readouterr().out and not (tmp_path / "two").exists()
    monkeypatch.setattr(ablate, "measure", lambda *_: pytest.fail("trained again"))
    ablate.main()
    assert "| authored complaints |" in capsys.readouterr().out
