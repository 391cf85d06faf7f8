"""The command line: ``fenzhen triage | rules | policy | serve | version``.

Commands parse, call and print. What loads a model is imported inside the command that needs it, so help is instant.
"""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from data.errors import BundleError, FenzhenError, PolicyError

if TYPE_CHECKING:
    from models.triage import Triager

Command = TypeVar("Command", bound=Callable[..., None])

ARGUMENTS, OPTIONS, COMMANDS = "参数", "选项", "命令"
LAUNCHER = "启动脚本另有：./fenzhen test（运行全部测试）、./fenzhen python …（开发环境的 Python）。"
_REFUSALS: dict[type[OSError], str] = {
    FileNotFoundError: "没有这个文件或文件夹",
    PermissionError: "没有权限",
    IsADirectoryError: "是文件夹，不是文件",
    NotADirectoryError: "不是文件夹",
}


class _HelpInChinese(TyperCommand):
    def get_help_option(self, ctx: Any) -> Any:
        return _translated(super().get_help_option(ctx))


class _GroupHelpInChinese(TyperGroup):
    def get_help_option(self, ctx: Any) -> Any:
        return _translated(super().get_help_option(ctx))


def _translated(option: Any) -> Any:
    option.help, option.rich_help_panel = "显示本帮助。", OPTIONS
    return option


def _group(help: str, **settings: Any) -> typer.Typer:
    return typer.Typer(
        help=help,
        cls=_GroupHelpInChinese,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        **settings,
    )


def _command(group: typer.Typer, name: str | None = None) -> Callable[[Command], Command]:
    return group.command(name, cls=_HelpInChinese, rich_help_panel=COMMANDS)


