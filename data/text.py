"""Normalisation with a map back to the original, and the cutting of text into sentences and clauses.

Everything that reads a complaint (rules, model) reads the normalised text; everything that is shown to a person is
mapped back to the original, because normalisation changes lengths (NFKC turns one ㎡ into m2).
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from opencc import OpenCC

SENTENCE_END = "。！!？?；;\n"
CLAUSE_END = SENTENCE_END + "，,"
ENDED = ("。", "!", "?", ";")
LONGEST_CLAUSE = 40
FOLDED = {ord(pronoun): "他" for pronoun in "她它牠祂"}  # models read one pronoun for all
_SPACES = re.compile(r"[ \t]+")
_EDGES = CLAUSE_END + " \t"


def _piece(enders: str) -> re.Pattern[str]:
    return re.compile(f"[^{enders}]++[{enders}]?|[{enders}]")


_SENTENCE, _CLAUSE = _piece(SENTENCE_END), _piece(CLAUSE_END)


@lru_cache(maxsize=1)
def _converter() -> OpenCC:
    return OpenCC("t2s")


@lru_cache(maxsize=65536)
def _normalise_character(character: str) -> str:
    category = unicodedata.category(character)
    if character not in "\n\t" and category in {"Cc", "Cf", "Cs", "Co", "Cn"}:
        return ""
    text = unicodedata.normalize("NFKC", character)
    if "\u3400" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff":
        simplified = str(_converter().convert(text))
        return simplified if len(simplified) == len(text) else text
    return text


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of code points, ``start`` inclusive and ``end`` exclusive."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"not a span: {self.start}..{self.end}")

    def __len__(self) -> int:
        return self.end - self.start

    def overlaps(self, other: "Span") -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class NormalisedText:
    """Normalised text and, for each of its characters, the index of the original character it comes from."""

    text: str
    origins: tuple[int, ...]
    original_length: int

    def original(self, span: Span) -> Span:
        """The span of the original text that ``span`` of the normalised text stands for."""
        if not len(span):
            at = self.origins[span.start] if span.start < len(self.origins) else self.original_length
            return Span(at, at)
        return Span(self.origins[span.start], self.origins[span.end - 1] + 1)

    def normalised(self, span: Span) -> Span:
        """The span of the normalised text that covers ``span`` of the original."""
        return Span(bisect_left(self.origins, span.start), bisect_left(self.origins, span.end))


def normalised_words(words: str) -> str:
    """Normalised text alone, for words that are looked up rather than pointed at."""
    return "".join(map(_normalise_character, words))


def normalise(original: str) -> NormalisedText:
    """NFKC character by character (full-width to half-width, but Chinese full stops stay), traditional to simplified,
    invisible characters dropped, line ends as ``\\n``, and any number of exclamation marks as one full stop: how loudly
    something is said must not change what it is."""
    pieces = list(map(_normalise_character, original))
    if "!" not in pieces and set(map(len, pieces)) <= {1}:
        return NormalisedText("".join(pieces), tuple(range(len(pieces))), len(original))
    origins: list[int] = []
    last = ""
    for index, character in enumerate(original):
        if character == "\r":
            pieces[index] = "" if original[index + 1 : index + 2] == "\n" else "\n"
        elif pieces[index] == "!":
            pieces[index] = "" if last in ENDED else "。"
        last = pieces[index] or last
        origins.extend([index] * len(pieces[index]))
    return NormalisedText("".join(pieces), tuple(origins), len(original))


def _cut(text: str, within: Span, piece: re.Pattern[str]) -> list[Span]:
    return [Span(*match.span()) for match in piece.finditer(text, within.start, within.end)]


def sentences(text: str, within: Span | None = None) -> list[Span]:
    """Sentences of ``text``, ending punctuation included; together they cover it."""
    within = within or Span(0, len(text))
    return _cut(text, within, _SENTENCE)


def clauses(text: str, within: Span | None = None) -> list[Span]:
    """Clauses of ``text`` without surrounding blanks and punctuation, the units that carry evidence.

    Transcripts often have no punctuation: a clause of more than 40 characters is cut at blanks, then evenly.
    """
    within = within or Span(0, len(text))
    cut = (part for piece in _cut(text, within, _CLAUSE) for part in _shorten(text, piece))
    return [span for span in (_strip(text, part) for part in cut) if len(span)]


def _shorten(text: str, span: Span) -> Iterator[Span]:
    if len(span) <= LONGEST_CLAUSE:
        yield span
        return
    blanks = [m.end() for m in _SPACES.finditer(text, span.start, span.end)]
    edges = [span.start, *blanks, span.end]
    for start, end in pairwise(edges):
        parts = -(-(end - start) // LONGEST_CLAUSE) or 1
        for part in range(parts):
            yield Span(start + (end - start) * part // parts, start + (end - start) * (part + 1) // parts)


def _strip(text: str, span: Span) -> Span:
    words = text[span.start : span.end].lstrip(_EDGES)
    start = span.end - len(words)
    return Span(start, start + len(words.rstrip(_EDGES)))
