"""What serving runs on: nothing of ours that it needs imports the tools of training."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRAINING_TOOLS = {
    "torch",
    "transformers",
    "sklearn",
    "scipy",
    "datasets",
    "accelerate",
    "safetensors",
    "onnx",
    "onnxscript",
}
WITH_TORCH = {"encoder", "heads", "multitask"}


def modules(package: str) -> list[str]:
    names = sorted(path.stem for path in (ROOT / package).glob("*.py") if path.stem != "__init__")
    return [f"{package}.{name}" for name in names if package != "models" or name not in WITH_TORCH]


def imported(*names: str) -> set[str]:
    """Everything loaded after importing these in a fresh interpreter; importing must print nothing."""
    code = f"import json, sys, {', '.join(names)}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return set(found)


@pytest.mark.parametrize("package", ["data", "models", "serving"])
def test_a_server_needs_no_training_tools(package: str) -> None:
    found = imported(*modules(package))
    assert set(modules(package)) <= found
    assert {name.split(".")[0] for name in found} & TRAINING_TOOLS == set()
    assert "training" not in found


def test_rules_need_no_runtime_of_the_model() -> None:
    assert not {"onnxruntime", "tokenizers", "torch"} & imported("models.rules", "models.units")


def test_the_modules_left_out_are_those_of_training() -> None:
    for name in WITH_TORCH:
        assert "import torch" in (ROOT / "models" / f"{name}.py").read_text(encoding="utf-8")
