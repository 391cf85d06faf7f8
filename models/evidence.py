"""Evidence: which words of the original text stand behind a tag, found by the model or by a rule."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.complaint import Complaint
from data.taxonomy import Taxonomy
from data.text import NormalisedText, Span

if TYPE_CHECKING:
    from models.triage import Reading

LONGEST = 48
NEIGHBOUR_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A span of the original text; of a complaint given as turns, a span within turn ``turn``."""

    start: int
    end: int
    text: str
    source: str
    turn: int | None = None


class EvidenceFinder:
    """Finds the evidence for decided tags."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy

    def misconduct(self, reading: "Reading", index: int) -> tuple[Evidence, ...]:
        """The clauses that carry type ``index``, then the rules that fired for it."""
        found = self._by_rules(reading, "misconduct", {self.taxonomy.misconduct_ids[index]})
        return self._gather(reading, reading.logits.clause_misconduct[:, index], found)

    def department(self, reading: "Reading", index: int) -> tuple[Evidence, ...]:
        """The clauses that speak for department ``index`` above all others, the rules, and named units."""
        scores = reading.logits.clause_department
        lead = scores[:, index] - scores.mean(axis=1) if len(scores) else np.zeros(0)
        department = self.taxonomy.department_ids[index]
        found = self._by_rules(reading, "department", {department})
        found += [
            (mention.span, f"rule:unit:{mention.unit.id}")
            for mention in reading.mentions
            if mention.unit.department == department
        ]
        return self._gather(reading, lead, found)

    def urgency(self, reading: "Reading", rank: int) -> tuple[Evidence, ...]:
        """The clauses and rules that raised the card to ``rank``; none for the lowest card."""
        if rank == 0:
            return ()
        found = self._by_rules(reading, "urgency", set(self.taxonomy.card_ids[rank:]))
        return self._gather(reading, reading.logits.clause_urgency[:, rank - 1], found)

    def _by_rules(self, reading: "Reading", dimension: str, labels: set[str]) -> list[tuple[Span, str]]:
        return [
            (match.span, f"rule:{match.rule.id}")
            for match in reading.matches
            if match.rule.supports.label[0] == dimension and match.rule.supports.label[1] in labels
        ]

    def _gather(self, reading: "Reading", scores: np.ndarray, found: list[tuple[Span, str]]) -> tuple[Evidence, ...]:
        convinced = not found or bool((scores > 0).any())
        spans = [(span, "model") for span in _peak(reading, scores)] if convinced else []
        return tuple(_evidence(reading.complaint, reading.tokens.text, span, source) for span, source in spans + found)


def _peak(reading: "Reading", scores: np.ndarray) -> Iterable[Span]:
    """The highest clause, with a neighbour of the same utterance that scores at least half as high and fits."""
    clauses = reading.tokens.clauses
    if not len(clauses):
        return
    top = int(scores.argmax())
    span = clauses[top].span
    if scores[top] > 0:
        for near in sorted((i for i in (top - 1, top + 1) if 0 <= i < len(clauses)), key=lambda i: -scores[i]):
            joined = Span(min(span.start, clauses[near].span.start), max(span.end, clauses[near].span.end))
            if _together(reading, joined) and scores[near] >= NEIGHBOUR_SHARE * scores[top] and len(joined) <= LONGEST:
                span = joined
                break
    yield span


def _together(reading: "Reading", joined: Span) -> bool:
    """Whether the span is of one utterance and one line."""
    text = reading.tokens.text
    spoken = (text.normalised(utterance.span) for utterance in reading.complaint.utterances)
    one = any(span.start <= joined.start and joined.end <= span.end for span in spoken)
    return one and "\n" not in text.text[joined.start : joined.end]


def _evidence(complaint: Complaint, text: NormalisedText, span: Span, source: str) -> Evidence:
    original = text.original(span)
    words = complaint.text[original.start : original.end]
    if not complaint.from_turns:
        return Evidence(start=original.start, end=original.end, text=words, source=source)
    turn = next(i for i, u in enumerate(complaint.utterances) if original.start < u.span.end)
    base = complaint.utterances[turn].span.start
    return Evidence(start=original.start - base, end=original.end - base, text=words, source=source, turn=turn)
