"""What ``fenzhen rules test`` says: failing example rows, and every rule's hits on labelled complaints."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from data.policy_schema import Policy
from models.rule_tests import ExampleReport, RowFailure, RuleHits

PROMISES = {
    "match": "应命中本规则",
    "no_match": "不应命中本规则",
    "guarded": "不应命中任何问题类规则",
    "not_guarded": "应命中至少一条问题类规则",
}
DIMENSIONS = {"misconduct": "反映问题", "department": "责任部门", "urgency": "紧急程度"}


def failure_lines(failures: Iterable[RowFailure], places: Mapping[str, str]) -> list[str]:
    """Two lines for each failing row: where it stands and what it promises, then why it fails."""
    return [
        f"{places.get(failure.owner, '')} {failure.owner} [{failure.expectation}] {PROMISES[failure.expectation]}："
        f"{failure.text}\n    {failure.why}"
        for failure in failures
    ]


def hits_table(hits: Sequence[RuleHits], policy: Policy, rows: int) -> Table:
    """Every rule with hits, correct hits and precision, then the sum of each dimension."""
    table = Table(title=f"每条规则在 {rows} 条已标注投诉上的命中", title_justify="left")
    for heading in ("规则", "支持", "标签"):
        table.add_column(heading)
    for heading in ("命中", "正确", "准确率"):
        table.add_column(heading, justify="right")
    for one in hits:
        label = f"{one.label} {_zh(one, policy)}"
        table.add_row(
            one.rule, DIMENSIONS[one.dimension], label, str(one.hits), str(one.correct), _share(one.precision)
        )
    table.add_section()
    for total in totals(hits):
        figures = (str(total["hits"]), str(total["correct"]), _share(total["precision"]))
        table.add_row("合计", DIMENSIONS[total["dimension"]], f"{total['rules']} 条规则", *figures)
    return table


def totals(hits: Sequence[RuleHits]) -> list[dict[str, Any]]:
    """Sums over the rules of each dimension; ``silent`` counts the rules without hits."""
    found = []
    for dimension in DIMENSIONS:
        own = [one for one in hits if one.dimension == dimension]
        count, correct = sum(one.hits for one in own), sum(one.correct for one in own)
        found.append(
            {
                "dimension": dimension,
                "rules": len(own),
                "silent": sum(not one.hits for one in own),
                "hits": count,
                "correct": correct,
                "precision": correct / count if count else None,
            }
        )
    return found


def report_json(
    report: ExampleReport, places: Mapping[str, str], hits: Sequence[RuleHits] | None, rows: int
) -> dict[str, Any]:
    """The same for machines; ``labelled`` is null without a labelled file."""
    failures = [{**asdict(failure), "place": places.get(failure.owner)} for failure in report.failures]
    examples = {"rows": report.rows, "failures": failures}
    if hits is None:
        return {"examples": examples, "labelled": None}
    rules = [{**asdict(one), "precision": one.precision} for one in hits]
    return {"examples": examples, "labelled": {"rows": rows, "rules": rules, "totals": totals(hits)}}


def _zh(one: RuleHits, policy: Policy) -> str:
    taxonomy = policy.taxonomy
    if one.dimension == "misconduct":
        return taxonomy.misconduct_type(one.label).zh
    if one.dimension == "department":
        return taxonomy.department(one.label).zh
    return next(card.zh for card in taxonomy.cards if card.id == one.label)


def _share(precision: float | None) -> str:
    return "—" if precision is None else f"{precision:.0%}"
