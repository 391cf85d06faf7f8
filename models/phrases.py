"""Phrases as clerks write them: literal words, with ``…`` for up to eight characters within one clause."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from data.text import CLAUSE_END, Span, normalised_words

GAP = "…"
LONGEST_GAP = 8


@dataclass(frozen=True, slots=True)
class Phrase:
    """The literal parts of a phrase, normalised and in lower case."""

    parts: tuple[str, ...]

    @classmethod
    def of(cls, words: str) -> "Phrase":
        """Split first: normalising turns the gap mark itself into three full stops."""
        return cls(tuple(normalised_words(part).lower() for part in words.split(GAP) if part))

    @property
    def literal(self) -> str:
        """The longest part, which every occurrence contains."""
        return max(self.parts, key=len)

    @property
    def has_gap(self) -> bool:
        return len(self.parts) > 1

    def spans(self, text: str, within: Span) -> Iterator[Span]:
        """Occurrences that do not overlap, in order."""
        if self.has_gap:
            yield from (Span(*match.span()) for match in pattern(self).finditer(text, within.start, within.end))
            return
        literal, start = self.parts[0], within.start
        while (at := text.find(literal, start, within.end)) >= 0:
            start = at + len(literal)
            yield Span(at, start)

    def occurs(self, text: str, within: Span) -> bool:
        return next(self.spans(text, within), None) is not None


@cache
def pattern(phrase: Phrase) -> re.Pattern[str]:
    """The phrase as a regular expression; compiled when first needed, as there are thousands."""
    gap = rf"[^{re.escape(CLAUSE_END)}]{{0,{LONGEST_GAP}}}?"
    return re.compile(gap.join(map(re.escape, phrase.parts)))
