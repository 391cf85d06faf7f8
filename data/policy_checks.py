"""Cross-checks between policy files: every id that is named exists, and exists once."""

from collections.abc import Iterator

from data.policy_reader import PolicyReader, Source
from data.policy_schema import ClausesFile, DeadlinesFile, DirectoryFile, RulesFile, Unit
from data.taxonomy import Taxonomy


def check_taxonomy(
    loader: PolicyReader, taxonomy: Taxonomy, source: Source, clauses: tuple[ClausesFile, Source] | None
) -> None:
    for kind in taxonomy.misconduct:
        at = ("misconduct", "types", kind.id)
        loader.known(source, kind.family, taxonomy.families, "family", *at, "family")
        if clauses:
            for clause in kind.basis:
                loader.known(source, clause, (c.id for c in clauses[0].clauses), "clause", *at, "basis")
    if [card.rank for card in taxonomy.cards] != list(range(len(taxonomy.cards))):
        loader.faults.append(source.fault("ranks must be 0, 1, 2 …, each once", "urgency"))
    if clauses:
        seen: set[str] = set()
        for number, clause_entry in enumerate(clauses[0].clauses):
            loader.unique(clauses[1], seen, clause_entry.id, "clause", "clauses", number, "id")
            loader.known(clauses[1], clause_entry.plan, clauses[0].plans, "plan", "clauses", number, "plan")
            for unit in clause_entry.units:
                loader.known(clauses[1], unit, taxonomy.department_ids, "department", "clauses", number, "units")


def check_rules(loader: PolicyReader, taxonomy: Taxonomy, files: list[tuple[RulesFile, Source]]) -> None:
    ids = {"misconduct": taxonomy.misconduct_ids, "department": taxonomy.department_ids, "urgency": taxonomy.card_ids}
    seen: set[str] = set()
    for file, source in files:
        for number, rule in enumerate(file.rules):
            at = ("rules", number)
            loader.unique(source, seen, rule.id, "rule", *at, "id")
            named = [(name, value) for name, value in rule.supports if value is not None]
            if len(named) != 1:
                loader.faults.append(source.fault("supports names exactly one label", *at, "supports"))
            for name, value in named:
                loader.known(source, value, ids[name], name, *at, "supports", name)
        for number, guard in enumerate(file.guards):
            loader.unique(source, seen, guard.id, "guard", "guards", number, "id")


def check_directory(loader: PolicyReader, taxonomy: Taxonomy, found: tuple[DirectoryFile, Source] | None) -> None:
    if found is None:
        return
    file, source = found
    units = {unit.id: unit for unit in file.units}
    seen: set[str] = set()
    names: set[str] = set()
    for number, unit in enumerate(file.units):
        at = ("units", number)
        loader.unique(source, seen, unit.id, "unit", *at, "id")
        loader.known(source, unit.department, taxonomy.department_ids, "department", *at, "department")
        for name in {unit.zh, *unit.aliases}:
            loader.unique(source, names, name, "name or alias", *at, "aliases")
        if unit.superior:
            loader.known(source, unit.superior, units, "superior", *at, "superior")
        if unit.id in list(_superiors(unit, units)):
            loader.faults.append(source.fault(f"unit {unit.id!r} is its own superior", *at, "superior"))


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
            loader.faults.append(source.fault(f"card {card!r} has no entry", "cards"))
    for card, entry in file.cards.items():
        loader.known(source, card, taxonomy.card_ids, "card", "cards", card)
        if (entry.respond_hours is None) == (entry.respond_working_days is None):
            loader.faults.append(source.fault("give respond_hours or respond_working_days", "cards", card))
