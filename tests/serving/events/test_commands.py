"""``fenzhen webhooks`` as an operator runs it."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from data.errors import FenzhenError
from serving.commands import webhooks
from serving.commands.groups import error_text, group, say
from serving.event_types import EventType
from serving.signatures import new_secret, signing_key
from serving.store.database import Database, open_database
from serving.store.subscriptions import SubscriptionStore

UUID = "[0-9a-f-]{36}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    code: int
    out: str
    err: str


Fenzhen = Callable[..., Run]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """The database of the commands."""
    database = open_database(f"sqlite:///{tmp_path / 'data' / 'fenzhen.sqlite3'}", tmp_path / "data" / "secret.key")
    yield database
    database.engine.dispose()


@pytest.fixture
def fenzhen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: Database, tmp_path: Path
) -> Fenzhen:
    """Runs the group in this process; ``stdin`` is text."""
    monkeypatch.setenv("FENZHEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "250")
    app = group("fenzhen")
    app.add_typer(webhooks.app, name="webhooks")

    def run(*arguments: str, stdin: str = "") -> Run:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = 0
        try:
            code = app(args=("webhooks", *arguments), prog_name="fenzhen", standalone_mode=False) or 0
        except typer.Exit as left:
            code = left.exit_code
        except FenzhenError as error:
            say(error_text(error))
            code = 2
        captured = capsys.readouterr()
        return Run(code=code, out=captured.out, err=captured.err)

    return run


def test_a_subscription_is_added_and_its_secret_is_all_that_is_on_standard_output(
    fenzhen: Fenzhen, database: Database
) -> None:
    options = ("--types", "lead.red_card", "--types", "lead.triaged", "--source", "hotline")
    run = fenzhen("add", "http://10.0.0.5/events", *options)
    assert run.code == 0
    assert len(signing_key(run.out.strip())) == 32
    assert "只显示这一次" in run.err and run.out.strip() not in run.err
    (one,) = SubscriptionStore(database).list()
    assert one.id in run.err
    assert (one.url, one.types, one.source) == (
        "http://10.0.0.5/events",
        (EventType.TRIAGED, EventType.RED_CARD),
        "hotline",
    )


def test_a_secret_comes_from_standard_input(fenzhen: Fenzhen) -> None:
    secret = new_secret()
    assert fenzhen("add", "http://10.0.0.5/", "--secret-stdin", stdin=secret + "\n").out == secret + "\n"
    run = fenzhen("add", "http://10.0.0.5/", "--secret-stdin", stdin="")
    assert run.code == 2 and "whsec_" in run.err


def test_subscriptions_are_listed_and_disabled(fenzhen: Fenzhen, outbox: Any) -> None:
    id = re.search(UUID, fenzhen("add", "http://10.0.0.5/a", "--types", "lead.red_card").err)
    fenzhen("add", "http://10.0.0.6/b", "--source", "hotline")
    assert id
    outbox.announce(EventType.RED_CARD)
    listed = fenzhen("list").out
    for words in ("2 个订阅", id[0], "http://10.0.0.5/a", "红牌", "http://10.0.0.6/b", "hotline", "全部", "有效"):
        assert words in listed
    assert "已停用" not in listed and "whsec" not in listed
    assert "http://10.0.0.5/a" in fenzhen("disable", id[0]).err
    assert "已停用" in fenzhen("list").out
    missing = fenzhen("disable", "x")
    assert missing.code == 2 and "没有这个编号的订阅" in missing.err


def test_a_subscription_is_tried_out(fenzhen: Fenzhen, outbox: Any, receive: Any, answers: Any) -> None:
    receiver = receive()
    id = outbox.subscribe(receiver.url)
    good = fenzhen("test", id)
    assert (good.code, good.err) == (0, "已送达：HTTP 204。\n")
    receiver.reply = answers(500)
    bad = fenzhen("test", id)
    assert (bad.code, bad.err) == (1, "没有送达：HTTP 500。\n")
    closed = fenzhen("test", outbox.subscribe("http://127.0.0.1:1/"))
    assert (closed.code, closed.err) == (1, "没有送达：连接不上。\n")


def test_dead_letters_are_listed_and_replayed(fenzhen: Fenzhen, outbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "SHOWN", 2)
    gone = outbox.subscribe("http://10.0.0.5/a")
    ids = [outbox.announce() for _ in range(5)]
    assert fenzhen("dead", "--ids").out == ""
    fenzhen("disable", gone)
    table = fenzhen("dead").out
    for words in (ids[-1], ids[-2], "已研判", "http://10.0.0.5/a", "订阅已停用", "--ids"):
        assert words in table
    assert ids[0] not in table
    assert fenzhen("dead", "--ids").out.split() == list(reversed(ids))
    again = outbox.subscribe("http://10.0.0.6/b")
    run = fenzhen("replay", *ids[:2])
    assert run.code == 0 and run.err.count("重新发给 1 个接收方") == 2
    waiting = outbox.deliveries(subscription_id=again)
    assert [row.event_id for row in waiting] == ids[:2]
    missing = fenzhen("replay", "x")
    assert missing.code == 2 and "没有这个编号的消息" in missing.err


@pytest.mark.parametrize("command", ["add", "list", "test", "disable", "dead", "replay"])
def test_help_is_chinese(fenzhen: Fenzhen, command: str) -> None:
    run = fenzhen(command, "--help")
    assert run.code == 0 and "显示本帮助" in run.out
    if command == "add":
        assert all(type.value in run.out for type in EventType)
