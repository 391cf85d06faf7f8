"""Keyword rules: multi-pattern matching over normalised text, with context, exclusions and guards.

The rules themselves are policy (``data/policy/rules``); this module only says how they match.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import ahocorasick
import jieba

from data.complaint import Complaint, Speaker
from data.policy_files import Guard, Policy, Rule
from data.text import CLAUSE_END, SENTENCE_END, NormalisedText, Span, normalise

GAP = "…"
LONGEST_GAP = 8
SHORT_TERM = 2
GUARD_REACH = {"clause": 12, "sentence": 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleMatch:
    """A rule that fired, with the matched words as a span of the normalised text."""

    rule: Rule
    span: Span


class Dictionary:
    """jieba with the domain words; answers where words begin and end."""

    def __init__(self, words: Sequence[str]) -> None:
        self._tokenizer = jieba.Tokenizer()
        self._words = words

    @cached_property
    def _ready(self) -> jieba.Tokenizer:
        jieba.setLogLevel("ERROR")
        self._tokenizer.initialize()
        for word in self._words:
            self._tokenizer.add_word(word)
        return self._tokenizer

    def boundaries(self, text: str) -> frozenset[int]:
        """Offsets at which a word begins or ends."""
        return frozenset(edge for _, start, end in self._ready.tokenize(text) for edge in (start, end))


class _Text:
    """A normalised text with what matching asks of it."""

    def __init__(self, text: NormalisedText, complaint: Complaint, dictionary: Dictionary) -> None:
        self.text = "".join(c.lower() if len(c.lower()) == 1 else c for c in text.text)
        self._dictionary = dictionary
        self._clause_ends = [i + 1 for i, c in enumerate(self.text) if c in CLAUSE_END]
        self._sentence_ends = [i + 1 for i, c in enumerate(self.text) if c in SENTENCE_END]
        self._utterances = [(text.normalised(u.span), u.speaker) for u in complaint.utterances]

    def _around(self, ends: list[int], position: int) -> Span:
        at = bisect_right(ends, position)
        return Span(ends[at - 1] if at else 0, ends[at] if at < len(ends) else len(self.text))

    def clause(self, position: int) -> Span:
        return self._around(self._clause_ends, position)

    def reach(self, reach: str, span: Span) -> Span:
        if reach == "text":
            return Span(0, len(self.text))
        return self.clause(span.start) if reach == "clause" else self._around(self._sentence_ends, span.start)

    def by_citizen(self, span: Span) -> bool:
        return any(u.overlaps(span) and speaker is Speaker.CITIZEN for u, speaker in self._utterances)

    @cached_property
    def _boundaries(self) -> frozenset[int]:
        return self._dictionary.boundaries(self.text)

    def is_word(self, span: Span) -> bool:
        return span.start in self._boundaries and span.end in self._boundaries


def _phrase(term: str) -> re.Pattern[str]:
    """A term as a pattern: ``…`` is up to eight characters within the clause."""
    gap = rf"[^{re.escape(CLAUSE_END)}]{{0,{LONGEST_GAP}}}?"
    return re.compile(gap.join(re.escape(part) for part in _parts(term)))


def _literal(term: str) -> str:
    return max(_parts(term), key=len)


def _parts(term: str) -> list[str]:
    """Split first: normalising turns the gap mark itself into three full stops."""
    return [normalise(part).text.lower() for part in term.split(GAP) if part]


class _Guarding:
    """The guards, compiled."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self._guards = [
            (guard, re.compile("|".join(_phrase(cue).pattern for cue in sorted(guard.cues, key=len, reverse=True))),
             re.compile("|".join(_phrase(e).pattern for e in guard.exceptions)) if guard.exceptions else None)
            for guard in guards
        ]  # fmt: skip

    def holds_back(self, text: _Text, rule: Rule, span: Span) -> str | None:
        """The id of a guard that keeps this match from counting."""
        for guard, cues, exceptions in self._guards:
            if guard.kind in rule.unguarded:
                continue
            for region in self._regions(guard, text, span):
                excepted = [m.span() for m in exceptions.finditer(text.text)] if exceptions else []
                for cue in cues.finditer(text.text, region.start, region.end):
                    if not any(start <= cue.start() and cue.end() <= end for start, end in excepted):
                        return guard.id
        return None

    def _regions(self, guard: Guard, text: _Text, span: Span) -> Iterator[Span]:
        around, far = text.reach(guard.reach, span), GUARD_REACH[guard.reach]
        if guard.where in ("before", "around"):
            yield Span(min(max(around.start, span.start - far), span.start), span.start)
        if guard.where in ("after", "around"):
            yield Span(span.end, max(min(around.end, span.end + far), span.end))


class RuleEngine:
    """All rules of a policy, ready to match."""

    def __init__(self, policy: Policy) -> None:
        self.rules = policy.rules
        terms = [word for rule in policy.rules for word in rule.terms if GAP not in word and len(word) <= 6]
        self.dictionary = Dictionary((*policy.dictionary, *terms))
        self._guarding = _Guarding(policy.guards)
        self._phrases = [[_phrase(term) for term in rule.terms] for rule in policy.rules]
        self._needs = [[_phrase(word) for word in rule.context] for rule in policy.rules]
        self._bars = [[_phrase(word) for word in rule.unless] for rule in policy.rules]
        keys: dict[str, list[tuple[int, int]]] = {}
        for number, rule in enumerate(policy.rules):
            for rank, term in enumerate(rule.terms):
                keys.setdefault(_literal(term), []).append((number, rank))
        self._automaton = ahocorasick.Automaton()
        for literal, uses in keys.items():
            self._automaton.add_word(literal, (len(literal), uses))
        if keys:
            self._automaton.make_automaton()

    def match(self, complaint: Complaint, text: NormalisedText) -> list[RuleMatch]:
        """Every rule that fires, each with its matches in order; overlapping matches of one rule count once."""
        if not len(self._automaton):
            return []
        view = _Text(text, complaint, self.dictionary)
        found: dict[int, list[Span]] = {}
        for number, rank, clause in self._candidates(view):
            for hit in self._phrases[number][rank].finditer(view.text, clause.start, clause.end):
                span = Span(*hit.span())
                taken = found.setdefault(number, [])
                if not any(span.overlaps(other) for other in taken) and self._counts(view, number, rank, span):
                    taken.append(span)
        return [
            RuleMatch(rule=self.rules[number], span=span)
            for number in sorted(found)
            for span in sorted(found[number], key=lambda s: s.start)
        ]

    def _candidates(self, view: _Text) -> Iterator[tuple[int, int, Span]]:
        seen: set[tuple[int, int, int]] = set()
        for last, (length, uses) in self._automaton.iter(view.text):
            clause = view.clause(last - length + 1)
            for number, rank in uses:
                if (number, rank, clause.start) not in seen:
                    seen.add((number, rank, clause.start))
                    yield number, rank, clause

    def _counts(self, view: _Text, number: int, rank: int, span: Span) -> bool:
        rule = self.rules[number]
        term = rule.terms[rank]
        if GAP not in term and len(term) <= SHORT_TERM and not view.is_word(span):
            return False
        within = view.reach(rule.reach, span)
        if self._needs[number] and not self._any(self._needs[number], view, within):
            return False
        if self._any(self._bars[number], view, within):
            return False
        if rule.supports.department is not None:
            return True
        return view.by_citizen(span) and self._guarding.holds_back(view, rule, span) is None

    @staticmethod
    def _any(phrases: Sequence[re.Pattern[str]], view: _Text, within: Span) -> bool:
        return any(phrase.search(view.text, within.start, within.end) for phrase in phrases)
