"""Cross-checks between policy files: every id that is named exists, and exists once."""

from collections.abc import Iterator

from data.policy_reader import PolicyReader, Source
from data.policy_schema import Automation, ClausesFile, DeadlinesFile, DirectoryFile, RulesFile, Unit
from data.taxonomy import Taxonomy

LABELS = {"misconduct": "问题类型", "department": "责任部门", "urgency": "牌"}


def check_taxonomy(
    loader: PolicyReader, taxonomy: Taxonomy, source: Source, clauses: tuple[ClausesFile, Source] | None
) -> None:
    for kind in taxonomy.misconduct:
        at = ("misconduct", "types", kind.id)
        loader.known(source, kind.family, taxonomy.families, "大类", *at, "family")
        if clauses:
            for clause in kind.basis:
                loader.known(source, clause, (c.id for c in clauses[0].clauses), "条款", *at, "basis")
    if [card.rank for card in taxonomy.cards] != list(range(len(taxonomy.cards))):
        loader.faults.append(source.fault("rank 应为 0、1、2……各一次", "urgency"))
    if clauses:
        seen: set[str] = set()
        for number, clause_entry in enumerate(clauses[0].clauses):
            loader.unique(clauses[1], seen, clause_entry.id, "条款", "clauses", number, "id")
            loader.known(clauses[1], clause_entry.plan, clauses[0].plans, "方案", "clauses", number, "plan")
            for unit in clause_entry.units:
                loader.known(clauses[1], unit, taxonomy.department_ids, "责任部门", "clauses", number, "units")


def check_rules(loader: PolicyReader, taxonomy: Taxonomy, files: list[tuple[RulesFile, Source]]) -> None:
    ids = taxonomy.ids
    seen: set[str] = set()
    for file, source in files:
        for number, rule in enumerate(file.rules):
            at = ("rules", number)
            loader.unique(source, seen, rule.id, "规则", *at, "id")
            named = [(name, value) for name, value in rule.supports if value is not None]
            if len(named) != 1:
                loader.faults.append(source.fault("supports 应恰好写一个标签", *at, "supports"))
            for name, value in named:
                loader.known(source, value, ids[name], LABELS[name], *at, "supports", name)
        for number, guard in enumerate(file.guards):
            loader.unique(source, seen, guard.id, "防线", "guards", number, "id")


def check_directory(loader: PolicyReader, taxonomy: Taxonomy, found: tuple[DirectoryFile, Source] | None) -> None:
    if found is None:
        return
    file, source = found
    units = {unit.id: unit for unit in file.units}
    seen: set[str] = set()
    names: set[str] = set()
    for number, unit in enumerate(file.units):
        at = ("units", number)
        loader.unique(source, seen, unit.id, "单位", *at, "id")
        loader.known(source, unit.department, taxonomy.department_ids, "责任部门", *at, "department")
        for name in {unit.zh, *unit.aliases}:
            loader.unique(source, names, name, "名称或别名", *at, "aliases")
        if unit.superior:
            loader.known(source, unit.superior, units, "上级单位", *at, "superior")
        if unit.id in list(_superiors(unit, units)):
            loader.faults.append(source.fault(f"单位“{unit.id}”成了自己的上级", *at, "superior"))


def _superiors(unit: Unit, units: dict[str, Unit]) -> Iterator[str]:
    seen: set[str] = set()
    while unit.superior and unit.superior in units and unit.superior not in seen:
        seen.add(unit.superior)
        yield unit.superior
        unit = units[unit.superior]


def check_deadlines(loader: PolicyReader, taxonomy: Taxonomy, found: tuple[DeadlinesFile, Source] | None) -> None:
    if found is None:
        return
    file, source = found
    for card in taxonomy.card_ids:
        if card not in file.cards:
            loader.faults.append(source.fault(f"缺少“{card}”牌的时限", "cards"))
    for card, entry in file.cards.items():
        loader.known(source, card, taxonomy.card_ids, "牌", "cards", card)
        if (entry.respond_hours is None) == (entry.respond_working_days is None):
            loader.faults.append(source.fault("respond_hours 与 respond_working_days 应恰好写一个", "cards", card))


def check_automation(loader: PolicyReader, taxonomy: Taxonomy, found: tuple[Automation, Source] | None) -> None:
    if found is None:
        return
    file, source = found
    for name, ids in taxonomy.ids.items():
        for label in getattr(file, name).never_auto:
            loader.known(source, label, ids, LABELS[name], name, "never_auto")
