"""``fenzhen wheelhouse``: what it copies, refuses and, with a package index, makes; and the script that installs it."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serving.wheelhouse import PROJECT, TARGET, WheelhouseError, copy_sources, make_wheelhouse

SCRIPT = PROJECT / "docs" / "deploy" / "install.sh"


def test_the_copy_holds_all_that_the_wheel_is_built_from_and_no_leftovers(tmp_path: Path) -> None:
    copy_sources(PROJECT, tmp_path / "copy")
    copied = {file.relative_to(tmp_path / "copy").as_posix() for file in (tmp_path / "copy").rglob("*")}
    assert {"pyproject.toml", "serving/cli.py", "models/starter/bundle.json", "data/policy/taxonomy.yaml"} <= copied
    assert {path.partition("/")[0] for path in copied} == {
        "data", "models", "serving", "training", "pyproject.toml", "README.md", "LICENSE", "NOTICE",
    }  # fmt: skip
    assert not any("__pycache__" in path for path in copied)


def test_it_needs_the_sources(tmp_path: Path) -> None:
    with pytest.raises(WheelhouseError, match="源代码目录"):
        make_wheelhouse(tmp_path / "out", project=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(WheelhouseError, match="已有内容"):
        make_wheelhouse(tmp_path)
    with pytest.raises(WheelhouseError, match="已有内容"):
        make_wheelhouse(tmp_path / "mine")


def test_without_a_package_index_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(WheelhouseError, match="检查网络"):
        make_wheelhouse(tmp_path / "out")
    assert not list(tmp_path.rglob("*.whl"))


# --- install.sh


def install(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(folder / "install.sh"), *arguments], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A wheelhouse without any wheel."""
    folder = tmp_path / "离线 shelf"
    (folder / "wheels").mkdir(parents=True)
    shutil.copy(SCRIPT, folder / "install.sh")
    sums = hashlib.sha256(SCRIPT.read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{sums}  install.sh\n")
    described = os.uname()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (folder / TARGET).write_text(f"{version} {described.sysname} {described.machine}\n")
    return folder


def test_the_script_refuses_another_machine(shelf: Path) -> None:
    (shelf / TARGET).write_text("3.11 Linux sparc\n")
    done = install(shelf, str(shelf / "env"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "sparc" in done.stderr
    assert not (shelf / "env").exists()


def test_the_script_refuses_another_python(shelf: Path) -> None:
    described = os.uname()
    (shelf / TARGET).write_text(f"2.4 {described.sysname} {described.machine}\n")
    done = install(shelf, str(shelf / "env"))
    assert done.returncode == 2
    assert "找不到 Python 2.4" in done.stderr


def test_the_script_refuses_files_that_were_changed(shelf: Path) -> None:
    with (shelf / "install.sh").open("a") as script:
        script.write("# changed\n")
    done = install(shelf, str(shelf / "env"))
    assert done.returncode == 2
    assert "文件不完整或被改动" in done.stderr


@pytest.mark.network
@pytest.mark.skipif(os.environ.get("FENZHEN_TEST_NETWORK") != "1", reason="downloads 220 MB; FENZHEN_TEST_NETWORK=1")
def test_what_it_makes_installs_without_a_network_and_triages(tmp_path: Path) -> None:
    wheels = make_wheelhouse(tmp_path / "shelf")
    names = {wheel.name.partition("-")[0] for wheel in wheels}
    assert {"fenzhen", "onnxruntime", "sqlalchemy", "psycopg_binary"} <= names
    assert not {"torch", "transformers"} & names
    offline = {**os.environ, "PIP_INDEX_URL": "http://127.0.0.1:1/", "PIP_CONFIG_FILE": os.devnull}
    del offline["PYTHONPATH"]
    script, target = str(tmp_path / "shelf" / "install.sh"), str(tmp_path / "installed")
    for _ in range(2):  # the second time as an upgrade
        done = subprocess.run(["sh", script, target], env=offline, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.splitlines()[0][:4]) == (0, "已安装："), done.stderr
    program = str(tmp_path / "installed" / "bin" / "fenzhen")
    done = subprocess.run([program, "triage", "--json", "--text", "窗口没人"], env=offline, cwd=tmp_path,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert '"misconduct"' in done.stdout
