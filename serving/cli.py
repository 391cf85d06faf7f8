"""The command line. Commands parse, call and print.

What loads a model or a database is imported inside the command that needs it, so help is instant.
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import FenzhenError
from serving.commands import accounts, audit, backup, db, keys, policy, rules, webhooks, wheelhouse
from serving.commands.groups import COMMANDS, argument, command, error_text, group, option, say

if TYPE_CHECKING:
    from models.triage import Triager
    from serving.settings import Settings

LAUNCHER = "启动脚本另有：./fenzhen test（运行全部测试）、./fenzhen python …（开发环境的 Python）。"
_REFUSALS: dict[type[OSError], str] = {
    FileNotFoundError: "没有这个文件或文件夹",
    PermissionError: "没有权限",
    IsADirectoryError: "是文件夹，不是文件",
    NotADirectoryError: "不是文件夹",
}

app = group("分诊：读投诉，标出反映的问题、责任部门、紧急程度，并指出依据的原话。", epilog=LAUNCHER)
for _name, _commands in {
    "rules": rules.app,
    "policy": policy.app,
    "keys": keys.app,
    "accounts": accounts.app,
    "webhooks": webhooks.app,
    "db": db.app,
    "audit": audit.app,
    "backup": backup.app,
}.items():
    app.add_typer(_commands, name=_name, rich_help_panel=COMMANDS)
command(app)(wheelhouse.wheelhouse)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; errors of ours are one message on stderr and exit code 2, never a traceback."""
    try:
        app(args=arguments, prog_name="fenzhen")
    except FenzhenError as error:
        say(error_text(error))
    except OSError as error:
        say(f"错误：{error.filename or '读写'}：{_REFUSALS.get(type(error), error.strerror)}")
    sys.exit(2)


@command(app)
def triage(
    inputs: Annotated[
        list[str] | None,
        argument("文件（CSV、XLSX、JSONL、Parquet、TXT，可多个），或一段投诉原文；不写或写 - 则读标准输入。"),
    ] = None,
    text: Annotated[str | None, option(help="一段投诉原文。")] = None,
    as_json: Annotated[bool, option("--json", help="每条投诉一行 JSON，按原顺序，与 HTTP 接口相同。")] = False,
    out: Annotated[Path | None, option(help="写入文件，不写到屏幕。")] = None,
    column_text: Annotated[str | None, option(help="正文所在列的列名。")] = None,
    column_id: Annotated[str | None, option(help="编号所在列的列名。")] = None,
    column_channel: Annotated[str | None, option(help="来源渠道所在列的列名。")] = None,
    rejects: Annotated[Path | None, option(help="退回的行写到哪里。默认在输入文件旁：<文件名>.rejects.jsonl。")] = None,
    bundle: Annotated[Path | None, option(help="模型包目录。默认用 FENZHEN_BUNDLE，没有则用自带的。")] = None,
) -> None:
    """研判投诉：反映的问题、责任部门、紧急程度，附原文证据。

    退出码：0 全部完成，1 有退回的行，2 一条也没有完成。
    """
    from data.reading import ColumnMap
    from serving.batch import Batch
    from serving.inputs import check_outputs, gather
    from serving.loading import load_triager
    from serving.output import json_lines, progress_bar, tables, tally_lines
    from serving.settings import load_settings

    if not inputs and text is None and sys.stdin.isatty():
        say("请输入投诉内容，结束时另起一行按 Ctrl+D：")
    columns = ColumnMap(text=column_text, id=column_id, channel=column_channel)
    with ExitStack() as stack:
        sources = stack.enter_context(gather(inputs or [], text, sys.stdin.buffer))
        check_outputs(sources, out, rejects)
        triager = load_triager(load_settings(), bundle)
        write = stack.enter_context((json_lines if as_json else tables)(out, triager.policy))
        screen_busy = out is None and sys.stdout.isatty()
        advance = stack.enter_context(progress_bar(sources, screen_busy=screen_busy))
        tally = Batch(triager, write, columns=columns, rejects=rejects, advance=advance).run(sources)
    for line in tally_lines(tally):
        say(line)
    raise typer.Exit(tally.exit_code)


@command(app)
def serve(
    host: Annotated[str | None, option(help="监听地址。默认用 FENZHEN_HOST，没有则为 127.0.0.1。")] = None,
    port: Annotated[
        int | None, option(min=0, max=65535, help="端口。默认用 FENZHEN_PORT，没有则为 8600；0 为任一空闲端口。")
    ] = None,
) -> None:
    """启动 HTTP 服务。"""
    from concurrent.futures import ThreadPoolExecutor

    from serving.listen import listen, reserve
    from serving.settings import load_settings

    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings().model_copy(update=given)
    with reserve(settings.host, settings.port) as bound, ThreadPoolExecutor(1) as background:
        loading = background.submit(_load, settings)
        from serving.app import create_app  # takes as long as the bundle: the two load side by side

        listen(create_app(settings, loading.result()), bound)


def _load(settings: "Settings") -> "Triager":
    from serving.loading import load_triager

    return load_triager(settings)


@command(app)
def version() -> None:
    """程序、模型包、分类和规则的版本。"""
    from serving.loading import load_triager
    from serving.settings import load_settings
    from serving.version import program_version

    print(f"fenzhen {program_version()}")
    versions = load_triager(load_settings()).versions
    print(f"模型包 {versions.bundle}")
    print(f"分类   {versions.taxonomy}")
    print(f"规则   {versions.rules}")


if __name__ == "__main__":
    main()
