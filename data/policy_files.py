"""Loading of the policy folder: every file validated, ids cross-checked, all faults listed at once with file and line."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import Fault, PolicyError
from data.taxonomy import Card, Department, MisconductType, Taxonomy

SHIPPED = Path(__file__).parent / "policy"
Strength = Literal["strong", "medium", "weak"]
Reach = Literal["clause", "sentence", "text"]
GuardKind = Literal["negation", "hearsay", "quotation", "question", "praise", "third_party"]
Words = tuple[Annotated[str, Field(min_length=1)], ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class _TypeEntry(_Strict):
    family: str
    zh: str
    basis: tuple[str, ...]
    means: str = Field(alias="is")
    means_not: str = Field("", alias="is_not")
    discipline: bool = False


class _Misconduct(_Strict):
    families: dict[str, dict[Literal["zh"], str]]
    types: dict[str, _TypeEntry]


class _DepartmentEntry(_Strict):
    zh: str
    aliases: Words = ()


class _CardEntry(_Strict):
    zh: str
    rank: int
    means: str = Field(alias="is")


class _TaxonomyFile(_Strict):
    version: int
    misconduct: _Misconduct
    departments: dict[str, _DepartmentEntry]
    urgency: dict[str, _CardEntry]


class Supports(_Strict):
    """What a rule speaks for: exactly one of the three."""

    misconduct: str | None = None
    department: str | None = None
    urgency: Literal["red", "yellow"] | None = None

    @property
    def label(self) -> tuple[str, str]:
        """Dimension and id."""
        return next((name, value) for name, value in self if value is not None)


class RuleExamples(_Strict):
    match: Words = Field(min_length=2)
    no_match: Words = Field(min_length=2)


class Rule(_Strict):
    """A keyword rule as a clerk writes it; see ``policy/README.md``."""

    id: str = Field(pattern=r"^[a-z]{2,4}-\d{3}$")
    supports: Supports
    strength: Strength
    terms: Words = Field(min_length=1)
    context: Words = ()
    reach: Reach = "sentence"
    unless: Words = ()
    unguarded: tuple[GuardKind, ...] = ()
    examples: RuleExamples


class GuardExamples(_Strict):
    guarded: Words = ()
    not_guarded: Words = ()


class Guard(_Strict):
    """Cues that keep a rule from firing; see ``policy/README.md``."""

    id: str
    kind: GuardKind
    cues: Words = Field(min_length=1)
    where: Literal["before", "after", "around"]
    reach: Literal["clause", "sentence"]
    exceptions: Words = Field((), alias="except")
    examples: GuardExamples = GuardExamples()


class _RulesFile(_Strict):
    rules: tuple[Rule, ...] = ()
    guards: tuple[Guard, ...] = ()


class Clause(_Strict):
    """The short wording of a clause of a plan."""

    id: str
    plan: str
    heading: str
    zh: str
    units: tuple[str, ...] = ()


class _Plan(_Strict):
    zh: str


class _ClausesFile(_Strict):
    plans: dict[str, _Plan]
    clauses: tuple[Clause, ...]


class Unit(_Strict):
    """A concrete unit of the directory."""

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    zh: str
    department: str
    aliases: Words = ()
    superior: str | None = None


class _DirectoryFile(_Strict):
    units: tuple[Unit, ...]


class CardDeadline(_Strict):
    """The time limit of a card; exactly one of hours and working days."""

    respond_hours: float | None = None
    respond_working_days: int | None = None
    note: str = ""
    source: str = "default"


class Procedure(_Strict):
    """A time limit set by a regulation."""

    id: str
    zh: str
    applies_to: str
    days: int
    unit: Literal["calendar_days", "working_days"]
    article: str


class _DeadlinesFile(_Strict):
    cards: dict[str, CardDeadline]
    procedures: tuple[Procedure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The whole policy, consistent in itself."""

    taxonomy: Taxonomy
    rules: tuple[Rule, ...]
    guards: tuple[Guard, ...]
    clauses: dict[str, Clause]
    plans: dict[str, str]
    units: dict[str, Unit]
    card_deadlines: dict[str, CardDeadline]
    procedures: tuple[Procedure, ...]
    dictionary: tuple[str, ...]

    @cached_property
    def rules_digest(self) -> str:
        """SHA-256 over rules, guards and dictionary; examples do not count."""
        digest = hashlib.sha256()
        for entry in (*self.rules, *self.guards):
            digest.update(entry.model_dump_json(exclude={"examples"}).encode())
        digest.update("\n".join(self.dictionary).encode())
        return digest.hexdigest()


