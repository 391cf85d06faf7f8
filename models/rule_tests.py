"""Trying out the keyword rules: the example rows kept beside them, and their precision on labelled complaints.

Pure functions over a policy; ``fenzhen rules test`` prints what they return.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from data.complaint import LabelledComplaint
from data.policy_schema import Guard, Policy, Rule
from data.text import normalise
from data.transcript import complaint_from_text
from models.rules import RuleEngine, RuleMatch


class Expectation(StrEnum):
    """What an example row promises; the values are the keys of the YAML files."""

    MATCH = "match"
    NO_MATCH = "no_match"
    GUARDED = "guarded"
    NOT_GUARDED = "not_guarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFailure:
    """An example row that does not keep its promise. ``owner`` is the id of the rule or guard, ``why`` is Chinese."""

    owner: str
    expectation: Expectation
    text: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleReport:
    """How many example rows were tried, and those that failed."""

    rows: int
    failures: tuple[RowFailure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleHits:
    """On how many labelled complaints a rule fired, and on how many of these its label is right."""

    rule: str
    dimension: str
    label: str
    hits: int
    correct: int

    @property
    def precision(self) -> float | None:
        """Share of the hits that are correct; None without hits."""
        return self.correct / self.hits if self.hits else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    owner: Rule | Guard
    expectation: Expectation
    text: str


def run_examples(policy: Policy) -> ExampleReport:
    """Try every example row of every rule and guard against the whole policy."""
    trial = _Trial(policy)
    rows = list(_rows(policy))
    whys = ((row, trial.fault(row)) for row in rows)
    failures = (
        RowFailure(owner=row.owner.id, expectation=row.expectation, text=row.text, why=why) for row, why in whys if why
    )
    return ExampleReport(rows=len(rows), failures=tuple(failures))


def count_hits(policy: Policy, complaints: Iterable[LabelledComplaint]) -> tuple[RuleHits, ...]:
    """Hits of every rule, the least precise first, those without hits last.

    A complaint counts for a rule only if the rule's dimension is labelled; an assisting department is correct too.
    """
    engine = RuleEngine(policy)
    hits = {rule.id: 0 for rule in policy.rules}
    correct = dict(hits)
    for row in complaints:
        matches = engine.match(row.complaint, normalise(row.complaint.text))
        for rule in {match.rule.id: match.rule for match in matches}.values():
            dimension, label = rule.supports.label
            truth = _truth(row, dimension)
            if truth is not None:
                hits[rule.id] += 1
                correct[rule.id] += label in truth
    found = (
        RuleHits(
            rule=rule.id,
            dimension=rule.supports.label[0],
            label=rule.supports.label[1],
            hits=hits[rule.id],
            correct=correct[rule.id],
        )
        for rule in policy.rules
    )
    return tuple(sorted(found, key=lambda one: (not one.hits, one.precision or 0.0, -one.hits, one.rule)))


def _truth(row: LabelledComplaint, dimension: str) -> frozenset[str] | None:
    labels = row.labels
    if dimension == "misconduct":
        return labels.misconduct
    if dimension == "department":
        return None if labels.department is None else frozenset((labels.department, *(row.assisting or ())))
    return None if labels.urgency is None else frozenset((labels.urgency,))


def _rows(policy: Policy) -> Iterator[_Row]:
    owners: tuple[Rule | Guard, ...] = (*policy.rules, *policy.guards)
    for owner in owners:
        for key, texts in owner.examples:
            for text in texts:
                yield _Row(owner=owner, expectation=Expectation(key), text=text)


class _Trial:
    """Says what is wrong with a row. To explain a rule's silence the rule is tried again with parts left out."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._engine = RuleEngine(policy)

    @cached_property
    def _unguarded(self) -> RuleEngine:
        return self._variant(self._policy.rules)

    def _variant(self, rules: Iterable[Rule], guards: Iterable[Guard] = ()) -> RuleEngine:
        engine = RuleEngine(replace(self._policy, rules=tuple(rules), guards=tuple(guards)))
        engine.dictionary = self._engine.dictionary
        return engine

    def fault(self, row: _Row) -> str:
        """Why the row fails, or nothing."""
        matches = _match(self._engine, row.text)
        if isinstance(row.owner, Rule):
            own = [match for match in matches if match.rule.id == row.owner.id]
            if row.expectation is Expectation.MATCH:
                return "" if own else self._silence(row.owner, row.text)
            return f"不该命中却命中了：{_named(own, row.text)}" if own else ""
        misconduct = _misconduct(matches)
        if row.expectation is Expectation.GUARDED:
            return f"没有被挡住，仍命中：{_named(misconduct, row.text)}" if misconduct else ""
        return "" if misconduct else self._guarded_silence(row.text)

    def _silence(self, rule: Rule, text: str) -> str:
        if _match(self._variant([rule]), text):
            return f"被挡住了：{'、'.join(self._holding(rule, text))}"
        loosened = rule.model_copy(update={"unless": ()})
        if _match(self._variant([loosened]), text):
            return f"附近有 unless 词：{'、'.join(self._barring(rule, text))}"
        loosened = loosened.model_copy(update={"context": ()})
        if _match(self._variant([loosened]), text):
            return f"附近（{rule.reach}）没有任何 context 词"
        return "文中没有 terms 里的词（两字以下的词还须自成一词；线索类规则只看市民的话）"

    def _holding(self, rule: Rule, text: str) -> list[str]:
        """The guards each of which alone keeps the rule silent; all of them if it takes several."""
        alone = [g.id for g in self._policy.guards if not _match(self._variant([rule], [g]), text)]
        return [f"guard {name}" for name in alone or [guard.id for guard in self._policy.guards]]

    def _barring(self, rule: Rule, text: str) -> list[str]:
        alone = (word for word in rule.unless if not _match(self._variant([_only_unless(rule, word)]), text))
        return list(alone) or list(rule.unless)

    def _guarded_silence(self, text: str) -> str:
        held = {match.rule.id: match.rule for match in _misconduct(_match(self._unguarded, text))}
        if not held:
            return "没有任何 misconduct 规则的词与之相符"
        reasons = (f"{rule.id} 被 {'、'.join(self._holding(rule, text))} 挡住" for rule in held.values())
        return "；".join(reasons)


def _only_unless(rule: Rule, word: str) -> Rule:
    return rule.model_copy(update={"unless": (word,)})


def _match(engine: RuleEngine, text: str) -> list[RuleMatch]:
    return engine.match(complaint_from_text("example", text), normalise(text))


def _misconduct(matches: Iterable[RuleMatch]) -> list[RuleMatch]:
    return [match for match in matches if match.rule.supports.misconduct is not None]


def _named(matches: Iterable[RuleMatch], text: str) -> str:
    words = normalise(text).text
    return "、".join(f"{m.rule.id}「{words[m.span.start : m.span.end]}」" for m in matches)
