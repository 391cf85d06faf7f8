"""``fenzhen audit``: whether the database still holds what was recorded."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from data.errors import InputError
from serving.commands.groups import command, group, option

app = group("审计：核对数据库有没有被绕过程序改动。")


@command(app)
def verify(
    head: Annotated[
        str | None, option(help="以前核对时记在别处的链头，64 位十六进制；用来发现链尾被整段删掉。")
    ] = None,
) -> None:
    """逐条核对审计链，以及投诉、研判、更正、事件的内容是否与审计记录一致；列出每一处不符，给出现在的链头。

    请把链头记在数据库以外的地方。退出码：0 全部一致，1 有不符之处，2 没能核对。
    """
    from serving.commands.opened import opened_database
    from serving.store import audit

    noted = head.strip().lower() if head is not None else None
    if noted is not None and not re.fullmatch("[0-9a-f]{64}", noted):
        raise InputError("head_invalid", "链头应为 64 位十六进制数。")
    with opened_database() as database, _progress() as watch:
        report = audit.verify(database, noted, watch)
    for finding in report.findings:
        print(finding)
    count = f"审计记录 {report.records} 条，内容 {report.rows} 行，其中依法删除 {report.erased} 行"
    print(f"{count}：" + (f"有 {len(report.findings)} 处不符" if report.findings else "全部一致"))
    print(f"链头 {report.head}")
    raise typer.Exit(1 if report.findings else 0)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Yields what is called with the steps done and the steps there are: a bar on stderr, if a person is there."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, of: None
        return
    columns = (TextColumn("核对"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)
