"""``fenzhen policy``: the folder that domain staff own."""

from pathlib import Path
from typing import Annotated

import typer

from data.errors import PolicyError
from serving.commands.groups import argument, command, error_text, group, option, say

app = group("规则目录（分类、规则、条款、单位名录、时限）。")


@command(app, "automation")
def policy_automation(
    bundle: Annotated[Path | None, option(help="模型包目录。默认用 FENZHEN_BUNDLE，没有则用自带的。")] = None,
) -> None:
    """自动采用：错误上限定为多少时，多大比例的投诉可以不经人看。"""
    from rich.console import Console

    from serving.automation_report import render_automation
    from serving.loading import load_triager
    from serving.settings import load_settings

    triager = load_triager(load_settings(), bundle)
    policy = triager.policy
    Console().print(render_automation(triager.bundle.assurance, policy.automation, policy.taxonomy))


@command(app, "check")
def policy_check(
    folder: Annotated[Path | None, argument("要检查的目录；默认是 FENZHEN_POLICY_DIR，没有则是自带的。")] = None,
) -> None:
    """检查规则目录，一次列出所有错误及其文件和行号。退出码：0 没有错误，1 有错误。"""
    from data.policy_files import load_policy
    from serving.policy_report import policy_lines

    try:
        policy = load_policy(folder)
    except PolicyError as error:
        say(error_text(error))
        raise typer.Exit(1) from error
    print("\n".join(policy_lines(policy)))
