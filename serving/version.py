"""Which version of the program this is."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def program_version() -> str:
    """The version that ``pyproject.toml`` gives, installed or run from its folder."""
    if _PROJECT.is_file():
        return str(tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["version"])
    try:
        return version("fenzhen")
    except PackageNotFoundError:
        return "0"
