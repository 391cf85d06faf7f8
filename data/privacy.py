"""Personal data in a complaint: where it stands, and the text without it.

Hidden is what tells who complains or how to reach a private person. Names of officials and units, places down to the
community, money, dates, document numbers and public hotlines stay: the complaint is about them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from data.personal_addresses import ADDRESSES
from data.personal_names import NAMES
from data.personal_numbers import NUMBERS, SPOKEN
from data.personal_pattern import PersonalKind, PersonalPattern
from data.text import NormalisedText, Span, normalise

MASK = "*"
PATTERNS: tuple[PersonalPattern, ...] = (*NUMBERS, *ADDRESSES, *NAMES)
_HIDEABLE = re.compile(r"[^\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalSpan:
    """A piece of personal data: what it is, and where it stands in the original text."""

    kind: PersonalKind
    span: Span


def personal_spans(text: str) -> list[PersonalSpan]:
    """Every piece of personal data in ``text``, from the start; pieces of different kinds may overlap."""
    normalised = normalise(text)
    found = {(kind, normalised.original(span)) for kind, span in _search(normalised)}
    return [
        PersonalSpan(kind=kind, span=span)
        for kind, span in sorted(found, key=lambda one: (one[1].start, one[1].end, one[0]))
    ]


def redact(text: str) -> str:
    """``text`` with each character of its personal data as ``*``, line breaks kept: offsets stay valid."""
    characters = list(text)
    for personal in personal_spans(text):
        start, end = personal.span.start, personal.span.end
        characters[start:end] = _HIDEABLE.sub(MASK, text[start:end])
    return "".join(characters)


def _search(normalised: NormalisedText) -> Iterator[tuple[PersonalKind, Span]]:
    figures = normalised.text.translate(SPOKEN)
    everywhere: dict[str, PersonalKind] = {}
    for pattern in PATTERNS:
        for match in pattern.regex.finditer(figures if pattern.digits else normalised.text):
            if not pattern.check(match):
                continue
            span = Span(*match.span(pattern.group if match[pattern.group] is not None else 0))
            yield pattern.kind, span
            if pattern.everywhere:
                names = re.split("[、,，]", normalised.text[span.start : span.end])
                everywhere.update(dict.fromkeys(names, pattern.kind))
    if everywhere:
        known = re.compile("|".join(map(re.escape, sorted(everywhere, key=len, reverse=True))))
        yield from ((everywhere[match[0]], Span(*match.span())) for match in known.finditer(normalised.text))