app = _group("分诊：读投诉，标出反映的问题、责任部门、紧急程度，并指出依据的原话。", epilog=LAUNCHER)
rules_app = _group("关键词规则。")
policy_app = _group("规则目录（分类、规则、条款、单位名录、时限）。")
app.add_typer(rules_app, name="rules", rich_help_panel=COMMANDS)
app.add_typer(policy_app, name="policy", rich_help_panel=COMMANDS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; errors of ours are one message on stderr and exit code 2, never a traceback."""
    try:
        app(args=arguments, prog_name="fenzhen")
    except FenzhenError as error:
        _say(error_text(error))
    except OSError as error:
        _say(f"错误：{error.filename or '读写'}：{_REFUSALS.get(type(error), error.strerror)}")
    sys.exit(2)


def error_text(error: FenzhenError) -> str:
    """The error as a person reads it."""
    if isinstance(error, PolicyError):
        return str(error)
    return f"错误：模型包不能用：{error}" if isinstance(error, BundleError) else f"错误：{error}"


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=OPTIONS, **settings)


def _argument(help: str) -> Any:
    return typer.Argument(help=help, rich_help_panel=ARGUMENTS, show_default=False)


@_command(app)
def triage(
    inputs: Annotated[
        list[str] | None,
        _argument("文件（CSV、XLSX、JSONL、Parquet、TXT，可多个），或一段投诉原文；不写或写 - 则读标准输入。"),
    ] = None,
    text: Annotated[str | None, _option(help="一段投诉原文。")] = None,
    as_json: Annotated[bool, _option("--json", help="每条投诉一行 JSON，按原顺序，与 HTTP 接口相同。")] = False,
    out: Annotated[Path | None, _option(help="写入文件，不写到屏幕。")] = None,
    column_text: Annotated[str | None, _option(help="正文所在列的列名。")] = None,
    column_id: Annotated[str | None, _option(help="编号所在列的列名。")] = None,
    column_channel: Annotated[str | None, _option(help="来源渠道所在列的列名。")] = None,
    rejects: Annotated[
        Path | None, _option(help="退回的行写到哪里。默认在输入文件旁：<文件名>.rejects.jsonl。")
    ] = None,
    bundle: Annotated[Path | None, _option(help="模型包目录。默认用 FENZHEN_BUNDLE，没有则用自带的。")] = None,
) -> None:
    """研判投诉：反映的问题、责任部门、紧急程度，附原文证据。

    退出码：0 全部完成，1 有退回的行，2 一条也没有完成。
    """
    from data.reading import ColumnMap
    from serving.batch import Batch
    from serving.inputs import check_outputs, gather
    from serving.output import json_lines, progress_bar, tables, tally_lines

    if not inputs and text is None and sys.stdin.isatty():
        _say("请输入投诉内容，结束时另起一行按 Ctrl+D：")
    columns = ColumnMap(text=column_text, id=column_id, channel=column_channel)
    with ExitStack() as stack:
        sources = stack.enter_context(gather(inputs or [], text, sys.stdin.buffer))
        check_outputs(sources, out, rejects)
        triager = _load_triager(bundle)
        write = stack.enter_context((json_lines if as_json else tables)(out, triager.policy))
        screen_busy = out is None and sys.stdout.isatty()
        advance = stack.enter_context(progress_bar(sources, screen_busy=screen_busy))
        tally = Batch(triager, write, columns=columns, rejects=rejects, advance=advance).run(sources)
    for line in tally_lines(tally):
        _say(line)
    raise typer.Exit(tally.exit_code)


def _load_triager(bundle: Path | None) -> "Triager":
    from data.policy_files import load_policy
    from models.triage import Triager
    from serving.settings import load_settings

    settings = load_settings()
    return Triager.load(bundle or settings.bundle, load_policy(settings.policy_dir), settings.threads)


@_command(rules_app, "test")
def rules_test(
    labelled: Annotated[Path | None, _argument("已标注的投诉（JSONL）；给出时另算每条规则的命中与准确率。")] = None,
    as_json: Annotated[bool, _option("--json", help="输出 JSON。")] = False,
) -> None:
    """逐条试规则旁边的例句，列出不符的；另可在已标注的投诉上算命中与准确率。退出码：0 全部相符，1 有不符的例句。"""
    from rich.console import Console

    from data.labelled import read_labelled
    from data.policy_files import load_policy
    from data.rule_places import rule_places
    from models.rule_tests import count_hits, run_examples
    from serving.rule_report import failure_lines, hits_table, report_json
    from serving.settings import load_settings

    folder = load_settings().policy_dir
    policy = load_policy(folder)
    rows = list(read_labelled(labelled, policy.taxonomy)) if labelled else []
    report, places = run_examples(policy), rule_places(folder)
    hits = count_hits(policy, rows) if labelled else None
    if as_json:
        print(json.dumps(report_json(report, places, hits, len(rows)), ensure_ascii=False))
        raise typer.Exit(1 if report.failures else 0)
    if hits is not None:
        Console().print(hits_table(hits, policy, len(rows)))
    for line in failure_lines(report.failures, places):
        print(line)
    found = f"{len(policy.rules)} 条规则、{len(policy.guards)} 道防线、{report.rows} 条例句："
    print(found + (f"{len(report.failures)} 条不符。" if report.failures else "全部相符。"))
    raise typer.Exit(1 if report.failures else 0)


@_command(policy_app, "automation")
def policy_automation(
    bundle: Annotated[Path | None, _option(help="模型包目录。默认用 FENZHEN_BUNDLE，没有则用自带的。")] = None,
) -> None:
    """自动采用：错误上限定为多少时，多大比例的投诉可以不经人看。"""
    from rich.console import Console

    from serving.automation_report import render_automation

    triager = _load_triager(bundle)
    policy = triager.policy
    Console().print(render_automation(triager.bundle.assurance, policy.automation, policy.taxonomy))


@_command(policy_app, "check")
def policy_check(
    folder: Annotated[Path | None, _argument("要检查的目录；默认是 FENZHEN_POLICY_DIR，没有则是自带的。")] = None,
) -> None:
    """检查规则目录，一次列出所有错误及其文件和行号。退出码：0 没有错误，1 有错误。"""
    from data.policy_files import load_policy
    from serving.policy_report import policy_lines

    try:
        policy = load_policy(folder)
    except PolicyError as error:
        _say(error_text(error))
        raise typer.Exit(1) from error
    print("\n".join(policy_lines(policy)))


@_command(app)
def serve(
    host: Annotated[str | None, _option(help="监听地址。默认用 FENZHEN_HOST，没有则为 127.0.0.1。")] = None,
    port: Annotated[
        int | None, _option(min=0, max=65535, help="端口。默认用 FENZHEN_PORT，没有则为 8600；0 为任一空闲端口。")
    ] = None,
) -> None:
    """启动 HTTP 服务。"""
    from concurrent.futures import ThreadPoolExecutor

    from serving.listen import listen, reserve
    from serving.settings import load_settings

    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings().model_copy(update=given)
    with reserve(settings.host, settings.port) as bound, ThreadPoolExecutor(1) as background:
        loading = background.submit(_load_triager, settings.bundle)
        from serving.app import create_app  # takes as long as the bundle: the two load side by side

        listen(create_app(settings, loading.result()), bound)


@_command(app)
def version() -> None:
    """程序、模型包、分类和规则的版本。"""
    from serving.version import program_version

    print(f"fenzhen {program_version()}")
    versions = _load_triager(None).versions
    print(f"模型包 {versions.bundle}")
    print(f"分类   {versions.taxonomy}")
    print(f"规则   {versions.rules}")


if __name__ == "__main__":
    main()
