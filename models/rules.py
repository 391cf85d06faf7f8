"""Keyword rules: multi-pattern matching over normalised text, with context, exclusions and guards.

The rules themselves are policy (``data/policy/rules``); this module only says how they match.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import itemgetter
from threading import Lock, Timer

import ahocorasick
import jieba

from data.complaint import Complaint, Speaker
from data.policy_schema import Guard, Policy, Rule
from data.text import CLAUSE_END, SENTENCE_END, NormalisedText, Span
from models.phrases import GAP, Phrase, pattern

SHORT_TERM = 2
_LOADING = Lock()
COMMON = 5000  # a frequency that makes jieba keep a word whole
GUARD_REACH = {"clause": 12, "sentence": 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleMatch:
    """A rule that fired, with the matched words as a span of the normalised text."""

    rule: Rule
    span: Span


@lru_cache(maxsize=2)
def _jieba(words: tuple[str, ...]) -> jieba.Tokenizer:
    """jieba with further words; loading takes most of a second, so equal dictionaries share one."""
    jieba.setLogLevel("ERROR")
    tokenizer = jieba.Tokenizer()
    tokenizer.initialize()
    for word in words:
        tokenizer.add_word(word, max(COMMON, tokenizer.FREQ.get(word, 0)))
    return tokenizer


class Dictionary:
    """jieba with the domain words; answers where words begin and end."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)

    @cached_property
    def _tokenizer(self) -> jieba.Tokenizer:
        with _LOADING:
            return _jieba(self._words)

    def boundaries(self, text: str) -> frozenset[int]:
        """Offsets at which a word begins or ends."""
        return frozenset(edge for _, start, end in self._tokenizer.tokenize(text) for edge in (start, end))

    def warm_up(self, after: float) -> None:
        """Load jieba in the background, ``after`` so many seconds: loading holds the interpreter for most of a second,
        which should delay neither a start nor the first complaint."""
        timer = Timer(after, self.boundaries, ("",))
        timer.daemon = True
        timer.start()


class _Text:
    """A normalised text with what matching asks of it."""

    def __init__(self, text: NormalisedText, complaint: Complaint, dictionary: Dictionary) -> None:
        self.text = _lowered(text.text)
        self._dictionary = dictionary
        self._found: dict[re.Pattern[str], list[tuple[int, int]]] = {}
        self._words: dict[int, frozenset[int]] = {}
        self.fits: dict[tuple[int, int], bool] = {}
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

    def found(self, sought: re.Pattern[str]) -> list[tuple[int, int]]:
        """Where the pattern stands in the text; looked for once, as a long text asks again for every match."""
        if sought not in self._found:
            self._found[sought] = [match.span() for match in sought.finditer(self.text)]
        return self._found[sought]

    def by_citizen(self, span: Span) -> bool:
        return any(u.overlaps(span) and speaker is Speaker.CITIZEN for u, speaker in self._utterances)

    @cached_property
    def _blocks(self) -> list[tuple[int, int]]:
        """The stretches that jieba cuts into words, each by itself."""
        return [match.span() for match in jieba.re_han_default.finditer(self.text)]

    def _is_edge(self, position: int) -> bool:
        at = bisect_left(self._blocks, position, key=itemgetter(1))
        start, end = self._blocks[at] if at < len(self._blocks) else (position, position)
        if not start < position < end:
            return True
        if start not in self._words:
            self._words[start] = self._dictionary.boundaries(self.text[start:end])
        return position - start in self._words[start]

    def is_word(self, span: Span) -> bool:
        return self._is_edge(span.start) and self._is_edge(span.end)


def _lowered(text: str) -> str:
    """In lower case and of the same length, each character by itself."""
    lowered = text.lower()
    if len(lowered) == len(text) and "Σ" not in text:
        return lowered
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _any_of(phrases: Sequence[str]) -> re.Pattern[str]:
    """One pattern for all phrases, the longest first."""
    return re.compile("|".join(pattern(Phrase.of(words)).pattern for words in sorted(phrases, key=len, reverse=True)))


def _start(span: Span) -> int:
    return span.start


class _Guarding:
    """The guards, compiled."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self._guards = [
            (guard, _any_of(guard.cues), _any_of(guard.exceptions) if guard.exceptions else None) for guard in guards
        ]

    def holds_back(self, text: _Text, rule: Rule, span: Span) -> str | None:
        """The id of a guard that keeps this match from counting."""
        for guard, cues, exceptions in self._guards:
            if guard.kind in rule.unguarded:
                continue
            excepted = text.found(exceptions) if exceptions else []
            for region in self._regions(guard, text, span):
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
        terms = [term for rule in policy.rules for term in rule.terms if GAP not in term and len(term) <= SHORT_TERM]
        self.dictionary = Dictionary((*policy.dictionary, *terms))
        self._guarding = _Guarding(policy.guards)
        self._phrases = [[Phrase.of(term) for term in rule.terms] for rule in policy.rules]
        self._needs = [[Phrase.of(word) for word in rule.context] for rule in policy.rules]
        self._bars = [[Phrase.of(word) for word in rule.unless] for rule in policy.rules]
        keys: dict[str, list[tuple[int, int]]] = {}
        for number, phrases in enumerate(self._phrases):
            for rank, phrase in enumerate(phrases):
                keys.setdefault(phrase.literal, []).append((number, rank))
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
            for span in self._phrases[number][rank].spans(view.text, clause):
                taken = found.setdefault(number, [])
                at = bisect_right(taken, span.start, key=_start)
                if not any(span.overlaps(other) for other in taken[max(at - 1, 0) : at + 1]) and self._counts(
                    view, number, rank, span
                ):
                    taken.insert(at, span)
        return [RuleMatch(rule=self.rules[number], span=span) for number in sorted(found) for span in found[number]]

    def _candidates(self, view: _Text) -> Iterator[tuple[int, int, Span]]:
        seen: set[tuple[int, int, int]] = set()
        for last, (length, uses) in self._automaton.iter(view.text):
            clause = view.clause(last - length + 1)
            for number, rank in uses:
                if (number, rank, clause.start) not in seen:
                    seen.add((number, rank, clause.start))
                    yield number, rank, clause

    def _counts(self, view: _Text, number: int, rank: int, span: Span) -> bool:
        """What takes longest to find out is asked last."""
        rule, phrase = self.rules[number], self._phrases[number][rank]
        if not self._fits(view, number, view.reach(rule.reach, span)):
            return False
        names_department = rule.supports.department is not None
        if not names_department and not view.by_citizen(span):
            return False
        if not phrase.has_gap and len(phrase.literal) <= SHORT_TERM and not view.is_word(span):
            return False
        return names_department or self._guarding.holds_back(view, rule, span) is None

    def _fits(self, view: _Text, number: int, within: Span) -> bool:
        """Whether context and exclusions allow rule ``number`` within this stretch; looked for once per stretch."""
        known = view.fits.get((number, within.start))
        if known is None:
            needs = self._needs[number]
            met = not needs or self._any(needs, view, within)
            known = view.fits[number, within.start] = met and not self._any(self._bars[number], view, within)
        return known

    @staticmethod
    def _any(phrases: Sequence[Phrase], view: _Text, within: Span) -> bool:
        return any(phrase.occurs(view.text, within) for phrase in phrases)
