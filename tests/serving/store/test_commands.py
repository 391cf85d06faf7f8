"""``fenzhen db`` and ``fenzhen audit`` as an operator runs them."""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from serving.cli import main
from serving.store.chain import START
from serving.store.database import open_database, revision_of, upgrade
from serving.store.revisions import HEAD
from serving.store.schema import api_keys

ADDED = "INSERT INTO events VALUES (9, 'e', 'lead.triaged', 'hotline', 1, 0, '{}')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    code: int
    out: str
    err: str


Fenzhen = Callable[..., Run]


@pytest.fixture
def fenzhen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], secret_file: Path) -> Fenzhen:
    """Runs the command line in this process."""
    monkeypatch.setenv("FENZHEN_SECRET_FILE", str(secret_file))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Run:
        with pytest.raises(SystemExit) as left:
            main(arguments)
        captured = capsys.readouterr()
        return Run(code=int(left.value.code or 0), out=captured.out, err=captured.err)

    return run


@pytest.fixture
def url(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FENZHEN_DATABASE_URL", empty_database_url)
    return empty_database_url


@pytest.fixture
def head(url: str, fenzhen: Fenzhen, secret_file: Path) -> str:
    """The head of the chain of a database with one record."""
    upgrade(url)
    database = open_database(url, secret_file)
    with database.writing("test") as writing:
        writing.record("key.create", api_keys, "1", {"id": "1"})
    database.engine.dispose()
    return fenzhen("audit", "verify").out.split()[-1]


def by_hand(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        if engine.name == "postgresql":
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


# --- db


def test_a_database_goes_up_and_down(url: str, fenzhen: Fenzhen) -> None:
    before = fenzhen("db", "revision")
    assert (before.code, before.out) == (1, f"数据库 空\n程序   {HEAD}\n")
    assert fenzhen("db", "upgrade") == Run(code=0, out=f"数据库已从版本 空 升级到 {HEAD}\n", err="")
    assert fenzhen("db", "upgrade") == Run(code=0, out=f"数据库已是版本 {HEAD}\n", err="")
    assert fenzhen("db", "revision") == Run(code=0, out=f"数据库 {HEAD}\n程序   {HEAD}\n", err="")
    assert fenzhen("db", "downgrade", "base", "--yes").out == f"数据库已从版本 {HEAD} 退回到 空\n"
    assert revision_of(url) is None


def test_going_down_deletes_nothing_unless_it_is_meant(url: str, fenzhen: Fenzhen) -> None:
    fenzhen("db", "upgrade")
    refused = fenzhen("db", "downgrade", "base")
    assert refused.code == 2
    assert "--yes" in refused.err and "备份" in refused.err
    assert revision_of(url) == HEAD


@pytest.mark.parametrize(
    "arguments", [("upgrade", "0999"), ("downgrade", "0999", "--yes"), ("downgrade", HEAD, "--yes")]
)
def test_a_revision_that_cannot_be_reached_is_one_message(
    url: str, fenzhen: Fenzhen, arguments: tuple[str, ...]
) -> None:
    refused = fenzhen("db", *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("错误：") and refused.err.count("\n") == 1
    assert revision_of(url) is None


def test_an_unreachable_database_is_one_message(fenzhen: Fenzhen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FENZHEN_DATABASE_URL", "postgresql+psycopg://nobody:geheim@127.0.0.1:1/none")
    for command in (("db", "upgrade"), ("db", "revision"), ("audit", "verify")):
        refused = fenzhen(*command)
        assert (refused.code, refused.out) == (2, "")
        assert "数据库地址" in refused.err and "geheim" not in refused.err


# --- audit


def test_a_database_that_agrees(url: str, fenzhen: Fenzhen, head: str) -> None:
    run = fenzhen("audit", "verify", "--head", f" {head.upper()} ")
    assert run.code == 0
    assert run.out == f"审计记录 1 条，内容 0 行，其中依法删除 0 行：全部一致\n链头 {head}\n"
    assert run.err == ""


def test_what_does_not_agree_is_listed(url: str, fenzhen: Fenzhen, head: str) -> None:
    by_hand(url, ADDED, "UPDATE audit SET actor = 'nobody'")
    run = fenzhen("audit", "verify")
    assert run.code == 1
    assert run.out.splitlines() == [
        "audit/1：审计记录被改动、换了位置，或接不上前一条",
        "events#9：没有可信的审计记录",
        "审计记录 1 条，内容 1 行，其中依法删除 0 行：有 2 处不符",
        f"链头 {head}",
    ]


def test_a_chain_cut_behind_the_noted_head(url: str, fenzhen: Fenzhen, head: str) -> None:
    by_hand(url, "DELETE FROM audit", f"UPDATE chain_head SET seq = 0, hash = '{START}'")
    assert fenzhen("audit", "verify").code == 0
    run = fenzhen("audit", "verify", "--head", head)
    assert run.code == 1
    assert run.out.startswith("chain_head：之前记下的链头不在链上")


@pytest.mark.parametrize("head", ["", "abc", "g" * 64, "0" * 63])
def test_what_is_no_head_is_refused(fenzhen: Fenzhen, head: str) -> None:
    refused = fenzhen("audit", "verify", "--head", head)
    assert (refused.code, refused.out) == (2, "")
    assert "64 位" in refused.err


def test_another_secret_verifies_nothing(url: str, fenzhen: Fenzhen, head: str, secret_file: Path) -> None:
    secret_file.unlink()
    refused = fenzhen("audit", "verify")
    assert (refused.code, refused.out) == (2, "")
    assert "密钥文件" in refused.err


def test_a_person_sees_a_bar(url: str, fenzhen: Fenzhen, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    assert fenzhen("audit", "verify").code == 0
    assert "核对" in screen.getvalue()


@pytest.mark.parametrize("arguments", [("db", "--help"), ("db", "downgrade", "--help"), ("audit", "verify", "--help")])
def test_help_is_chinese(fenzhen: Fenzhen, arguments: tuple[str, ...]) -> None:
    run = fenzhen(*arguments)
    assert run.code == 0
    assert "显示本帮助" in run.out and "Show this" not in run.out
