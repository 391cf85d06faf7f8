"""Settings come from the environment, and a wrong one says which and what was expected."""

from pathlib import Path

import pytest

from models.bundle import STARTER
from serving.settings import SettingsError, load_settings


def test_defaults() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.threads) == ("127.0.0.1", 8600, 0)
    assert (settings.bundle, settings.policy_dir) == (STARTER, None)
    assert (settings.max_complaints, settings.max_body_bytes) == (500, 10 * 1024 * 1024)


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FENZHEN_PORT", "9000")
    monkeypatch.setenv("FENZHEN_POLICY_DIR", str(tmp_path))
    monkeypatch.setenv("FENZHEN_THREADS", "")
    settings = load_settings()
    assert (settings.port, settings.policy_dir, settings.threads) == (9000, tmp_path, 0)


def test_every_wrong_variable_is_named_with_what_was_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FENZHEN_PORT", "八千")
    monkeypatch.setenv("FENZHEN_THREADS", "-1")
    monkeypatch.setenv("FENZHEN_MAX_COMPLAINTS", "0")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    _, *faults = str(caught.value).splitlines()
    assert faults == [
        "FENZHEN_PORT: 应为整数，现为 '八千'",
        "FENZHEN_THREADS: 应不小于 0，现为 '-1'",
        "FENZHEN_MAX_COMPLAINTS: 应不小于 1，现为 '0'",
    ]
    assert caught.value.code == "settings_invalid"


def test_a_port_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FENZHEN_PORT", "70000")
    with pytest.raises(SettingsError, match="FENZHEN_PORT: 应不大于 65535"):
        load_settings()
