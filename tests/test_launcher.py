"""The launcher ``fenzhen``, in a copy of its own and a stand-in for Python that only keeps a log."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASH = shutil.which("bash") or "/bin/bash"
TOOLS = (
    "bash",
    "basename",
    "cat",
    "cp",
    "cut",
    "dirname",
    "flock",
    "mkdir",
    "mv",
    "readlink",
    "rm",
    "sha256sum",
    "sleep",
)
STAND_IN = """#!/bin/bash
case "$*" in
  "-c "*) exit "${OLD_PYTHON:-0}" ;;
  "-m venv --clear "*)
    echo "venv" >>"$LOG"
    rm -rf "$4" && mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && cp "$0" "$4/bin/lint-imports"
    exit "${VENV_CODE:-0}" ;;
  "-m pip --version") exit 0 ;;
  "-m pip install "*) sleep "${SLOW:-0}"; echo "pip ${@: -1}" >>"$LOG"; exit "${PIP_CODE:-0}" ;;
  *) echo "$(basename "$0") $*"; echo "in $PWD"; echo "path $PYTHONPATH"; exit "${RUN_CODE:-0}" ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy of the launcher in a project folder, and the only programs it can find."""

    project: Path
    bin: Path
    log: Path

    def start(
        self, *arguments: str, cwd: Path | None = None, script: Path | None = None, **settings: str
    ) -> subprocess.Popen[str]:
        environment = {"PATH": str(self.bin), "LOG": str(self.log), "LANG": "C.UTF-8", **settings}
        return subprocess.Popen(
            [str(script or self.project / "fenzhen"), *arguments],
            cwd=cwd or self.project,
            env=environment,
            text=True,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(
        self, *arguments: str, cwd: Path | None = None, script: Path | None = None, **settings: str
    ) -> tuple[int, str, str]:
        started = self.start(*arguments, cwd=cwd, script=script, **settings)
        out, err = started.communicate(timeout=60)
        return started.returncode, out, err

    @property
    def logged(self) -> list[str]:
        return self.log.read_text("utf-8").splitlines() if self.log.exists() else []


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    project, bin = tmp_path / "项目 folder", tmp_path / "bin"
    project.mkdir()
    bin.mkdir()
    shutil.copy(ROOT / "fenzhen", project / "fenzhen")
    (project / "pyproject.toml").write_text("[project]\n")
    (project / "constraints.txt").write_text("rich==15.0.0\n")
    for name in TOOLS:
        if found := shutil.which(name):
            (bin / name).symlink_to(found)
    (bin / "python3.11").write_text(STAND_IN)
    (bin / "python3.11").chmod(0o755)
    return Copy(project=project, bin=bin, log=tmp_path / "log")


def test_it_is_sound_bash_and_executable() -> None:
    assert subprocess.run([BASH, "-n", ROOT / "fenzhen"], check=False).returncode == 0
    assert os.access(ROOT / "fenzhen", os.X_OK)


@pytest.mark.parametrize("arguments", [(), ("help",), ("--help",), ("-h",)])
def test_help_needs_no_environment(copy: Copy, arguments: tuple[str, ...]) -> None:
    code, out, err = copy.run(*arguments)
    assert (code, err, copy.logged) == (0, "", [])
    for command in ("serve", "triage", "rules test", "policy check", "version", "test", "python"):
        assert f"./fenzhen {command}" in out


def test_first_use_makes_the_environment_and_the_next_does_not(copy: Copy) -> None:
    code, out, err = copy.run("triage", "a b", "--json")
    assert (code, copy.logged) == (0, ["venv", "pip ."])
    assert err.count("\n") == 1 and "正在准备运行环境" in err
    assert out.startswith("python -P -m serving.cli triage a b --json\n")
    assert copy.run("version")[1:] == (
        f"python -P -m serving.cli version\nin {copy.project}\npath {copy.project}\n",
        "",
    )
    assert copy.logged == ["venv", "pip ."]


@pytest.mark.parametrize("file", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed_into_the_same_environment(copy: Copy, file: str) -> None:
    copy.run("version")
    with (copy.project / file).open("a") as requirements:
        requirements.write("# more\n")
    copy.run("version")
    assert copy.logged == ["venv", "pip .", "pip ."]


def test_exit_code_is_passed_on(copy: Copy) -> None:
    assert copy.run("triage", RUN_CODE="1")[0] == 1


def test_any_folder_and_a_symlink_keep_the_working_folder(copy: Copy, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "bin").mkdir(parents=True)
    (elsewhere / "bin" / "fz").symlink_to("../fenzhen")
    (elsewhere / "fenzhen").symlink_to(copy.project / "fenzhen")
    code, out, _ = copy.run("triage", "in.csv", cwd=elsewhere, script=elsewhere / "bin" / "fz", PYTHONPATH="/own")
    assert code == 0
    assert out.splitlines()[1:] == [f"in {elsewhere}", f"path {copy.project}:/own"]
    assert (copy.project / ".venv").is_dir() and not (elsewhere / ".venv").exists()


def test_an_environment_that_was_not_finished_is_not_used(copy: Copy) -> None:
    code, out, err = copy.run("serve", PIP_CODE="1")
    assert (code, out) == (2, "") and "安装没有完成" in err
    code, out, _ = copy.run("serve")
    assert code == 0 and "serving.cli serve" in out
    assert copy.logged == ["venv", "pip .", "pip ."]


def test_an_environment_without_pip_is_made_anew(copy: Copy) -> None:
    (copy.project / ".venv" / "bin").mkdir(parents=True)
    (copy.project / ".venv" / "left-over").touch()
    assert copy.run("version")[0] == 0
    assert copy.logged == ["venv", "pip ."] and not (copy.project / ".venv" / "left-over").exists()


def test_failing_venv_says_what_to_install(copy: Copy) -> None:
    code, out, err = copy.run("serve", VENV_CODE="1")
    assert (code, out) == (2, "") and "python3-venv" in err


@pytest.mark.parametrize("old", [True, False])
def test_no_fitting_python_is_said(copy: Copy, old: bool) -> None:
    if not old:
        (copy.bin / "python3.11").unlink()
    code, out, err = copy.run("serve", OLD_PYTHON="1")
    assert (code, out) == (2, "") and "找不到 Python 3.11" in err


@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")
def test_two_starts_at_once_install_once(copy: Copy) -> None:
    both = [copy.start("version", SLOW="0.5") for _ in range(2)]
    said = [started.communicate(timeout=60) for started in both]
    assert all("serving.cli version" in out for out, _ in said)
    assert sum("正在准备运行环境" in err for _, err in said) == 1 and sum("请稍候" in err for _, err in said) == 1
    assert copy.logged == ["venv", "pip ."]


def test_tests_check_the_code_first_and_arguments_go_to_pytest_alone(copy: Copy, tmp_path: Path) -> None:
    code, out, err = copy.run("test", cwd=tmp_path)
    assert code == 0 and "开发环境" in err
    ran = [line for line in out.splitlines() if not line.startswith(("in ", "path "))]
    assert ran == [
        "python -m ruff check .",
        "python -m ruff format --check .",
        "python -m mypy",
        "lint-imports ",
        "python -m pytest",
    ]
    assert f"in {copy.project}" in out and copy.logged == ["venv", "pip .[dev]"]
    assert copy.run("test", "-k", "one two")[1].startswith("python -m pytest -k one two\n")


def test_tests_stop_at_the_first_check_that_fails(copy: Copy) -> None:
    code, out, _ = copy.run("test", RUN_CODE="1")
    assert code == 1 and out.count("python -m") == 1


def test_python_is_that_of_development(copy: Copy) -> None:
    _, out, _ = copy.run("python", "-m", "training.fit")
    assert out.startswith("python -P -m training.fit\n")
    assert copy.logged == ["venv", "pip .[dev]"]
