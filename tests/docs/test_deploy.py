"""What an operator is given beside the program: units, images and the manual fit the program and are sound."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from serving import drift, limits
from serving.cli import app
from serving.settings import PREFIX, Settings
from serving.store import engines

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
UNIT = DEPLOY / "fenzhen.service"
EXPOSURE = 20  # tenths; what systemd calls OK is below 50
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def options(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, sign, given = line.partition("=")
        if sign and not line.startswith("#"):
            found.setdefault(name, []).append(given)
    return found


# --- systemd


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists."""
    text = UNIT.read_text().replace("/opt/fenzhen/bin/fenzhen", sys.executable)
    (tmp_path / UNIT.name).write_text(text)
    return tmp_path / UNIT.name


@needs_systemd
def test_systemd_takes_the_unit(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_unit_is_hardened(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_the_unit_stops_later_than_the_service_does() -> None:
    seconds = int(options(UNIT.read_text())["TimeoutStopSec"][0])
    assert seconds > Settings().request_seconds + Settings().body_seconds


# --- Docker


def instructions() -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n\s*", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def test_the_image_runs_without_rights_or_build_tools() -> None:
    given = instructions()
    stages = [index for index, (name, _) in enumerate(given) if name == "FROM"]
    assert len(stages) == 2
    final = given[stages[-1] :]
    assert ("USER", "10001:10001") in final
    runs = " ".join(text for name, text in final if name == "RUN")
    assert "pip uninstall" in runs and not re.search(r"apt-get|pip install|gcc|curl", runs)
    assert final.index(("USER", "10001:10001")) < [name for name, _ in final].index("ENTRYPOINT")
    assert "/healthz" in next(text for name, text in final if name == "HEALTHCHECK")
    assert ("CMD", '["serve"]') in final
    assert all(":" in text and ":latest" not in text for name, text in given if name == "FROM")


def test_the_image_is_built_from_what_the_project_is_built_from() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    copied = {word for name, text in instructions() if name == "COPY" for word in text.split()[:-1]}
    assert {name.partition(".")[0] for name in packages} <= copied
    assert "constraints.txt" in copied
    sent = {
        line.removeprefix("!")
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert copied - {"--from=build", "/opt/fenzhen"} == sent
    assert all((ROOT / name).exists() for name in sent)


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_the_service_has_nothing_that_it_does_not_need(compose: Any) -> None:
    for name in ("fenzhen", "upgrade"):
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert any(mount.startswith("/tmp") for mount in service["tmpfs"])
    assert compose["services"]["fenzhen"]["ports"] == ["127.0.0.1:8600:8600"]


def test_the_database_is_inside_and_upgraded_first(compose: Any) -> None:
    services = compose["services"]
    assert "ports" not in services["database"]
    assert services["database"]["networks"] == ["inside"]
    assert compose["networks"]["inside"] == {"internal": True}
    assert services["database"]["healthcheck"]
    assert services["upgrade"]["command"] == ["db", "upgrade"]
    waits = services["fenzhen"]["depends_on"]
    assert waits["upgrade"] == {"condition": "service_completed_successfully"}
    assert waits["database"] == {"condition": "service_healthy"}


def test_no_password_is_written_down(compose: Any) -> None:
    assert compose["services"]["database"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    url = compose["services"]["fenzhen"]["environment"]["FENZHEN_DATABASE_URL"]
    assert re.fullmatch(r"postgresql\+psycopg://fenzhen:\$\{POSTGRES_PASSWORD:\?[^}]+\}@database:5432/fenzhen", url)


def test_every_variable_that_is_set_is_a_setting(compose: Any) -> None:
    names = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    text = "".join(path.read_text() for path in (UNIT, DEPLOY / "Dockerfile", DEPLOY / "compose.yaml"))
    used = set(re.findall(r"\bFENZHEN_[A-Z_]+\b", text)) - {"FENZHEN_NAME"}
    assert len(used) >= 5
    assert used <= names


def test_volumes_and_folders_are_the_same_everywhere(compose: Any) -> None:
    assert compose["services"]["fenzhen"]["volumes"] == ["fenzhen:/var/lib/fenzhen"]
    assert any(name == "VOLUME" and text == "/var/lib/fenzhen" for name, text in instructions())
    assert "FENZHEN_DATA_DIR=/var/lib/fenzhen" in options(UNIT.read_text())["Environment"]


# --- the manual


def test_the_manual_lists_every_setting_with_its_default() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(FENZHEN_[A-Z_]+)` \| ([^|]*) \|", manual, re.MULTILINE)
    documented = {name: default.strip().strip("`") for name, default in rows}
    assert len(rows) == len(documented)
    expected = {f"{PREFIX}{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert set(documented) == set(expected)
    fixed = {name: str(field.default) for name, field in expected.items() if isinstance(field.default, int | float)}
    assert len(fixed) > 8
    assert {name: documented[name] for name in fixed} == fixed


def test_every_file_that_the_manual_names_exists() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http|#)([^)#]+)\)", manual)
    assert len(links) >= 3
    for link in links:
        assert (ROOT / "docs" / link).exists(), link


def test_every_command_that_the_manual_names_exists() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    groups: Any = typer.main.get_command(app)
    named = set(re.findall(r"\bfenzhen (keys|accounts|db|audit|backup|webhooks) ([a-z]+)", manual))
    assert {group for group, _ in named} == {"keys", "accounts", "db", "audit", "backup", "webhooks"}
    for group, command in named:
        assert command in groups.commands[group].commands, (group, command)


def test_the_numbers_of_the_manual_are_those_of_the_program() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for sentence in (
        f"must be whole within {limits.HEAD_SECONDS:.0f} seconds, an answer must be taken within {limits.TAKE_SECONDS:.0f}",
        f"at most {limits.MOST_CONNECTIONS:,} connections",
        f"the service's own of {limits.KEEP_ALIVE_SECONDS} seconds",
        f"the latest {drift.WINDOW:,} complaints",
        f"at least {drift.LEAST})",
        f"with the first {drift.FIRST:,} since the start",
        f"opens up to {engines.CONNECTIONS + engines.MORE} connections",
    ):
        assert sentence in manual, sentence
