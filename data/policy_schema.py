"""What the files of the policy folder hold: their form, checked by pydantic, and the policy they make up."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from data.taxonomy import Taxonomy

Strength = Literal["strong", "medium", "weak"]
Reach = Literal["clause", "sentence", "text"]
GuardKind = Literal["negation", "hearsay", "quotation", "question", "praise", "third_party"]
Words = tuple[Annotated[str, Field(min_length=1, pattern=r"[^…\s]")], ...]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class TypeEntry(Strict):
    family: str
    zh: str
    basis: tuple[str, ...]
    means: str = Field(alias="is")
    means_not: str = Field("", alias="is_not")
    discipline: bool = False


class Misconduct(Strict):
    families: dict[str, dict[Literal["zh"], str]]
    types: dict[str, TypeEntry]


class DepartmentEntry(Strict):
    zh: str
    aliases: Words = ()


class CardEntry(Strict):
    zh: str
    rank: int
    means: str = Field(alias="is")


class TaxonomyFile(Strict):
    version: int
    misconduct: Misconduct
    departments: dict[str, DepartmentEntry]
    urgency: dict[str, CardEntry]


class Supports(Strict):
    """What a rule speaks for: exactly one of the three."""

    misconduct: str | None = None
    department: str | None = None
    urgency: Literal["red", "yellow"] | None = None

    @cached_property
    def label(self) -> tuple[str, str]:
        """Dimension and id."""
        return next((name, value) for name, value in self if value is not None)


class RuleExamples(Strict):
    match: Words = Field(min_length=2)
    no_match: Words = Field(min_length=2)


class Rule(Strict):
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


class GuardExamples(Strict):
    guarded: Words = ()
    not_guarded: Words = ()


class Guard(Strict):
    """Cues that keep a rule from firing; see ``policy/README.md``."""

    id: str
    kind: GuardKind
    cues: Words = Field(min_length=1)
    where: Literal["before", "after", "around"]
    reach: Literal["clause", "sentence"]
    exceptions: Words = Field((), alias="except")
    examples: GuardExamples = GuardExamples()


class RulesFile(Strict):
    rules: tuple[Rule, ...] = ()
    guards: tuple[Guard, ...] = ()


class Clause(Strict):
    """The short wording of a clause of a plan."""

    id: str
    plan: str
    heading: str
    zh: str
    units: tuple[str, ...] = ()


class Plan(Strict):
    zh: str


class ClausesFile(Strict):
    plans: dict[str, Plan]
    clauses: tuple[Clause, ...]


class Unit(Strict):
    """A concrete unit of the directory."""

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    zh: str
    department: str
    aliases: Words = ()
    superior: str | None = None


class DirectoryFile(Strict):
    units: tuple[Unit, ...]


class CardDeadline(Strict):
    """The time limit of a card; exactly one of hours and working days."""

    respond_hours: float | None = None
    respond_working_days: int | None = None
    note: str = ""
    source: str = "default"


class Procedure(Strict):
    """A time limit set by a regulation."""

    id: str
    zh: str
    applies_to: str
    days: int
    unit: Literal["calendar_days", "working_days"]
    article: str


class DeadlinesFile(Strict):
    cards: dict[str, CardDeadline]
    procedures: tuple[Procedure, ...] = ()


class TaskAutomation(Strict):
    """The acceptable share of wrong automatic decisions of one task, and the labels never decided automatically."""

    risk: float = Field(gt=0, lt=1)
    never_auto: Words = ()


class Automation(Strict):
    """What may go unchecked."""

    misconduct: TaskAutomation
    department: TaskAutomation
    urgency: TaskAutomation
    never_auto_discipline: bool = True


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
    automation: Automation

    @cached_property
    def rules_digest(self) -> str:
        """SHA-256 over rules, guards and dictionary; examples do not count."""
        digest = hashlib.sha256()
        for entry in (*self.rules, *self.guards):
            digest.update(entry.model_dump_json(exclude={"examples"}).encode())
        digest.update("\n".join(self.dictionary).encode())
        return digest.hexdigest()
