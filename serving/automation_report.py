"""What ``fenzhen policy automation`` says: which share of complaints may go unchecked for which share of errors."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from data.policy_schema import Automation
from data.taxonomy import Taxonomy
from models.assurance import TASKS, Assurance, Automat

TASK_ZH = {"misconduct": "反映问题", "department": "责任部门", "urgency": "紧急程度"}


def render_automation(assurance: Assurance, automation: Automation, taxonomy: Taxonomy) -> RenderableType:
    """A table of measured guarantees with the policy's own choice marked, then the labels never decided alone."""
    automat = Automat(assurance, automation, taxonomy)
    table = Table(title=f"自动采用的比例与错误上限（{assurance.confidence:.0%} 的把握）", title_justify="left")
    for heading in ("任务", "错误上限", "最低把握", "可自动采用", ""):
        table.add_column(heading)
    for task in TASKS:
        wanted = getattr(automation, task).risk
        chosen = assurance.task(task).guarantee(wanted)
        for row in assurance.task(task).guarantees:
            mark = f"← automation.yaml 要求 {wanted:.0%}" if row == chosen else ""
            table.add_row(TASK_ZH[task], f"{row.risk:.0%}", f"{row.threshold:.3f}", f"{row.share:.0%}", mark)
        if not chosen.share:
            table.add_row(TASK_ZH[task], f"{wanted:.0%}", "—", "0%", f"← {wanted:.0%}：现有模型保证不了")
        table.add_section()
    names = {kind.id: kind.zh for kind in taxonomy.misconduct} | {one.id: one.zh for one in taxonomy.departments}
    names |= {card.id: card.zh for card in taxonomy.cards}
    never = "、".join(names[label] for task in TASKS for label in sorted(automat.never[task]))
    return Group(table, Text(f"须经人看的标签：{never or '无'}"))
