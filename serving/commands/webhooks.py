"""``fenzhen webhooks``: who is told of what happens to leads, and what became of it."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from serving.commands.groups import argument, command, group, option, say
from serving.event_types import EVENT_ZH, EVENTS_ZH, FAILURE_ZH, EventType, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from serving.store.deliveries import DeadLetterPage
    from serving.store.subscriptions import Subscription

app = group("消息推送：把投诉研判结果的变化告诉业务系统。")
SHOWN = 100  # dead letters on one page


@command(app, "add")
def add(
    url: Annotated[str, argument("接收地址，http:// 或 https:// 开头，可以是内网地址。")],
    types: Annotated[
        list[EventType] | None, option(help=f"要接收的消息类型，可重复给出：{EVENTS_ZH}。不写则全部。")
    ] = None,
    source: Annotated[str | None, option(help="只接收这个来源系统的消息，如 hotline。不写则全部。")] = None,
    secret_stdin: Annotated[
        bool, option("--secret-stdin", help="从标准输入读一行作为签名密钥（whsec_ 开头）。不写则由系统生成。")
    ] = False,
) -> None:
    """添加一个订阅。签名密钥只在此时输出一次（标准输出）。"""
    from serving.commands.opened import opened_database, operator
    from serving.store.subscriptions import SubscriptionOrder, SubscriptionStore

    secret = sys.stdin.readline().strip() if secret_stdin else None
    order = SubscriptionOrder(url=url, types=tuple(types or ()), source=source, secret=secret)
    with opened_database() as database:
        made = SubscriptionStore(database).create(operator(), order)
    say(f"已添加订阅 {made.subscription.id}。试发一条：fenzhen webhooks test {made.subscription.id}")
    say("签名密钥只显示这一次，请立即存放妥当：")
    print(made.secret)


@command(app, "list")
def list_all() -> None:
    """列出所有订阅，包括已停用的。不显示签名密钥。"""
    from rich.console import Console

    from serving.commands.opened import opened_database
    from serving.store.subscriptions import SubscriptionStore

    with opened_database() as database:
        Console().print(_table(SubscriptionStore(database).list()))


@command(app, "test")
def test(id: Annotated[str, argument("订阅的编号，见 fenzhen webhooks list。")]) -> None:
    """立即试发一条类型为 webhook.test 的消息，最多等 15 秒。退出码：0 已送达，1 没有。"""
    from serving.commands.opened import opened_database
    from serving.store.subscriptions import SubscriptionStore
    from serving.webhook import try_out

    with opened_database() as database:
        found = SubscriptionStore(database).find(id)
    answer = try_out(found)
    say(f"{'已送达' if answer.delivered else '没有送达'}：{_answered(str(answer))}。")
    raise typer.Exit(0 if answer.delivered else 1)


@command(app, "disable")
def disable(id: Annotated[str, argument("订阅的编号，见 fenzhen webhooks list。")]) -> None:
    """停用一个订阅：不再发送任何消息，等待发送的也一并搁置。"""
    from serving.commands.opened import opened_database, operator
    from serving.store.subscriptions import SubscriptionStore

    with opened_database() as database:
        one = SubscriptionStore(database).disable(operator(), id)
    say(f"已停用订阅 {one.id}（{one.url}）。")


@command(app, "dead")
def dead(
    as_ids: Annotated[bool, option("--ids", help="只输出消息编号，每行一个，可交给 fenzhen webhooks replay。")] = False,
) -> None:
    """列出多次发送不成而搁置的消息，新的在前。"""
    from rich.console import Console

    from serving.commands.opened import opened_database
    from serving.store.deliveries import dead_letters

    with opened_database() as database:
        page = dead_letters(database, limit=SHOWN)
        if not as_ids:
            Console().print(_dead_table(page))
            return
        ids = {letter.event.id: None for letter in page.letters}
        while page.before is not None:
            page = dead_letters(database, before=page.before, limit=SHOWN)
            ids |= {letter.event.id: None for letter in page.letters}
    for id in ids:
        print(id)


@command(app, "replay")
def replay(ids: Annotated[list[str], argument("消息的编号，可以有多个。")]) -> None:
    """把消息重新发给目前订阅了它的所有接收方。正在运行的服务会在一秒左右发出。"""
    from serving.commands.opened import opened_database, operator
    from serving.store.outbox import replay as replay_event

    with opened_database() as database:
        for id in ids:
            receivers = replay_event(database, operator(), id)
            say(f"消息 {id} 将重新发给 {receivers} 个接收方。")


def _answered(code: str | None) -> str:
    return FAILURE_ZH[Failure(code)] if code in FAILURE_ZH else code or ""


def _table(subscriptions: "Iterable[Subscription]") -> "Table":
    from rich.table import Table

    found = list(subscriptions)
    table = Table(title=f"{len(found)} 个订阅", title_justify="left")
    table.add_column("编号", no_wrap=True)
    for heading in ("接收地址", "消息类型", "来源"):
        table.add_column(heading, overflow="fold")
    for heading in ("待发", "搁置"):
        table.add_column(heading, justify="right")
    table.add_column("状态")
    for one in found:
        types = "全部" if set(one.types) == set(EventType) else "、".join(EVENT_ZH[type] for type in one.types)
        status = "已停用" if one.disabled_at else "有效"
        table.add_row(one.id, one.url, types, one.source or "全部", str(one.waiting), str(one.dead), status)
    return table


def _dead_table(page: "DeadLetterPage") -> "Table":
    from rich.table import Table

    more = "（只列最新的，全部编号用 --ids）" if page.before is not None else ""
    table = Table(title=f"{len(page.letters)} 条搁置的消息{more}", title_justify="left")
    table.add_column("消息编号", no_wrap=True)
    for heading in ("类型", "发生于", "接收地址", "次数", "最后一次的结果"):
        table.add_column(heading, overflow="fold")
    for letter in page.letters:
        event = letter.event
        at = f"{event.time.astimezone():%Y-%m-%d %H:%M}"
        result = _answered(letter.answered)
        table.add_row(event.id, EVENT_ZH[event.type], at, letter.url, str(letter.attempts), result)
    return table
