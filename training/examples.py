"""Labelled complaints as tensors: what the collator hands to the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from data.complaint import Complaint, LabelledComplaint
from data.taxonomy import Taxonomy
from data.text import Span
from models.tokens import NO_CLAUSE, Batch, ComplaintTokenizer, TokenisedComplaint, Windowing

UNLABELLED = -100
KEEP_A_QUOTE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A tokenised complaint with its targets. ``misconduct`` (types + 1,) and ``quoted`` (clauses, types + 1) end with
    the column that says whether anything is alleged at all; see ``MisconductHead``."""

    tokens: TokenisedComplaint
    misconduct: np.ndarray
    quoted: np.ndarray
    department: int
    urgency: int
    topic: int = UNLABELLED


def make_example(
    row: LabelledComplaint,
    tokenizer: ComplaintTokenizer,
    taxonomy: Taxonomy,
    topics: Sequence[str] = (),
    heard: Complaint | None = None,
) -> Example:
    """Targets by the taxonomy's order; unlabelled dimensions are NaN or -100. ``heard`` is what the model reads
    instead of the row's complaint, character for character as long."""
    tokens = tokenizer.tokenise(heard or row.complaint)
    labels, types = row.labels, taxonomy.misconduct_ids
    misconduct = np.full(len(types), np.nan, np.float32)
    if labels.misconduct is not None:
        misconduct[:] = [kind in labels.misconduct for kind in types]
    quoted = np.full((len(tokens.clauses), len(types)), np.nan, np.float32)
    for kind, quote in labels.evidence.items():
        at = row.complaint.text.find(quote)
        span = tokens.text.normalised(Span(at, at + len(quote)))
        quoted[:, types.index(kind)] = [_quoted(c.span, span) if c.alleges else np.nan for c in tokens.clauses]
    departments, cards = taxonomy.department_ids, taxonomy.card_ids
    return Example(
        tokens=tokens,
        misconduct=_with_alleged(misconduct),
        quoted=_with_alleged(quoted),
        department=departments.index(labels.department) if labels.department else UNLABELLED,
        urgency=cards.index(labels.urgency) if labels.urgency else UNLABELLED,
        topic=topics.index(labels.topic) if labels.topic else UNLABELLED,
    )


def _quoted(clause: Span, quote: Span) -> bool:
    """Whether the clause is quoted: the quote covers half of it or it covers half of the quote."""
    shared = min(clause.end, quote.end) - max(clause.start, quote.start)
    return shared > 0 and 2 * shared >= min(len(clause), len(quote))


def _with_alleged(types: np.ndarray) -> np.ndarray:
    """A last column: 1 where any type is 1, else 0 where some type is known to be 0."""
    some, known = (types == 1).any(axis=-1), ~np.isnan(types).all(axis=-1)
    alleged = np.where(some, 1.0, np.where(known, 0.0, np.nan)).astype(np.float32)
    return np.concatenate([types, alleged[..., None]], axis=-1)


def crop(example: Example, longest: int, random: np.random.Generator) -> Example:
    """A run of whole clauses of at most ``longest`` tokens, drawn anew each time, most often with a quoted clause.

    A type whose quote falls outside becomes unknown; so does whether anything is alleged, if nothing quoted is left.
    """
    if len(example.tokens) <= longest:
        return example
    owner = np.array(example.tokens.owner)
    quoted = np.flatnonzero((example.quoted == 1).any(axis=1))
    if len(quoted) and random.random() < KEEP_A_QUOTE:
        place = int(np.flatnonzero(owner == random.choice(quoted))[0])
        start = int(random.integers(max(0, place - longest // 2), place + 1))
    else:
        start = int(random.integers(0, len(owner) - longest // 2))
    clause = owner[start:][owner[start:] != NO_CLAUSE]
    if not len(clause):
        return example
    first = int(np.flatnonzero(owner == clause[0])[0])
    return _cut(example, first, _last(owner, first, longest))


def _last(owner: np.ndarray, first: int, longest: int) -> int:
    """Where the run ends: before the clause that would not fit, at least one clause later."""
    end = min(first + longest, len(owner))
    if end < len(owner) and owner[end] != NO_CLAUSE and owner[end] == owner[end - 1] != owner[first]:
        end = int(np.flatnonzero(owner == owner[end])[0])
    return end


def _cut(example: Example, first: int, end: int) -> Example:
    tokens = example.tokens
    owner = np.array(tokens.owner[first:end])
    kept = np.unique(owner[owner != NO_CLAUSE])
    types = example.misconduct[:-1].copy()
    lost = (example.quoted[:, :-1] == 1).any(axis=0) & ~(example.quoted[kept, :-1] == 1).any(axis=0)
    types[lost] = np.nan
    alleged = example.misconduct[-1] if not lost.any() or (types == 1).any() else np.nan
    return replace(
        example,
        tokens=replace(
            tokens,
            ids=tokens.ids[first:end],
            owner=tuple(np.where(owner == NO_CLAUSE, NO_CLAUSE, owner - kept[0]).tolist()),
            clauses=tuple(tokens.clauses[kept[0] : kept[-1] + 1]),
        ),
        misconduct=np.append(types, np.float32(alleged)),
        quoted=example.quoted[kept[0] : kept[-1] + 1],
    )


class Collator:
    """Makes one batch of the rows of a ``datasets.Dataset`` with the columns ``index`` and ``length``.

    ``masking`` is the share of tokens replaced by the mask token, ``longest`` how many tokens of a complaint are taken
    (see `crop`), ``noise`` gives another example in an example's place; all drawn anew for every batch.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        tokenizer: ComplaintTokenizer,
        windowing: Windowing,
        masking: float = 0.0,
        longest: int | None = None,
        noise: Callable[[int], Example | None] | None = None,
    ) -> None:
        self.examples, self._tokenizer, self.windowing, self.masking = examples, tokenizer, windowing, masking
        self._longest, self._noise = longest, noise

    def _masked(self, batch: Batch) -> Tensor:
        ids = torch.from_numpy(batch.input_ids)
        if not self.masking:
            return ids
        chosen = (torch.rand(ids.shape) < self.masking) & torch.from_numpy(batch.clause_index >= 0)
        return ids.masked_fill(chosen, self._tokenizer.mask)

    def _chosen(self, index: int) -> Example:
        example = (self._noise(index) if self._noise else None) or self.examples[index]
        if self._longest is None or len(example.tokens) <= self._longest:
            return example
        seed = int(torch.randint(2**31, (1,)))  # torch's state is what checkpoints restore
        return crop(example, self._longest, np.random.default_rng(seed))

    def __call__(self, rows: Sequence[dict[str, int]]) -> dict[str, Tensor]:
        chosen = [self._chosen(row["index"]) for row in rows]
        batch = self._tokenizer.collate([example.tokens for example in chosen], self.windowing)
        return {
            "input_ids": self._masked(batch),
            "attention_mask": torch.from_numpy(batch.attention_mask),
            "clause_index": torch.from_numpy(batch.clause_index),
            "clause_document": torch.from_numpy(batch.clause_document),
            "clause_alleges": torch.from_numpy(batch.clause_alleges),
            "misconduct": torch.from_numpy(np.stack([e.misconduct for e in chosen])),
            "quoted": torch.from_numpy(np.concatenate([e.quoted for e in chosen])),
            "department": torch.tensor([e.department for e in chosen]),
            "urgency": torch.tensor([e.urgency for e in chosen]),
            "topic": torch.tensor([e.topic for e in chosen]),
        }
