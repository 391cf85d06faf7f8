"""Everything that a machine without internet needs to install the service: wheels, a script, the manual."""

import hashlib
import platform
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from data.errors import FenzhenError

PROJECT = Path(__file__).parents[1]
DEPLOY = Path("docs") / "deploy"
WHEELS, CHECKSUMS, TARGET = "wheels", "SHA256SUMS", "TARGET"
_ROOT_FILES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")
_BESIDE = (DEPLOY / "install.sh", DEPLOY / "fenzhen.service", Path("docs") / "operations.md")


class WheelhouseError(FenzhenError):
    """The wheelhouse was not made; the message says why and what to do."""

    code = "wheelhouse_failed"


def make_wheelhouse(out: Path, project: Path = PROJECT) -> list[Path]:
    """Fill the new or empty folder ``out`` and return the wheels.

    They fit machines with this one's operating system, processor and minor version of Python. Raises WheelhouseError.
    """
    if not (project / "pyproject.toml").is_file() or not (project / "constraints.txt").is_file():
        raise WheelhouseError("只能在源代码目录中使用：找不到 pyproject.toml 和 constraints.txt。")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WheelhouseError(f"{out} 已有内容，请换一个新的目录。")
    wheels = out / WHEELS
    wheels.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="fenzhen-") as folder:
        source = Path(folder) / "fenzhen"
        copy_sources(project, source)
        _run_pip("wheel", "--wheel-dir", str(wheels), "--constraint", str(project / "constraints.txt"),
                 f"{source}[postgres]")  # fmt: skip
    for file in _BESIDE:
        shutil.copy(project / file, out / file.name)
    (out / TARGET).write_text(_target() + "\n", encoding="utf-8")
    _write_checksums(out)
    return sorted(wheels.glob("*.whl"))


def copy_sources(project: Path, target: Path) -> None:
    """Copy what the project's wheel is built from, so that building leaves nothing in the working tree."""
    declared = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name.partition(".")[0] for name in declared["tool"]["setuptools"]["packages"]}
    target.mkdir(parents=True)
    for package in sorted(packages):
        shutil.copytree(project / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _ROOT_FILES:
        shutil.copy(project / name, target / name)


def _run_pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
    done = subprocess.run([*command, *arguments], stdout=sys.stderr.fileno(), check=False)
    if done.returncode:
        raise WheelhouseError("下载没有完成（原因见上）。请检查网络或 pip 的软件源设置，删除未完成的目录后再试。")


def _target() -> str:
    """What the wheels are for, as install.sh compares it: minor version of Python, system, processor."""
    return f"{sys.version_info.major}.{sys.version_info.minor} {platform.system()} {platform.machine()}"


def _write_checksums(out: Path) -> None:
    files = sorted(file for file in out.rglob("*") if file.is_file())
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(out).as_posix()}" for file in files]
    (out / CHECKSUMS).write_text("\n".join(lines) + "\n", encoding="utf-8")
