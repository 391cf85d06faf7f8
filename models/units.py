"""Concrete units named in a text: names and aliases of the directory."""

from dataclasses import dataclass

import ahocorasick

from data.policy_schema import Policy, Unit
from data.text import NormalisedText, Span, normalise


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitMention:
    """A unit of the directory and where the normalised text names it."""

    unit: Unit
    span: Span


class UnitFinder:
    """Finds units by name or alias; of overlapping names the longest counts."""

    def __init__(self, policy: Policy) -> None:
        self._automaton = ahocorasick.Automaton()
        for unit in policy.units.values():
            for name in (unit.zh, *unit.aliases):
                key = normalise(name).text
                self._automaton.add_word(key, (len(key), unit))
        if len(self._automaton):
            self._automaton.make_automaton()

    def find(self, text: NormalisedText) -> list[UnitMention]:
        """Mentions in order of the text."""
        if not len(self._automaton):
            return []
        return [
            UnitMention(unit=unit, span=Span(last - length + 1, last + 1))
            for last, (length, unit) in self._automaton.iter_long(text.text)
        ]
