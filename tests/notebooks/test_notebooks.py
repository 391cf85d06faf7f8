"""The notebooks run on a sample, open with their question, store no outputs, and show no text but the corpus's."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from data.labelled import CORPUS

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
FOREIGN = "外来的字句不得示人"

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture
def environment(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What a kernel inherits: a sample, the tiny bundle, folders of its own, one thread."""
    settings = {
        "FENZHEN_SAMPLE": "40",
        "FENZHEN_BUNDLE": str(tiny_bundle),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def run(path: Path) -> NotebookNode:
    """The notebook as executed in a kernel that starts in its folder."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    return notebook


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks() -> None:
    assert [path.stem[:3] for path in NOTEBOOKS] == [f"{number:02d}_" for number in range(1, len(NOTEBOOKS) + 1)]
    assert NOTEBOOKS


@each
def test_it_runs_on_a_sample(path: Path, environment: pytest.MonkeyPatch) -> None:
    cells = code(run(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)


@each
def test_it_is_stored_without_outputs_and_opens_with_its_question(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code(notebook))
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and "?" in first.source


def test_errors_of_a_further_file_are_counted_but_not_shown(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Even with ids of the own corpus; the rows are many enough that a sample holds some."""
    with (CORPUS / "a.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    further = [{**row, "text": f"{FOREIGN}：{row['text']}", "split": "calibration"} for row in rows if "text" in row]
    path = tmp_path / "further.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in further), encoding="utf-8")
    environment.setenv("FENZHEN_CORPUS", str(path))
    environment.setenv("FENZHEN_SAMPLE", "100")
    shown = json.dumps([cell.outputs for cell in code(run(FOLDER / "02_error_analysis.ipynb"))], ensure_ascii=False)
    assert FOREIGN not in shown and "「" in shown
