"""Evidence: which words of the original text stand behind a tag, found by the model or by a rule."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.complaint import Complaint
from data.taxonomy import Taxonomy
from data.text import NormalisedText, Span

if TYPE_CHECKING:
    from models.triage import Reading

LONGEST = 34
NEIGHBOURS = 3
NEIGHBOUR_GAP = 4.0
CLAIM_WEIGHT = 0.8


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
        encoder = reading.logits.clause_misconduct[:, index]
        return self._gather(reading, encoder + _claimed(reading, index), found, convinced=bool((encoder > 0).any()))

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
        highest = float(lead.max(initial=0))
        return self._gather(reading, lead, found, convinced=highest > 0, gap=highest / 2)

    def urgency(self, reading: "Reading", rank: int) -> tuple[Evidence, ...]:
        """The clauses and rules that raised the card to ``rank``; none for the lowest card."""
        if rank == 0:
            return ()
        found = self._by_rules(reading, "urgency", set(self.taxonomy.card_ids[rank:]))
        scores = reading.logits.clause_urgency[:, rank - 1]
        return self._gather(reading, scores, found, convinced=bool((scores > 0).any()))

    def _by_rules(self, reading: "Reading", dimension: str, labels: set[str]) -> list[tuple[Span, str]]:
        return [
            (match.span, f"rule:{match.rule.id}")
            for match in reading.matches
            if match.rule.supports.label[0] == dimension and match.rule.supports.label[1] in labels
        ]

    def _gather(
        self,
        reading: "Reading",
        scores: np.ndarray,
        found: list[tuple[Span, str]],
        *,
        convinced: bool,
        gap: float = NEIGHBOUR_GAP,
    ) -> tuple[Evidence, ...]:
        """The model's clauses, where it is convinced or nothing else speaks for the tag, then what rules found."""
        speaks = scores.any() and (convinced or not found)
        spans = [(span, "model") for span in _peak(reading, scores, gap)] if speaks else []
        return tuple(_evidence(reading.complaint, reading.tokens.text, span, source) for span, source in spans + found)


def _claimed(reading: "Reading", index: int) -> np.ndarray:
    """For every clause the weighed n-gram score of the best pair of clauses that it belongs to; 0 where in none."""
    spans = [clause.span for clause in reading.tokens.clauses]
    ends = [span.end for span in spans]
    best = np.full(len(spans), -np.inf)
    for claim, score in zip(reading.claims, reading.claimed[:, index], strict=True):
        place = bisect_right(ends, claim.start)
        while place < len(spans) and spans[place].start < claim.end:
            best[place] = max(best[place], score)
            place += 1
    return np.where(np.isfinite(best), CLAIM_WEIGHT * best, 0.0)


def _peak(reading: "Reading", scores: np.ndarray, gap: float) -> Iterable[Span]:
    """The highest clause, widened by neighbours of the same utterance that score at most ``gap`` less and fit."""
    clauses = reading.tokens.clauses
    if not len(clauses):
        return
    top = first = last = int(scores.argmax())
    for _ in range(NEIGHBOURS):
        near = [i for i in (first - 1, last + 1) if 0 <= i < len(clauses) and scores[i] >= scores[top] - gap]
        near = [i for i in near if _fits(reading, _span(reading, min(first, i), max(last, i)))]
        if not near:
            break
        chosen = max(near, key=lambda i: scores[i])
        first, last = min(first, chosen), max(last, chosen)
    yield _span(reading, first, last)


def _span(reading: "Reading", first: int, last: int) -> Span:
    clauses = reading.tokens.clauses
    return Span(clauses[first].span.start, clauses[last].span.end)


def _fits(reading: "Reading", joined: Span) -> bool:
    return len(joined) <= LONGEST and _together(reading, joined)


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
