"""``fenzhen rules``: the keyword rules."""

import json
from pathlib import Path
from typing import Annotated

import typer

from serving.commands.groups import argument, command, group, option

app = group("关键词规则。")


@command(app, "test")
def rules_test(
    labelled: Annotated[Path | None, argument("已标注的投诉（JSONL）；给出时另算每条规则的命中与准确率。")] = None,
    as_json: Annotated[bool, option("--json", help="输出 JSON。")] = False,
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
