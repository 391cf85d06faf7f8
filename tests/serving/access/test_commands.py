"""``fenzhen keys`` and ``fenzhen accounts`` as an operator runs them."""

import getpass
import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from argon2 import PasswordHasher

from data.errors import FenzhenError
from data.taxonomy import Taxonomy
from serving.commands import accounts, keys
from serving.commands.groups import error_text, group, say
from serving.roles import Role
from serving.settings import load_settings
from serving.store.access import AccessStore
from serving.store.database import Database, open_database
from serving.store.keys import KeyStatus

PASSWORD = "correct horse 42"
UUID = "[0-9a-f-]{36}"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    code: int
    out: str
    err: str


Fenzhen = Callable[..., Run]


@pytest.fixture
def fenzhen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Fenzhen:
    """Runs the two groups in this process over a database of the test's own; ``stdin`` is text."""
    monkeypatch.setenv("FENZHEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    app = group("fenzhen")
    app.add_typer(keys.app, name="keys")
    app.add_typer(accounts.app, name="accounts")

    def run(*arguments: str, stdin: str = "") -> Run:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = 0
        try:
            app(args=arguments, prog_name="fenzhen", standalone_mode=False)
        except typer.Exit as left:
            code = left.exit_code
        except FenzhenError as error:
            say(error_text(error))
            code = 2
        captured = capsys.readouterr()
        return Run(code=code, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def stored(fenzhen: Fenzhen, taxonomy: Taxonomy) -> Iterator[Callable[[], AccessStore]]:
    """What the commands left behind."""
    databases: list[Database] = []

    def opened() -> AccessStore:
        settings = load_settings()
        databases.append(open_database(settings.database, settings.secret))
        return AccessStore(databases[-1], taxonomy, hasher=CHEAP)

    yield opened
    for database in databases:
        database.engine.dispose()


# --- keys


def test_a_created_key_works_and_only_its_secret_is_on_standard_output(
    fenzhen: Fenzhen, stored: Callable[[], AccessStore]
) -> None:
    run = fenzhen("keys", "create", "县热线平台", "--role", "case-system", "--source", "hotline", "--expires", "12h")
    assert run.code == 0
    assert re.fullmatch(r"fz_[\w-]{43}\n", run.out)
    assert "只显示这一次" in run.err and run.out.strip() not in run.err
    key = stored().keys.look_up(run.out.strip()).key
    assert key is not None and key.id in run.err
    assert (key.name, key.source, key.per_minute) == ("县热线平台", "hotline", 600)
    assert (key.expires_at - key.created_at).total_seconds() == 12 * 3600


def test_keys_are_listed_with_what_they_are_for_and_revoked_by_id(
    fenzhen: Fenzhen, stored: Callable[[], AccessStore]
) -> None:
    first = fenzhen("keys", "create", "甲", "--role", "case-system", "--source", "hotline")
    fenzhen("keys", "create", "乙", "--role", "department", "--department", "commerce", "--per-minute", "7")
    found = re.search(UUID, first.err)
    assert found
    listed = fenzhen("keys", "list").out
    for words in (found[0], "2 个密钥", "业务系统", "hotline", "承办部门", "商务局", "7", "有效"):
        assert words in listed
    assert first.out.strip() not in listed
    assert fenzhen("keys", "revoke", found[0]).code == 0
    assert "已吊销" in fenzhen("keys", "list").out
    store = stored().keys
    assert {store.status(key) for key in store.list() if key.id == found[0]} == {KeyStatus.REVOKED}


WRONG = {
    "no source": (("--role", "case-system"), "source"),
    "source on another role": (("--role", "monitor", "--source", "a"), "source"),
    "no department": (("--role", "department"), "department"),
    "unknown department": (("--role", "department", "--department", "moon"), "部门"),
    "odd span": (("--role", "admin", "--expires", "a year"), "365d"),
    "no time": (("--role", "admin", "--expires", "0d"), "有效期"),
    "too often": (("--role", "admin", "--per-minute", "0"), "per_minute"),
}


@pytest.mark.parametrize(("options", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_key_is_refused_in_words(fenzhen: Fenzhen, options: tuple[str, ...], words: str) -> None:
    run = fenzhen("keys", "create", "k", *options)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("错误：") and words in run.err


def test_revoking_an_unknown_key_says_so(fenzhen: Fenzhen) -> None:
    run = fenzhen("keys", "revoke", "x")
    assert run.code == 2 and "没有这个编号的密钥" in run.err


# --- accounts


def test_an_account_is_added_with_the_password_of_standard_input(
    fenzhen: Fenzhen, stored: Callable[[], AccessStore]
) -> None:
    run = fenzhen("accounts", "add", "王伟", "--role", "admin", stdin=PASSWORD + "\n")
    assert run.code == 0 and "已添加账号 王伟" in run.err
    assert PASSWORD not in run.out + run.err
    assert stored().sessions.log_in("王伟", PASSWORD) is not None


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("second", [PASSWORD, "something else"])
def test_a_person_types_the_password_twice(
    fenzhen: Fenzhen, stored: Callable[[], AccessStore], monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    typed, asked = [PASSWORD, second], []
    monkeypatch.setattr(io, "StringIO", _Terminal)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: (asked.append(prompt), typed.pop(0))[1])
    run = fenzhen("accounts", "add", "wang", "--role", "reviewer")
    assert asked == ["密码：", "再输一次："]
    if second == PASSWORD:
        assert run.code == 0 and stored().sessions.log_in("wang", PASSWORD) is not None
    else:
        assert run.code == 2 and "两次输入的密码不同" in run.err
        assert stored().accounts.list() == ()


def test_accounts_are_listed_disabled_enabled_and_given_passwords(
    fenzhen: Fenzhen, stored: Callable[[], AccessStore]
) -> None:
    fenzhen("accounts", "add", "li", "--role", "department", "--department", "commerce", stdin=PASSWORD)
    listed = fenzhen("accounts", "list").out
    for words in ("1 个账号", "li", "承办部门", "商务局", "正常"):
        assert words in listed
    assert fenzhen("accounts", "disable", "li").code == 0
    assert "已停用" in fenzhen("accounts", "list").out
    assert stored().sessions.log_in("li", PASSWORD) is None
    assert fenzhen("accounts", "enable", "LI").code == 0
    assert fenzhen("accounts", "password", "li", stdin="another horse 42\r\n").code == 0
    store = stored()
    assert store.sessions.log_in("li", PASSWORD) is None
    assert store.sessions.log_in("li", "another horse 42") is not None
    for _ in range(5):
        store.sessions.log_in("li", PASSWORD)
    assert "已锁定" in fenzhen("accounts", "list").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "k", "--role", "case-system"), "密钥"),
        (("add", "k", "--role", "department"), "department"),
        (("add", "a b", "--role", "admin"), "名称"),
        (("disable", "nobody"), "没有这个名称的账号"),
        (("enable", "nobody"), "没有这个名称的账号"),
        (("password", "nobody"), "没有这个名称的账号"),
    ],
)
def test_a_wrong_account_is_refused_in_words(fenzhen: Fenzhen, arguments: tuple[str, ...], words: str) -> None:
    run = fenzhen("accounts", *arguments, stdin=PASSWORD)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("错误：") and words in run.err


def test_a_weak_password_is_refused_and_not_repeated(fenzhen: Fenzhen) -> None:
    run = fenzhen("accounts", "add", "k", "--role", "admin", stdin="hunter2")
    assert run.code == 2 and "密码" in run.err and "hunter2" not in run.err


@pytest.mark.parametrize("words", [("keys",), ("keys", "create"), ("accounts",), ("accounts", "add")])
def test_help_is_in_chinese_and_names_the_roles(fenzhen: Fenzhen, words: tuple[str, ...]) -> None:
    run = fenzhen(*words, "--help")
    assert run.code == 0 and "显示本帮助" in run.out
    if len(words) > 1:
        assert all(role in run.out.replace("\n", "") for role in (Role.REVIEWER, Role.DEPARTMENT))