class _Source:
    """One YAML file: its data and, for any path inside it, the line."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        text = path.read_text(encoding="utf-8")
        self._root = yaml.compose(text, Loader=yaml.SafeLoader)
        self.data = yaml.safe_load(text)

    def line(self, location: Sequence[Any]) -> int | None:
        node, line = self._root, 1
        for key in location:
            child = self._child(node, key)
            if child is None:
                break
            node, line = child
        return line

    @staticmethod
    def _child(node: Any, key: Any) -> tuple[Any, int] | None:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(key)), None)
            return (pair[1], pair[0].start_mark.line + 1) if pair else None
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            return node.value[key], node.value[key].start_mark.line + 1
        return None

    def fault(self, what: str, *location: Any) -> Fault:
        return Fault(file=self.name, line=self.line(location), what=what)


M = TypeVar("M", bound=_Strict)


class _Loader:
    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.faults: list[Fault] = []

    def path(self, name: str) -> Path:
        own = self.folder / name if self.folder else None
        return own if own and own.exists() else SHIPPED / name

    def read(self, path: Path, name: str, model: type[M]) -> tuple[M, _Source] | None:
        try:
            source = _Source(path, name)
            return model.model_validate(source.data), source
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            self.faults.append(Fault(file=name, line=line, what=f"not valid YAML: {error.problem}"))
        except (OSError, UnicodeDecodeError) as error:
            self.faults.append(Fault(file=name, line=None, what=f"cannot be read: {error}"))
        except ValidationError as error:
            for item in error.errors():
                where = ".".join(str(part) for part in item["loc"])
                self.faults.append(source.fault(f"{where}: {item['msg']}", *item["loc"]))
        return None

    def known(self, source: _Source, value: str, ids: Iterable[str], what: str, *location: Any) -> None:
        if value not in set(ids):
            self.faults.append(source.fault(f"{what} {value!r} is not known", *location))

    def unique(self, source: _Source, seen: set[str], value: str, what: str, *location: Any) -> None:
        if value in seen:
            self.faults.append(source.fault(f"{what} {value!r} occurs twice", *location))
        seen.add(value)


def load_policy(folder: Path | None = None) -> Policy:
    """The policy of ``folder`` (default: ``FENZHEN_POLICY_DIR``), completed by the shipped files.

    Raises PolicyError with every fault of every file.
    """
    if folder is None and os.environ.get("FENZHEN_POLICY_DIR"):
        folder = Path(os.environ["FENZHEN_POLICY_DIR"])
    loader = _Loader(folder)
    if folder and not folder.is_dir():
        raise PolicyError([Fault(file=str(folder), line=None, what="is not a folder (FENZHEN_POLICY_DIR)")])
    taxonomy = _taxonomy(loader)
    clauses = loader.read(loader.path("clauses.yaml"), "clauses.yaml", _ClausesFile)
    directory = loader.read(loader.path("directory.yaml"), "directory.yaml", _DirectoryFile)
    deadlines = loader.read(loader.path("deadlines.yaml"), "deadlines.yaml", _DeadlinesFile)
    rules = _rule_files(loader)
    if taxonomy:
        _check_taxonomy(loader, *taxonomy, clauses)
        _check_rules(loader, taxonomy[0], rules)
        _check_directory(loader, taxonomy[0], directory)
        _check_deadlines(loader, taxonomy[0], deadlines)
    words = loader.path("dictionary.txt").read_text(encoding="utf-8").split()
    if loader.faults or not (taxonomy and clauses and directory and deadlines):
        raise PolicyError(loader.faults)
    return Policy(
        taxonomy=taxonomy[0],
        rules=tuple(rule for file, _ in rules for rule in file.rules),
        guards=tuple(guard for file, _ in rules for guard in file.guards),
        clauses={clause.id: clause for clause in clauses[0].clauses},
        plans={plan: entry.zh for plan, entry in clauses[0].plans.items()},
        units={unit.id: unit for unit in directory[0].units},
        card_deadlines=deadlines[0].cards,
        procedures=deadlines[0].procedures,
        dictionary=tuple(words),
    )


def _taxonomy(loader: _Loader) -> tuple[Taxonomy, _Source] | None:
    found = loader.read(loader.path("taxonomy.yaml"), "taxonomy.yaml", _TaxonomyFile)
    if found is None:
        return None
    file, source = found
    types = file.misconduct.types.items()
    return Taxonomy(
        version=file.version,
        families={key: value["zh"] for key, value in file.misconduct.families.items()},
        misconduct=tuple(MisconductType(id=key, **entry.model_dump()) for key, entry in types),
        departments=tuple(Department(id=k, zh=d.zh, aliases=d.aliases) for k, d in file.departments.items()),
        cards=tuple(
            sorted((Card(id=k, **c.model_dump()) for k, c in file.urgency.items()), key=lambda card: card.rank)
        ),
    ), source


def _rule_files(loader: _Loader) -> list[tuple[_RulesFile, _Source]]:
    folder = loader.path("rules")
    read = (loader.read(path, f"rules/{path.name}", _RulesFile) for path in sorted(folder.glob("*.yaml")))
    return [found for found in read if found]


def _check_taxonomy(
    loader: _Loader, taxonomy: Taxonomy, source: _Source, clauses: tuple[_ClausesFile, _Source] | None
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


def _check_rules(loader: _Loader, taxonomy: Taxonomy, files: list[tuple[_RulesFile, _Source]]) -> None:
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


def _check_directory(loader: _Loader, taxonomy: Taxonomy, found: tuple[_DirectoryFile, _Source] | None) -> None:
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


def _check_deadlines(loader: _Loader, taxonomy: Taxonomy, found: tuple[_DeadlinesFile, _Source] | None) -> None:
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
