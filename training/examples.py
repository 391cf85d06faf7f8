"""Labelled complaints as tensors: what the collator hands to the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data.complaint import LabelledComplaint
from data.taxonomy import Taxonomy
from data.text import Span
from models.tokens import Batch, ComplaintTokenizer, TokenisedComplaint, Windowing

UNLABELLED = -100


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A tokenised complaint with its targets; ``quoted`` is (clauses, types), see ``MisconductHead.evidence_loss``."""

    tokens: TokenisedComplaint
    misconduct: np.ndarray
    quoted: np.ndarray
    department: int
    urgency: int


def make_example(row: LabelledComplaint, tokenizer: ComplaintTokenizer, taxonomy: Taxonomy) -> Example:
    """Targets by the taxonomy's order; unlabelled dimensions are NaN or -100."""
    tokens = tokenizer.tokenise(row.complaint)
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
        misconduct=misconduct,
        quoted=quoted,
        department=departments.index(labels.department) if labels.department else UNLABELLED,
        urgency=cards.index(labels.urgency) if labels.urgency else UNLABELLED,
    )


def _quoted(clause: Span, quote: Span) -> bool:
    """Whether the clause is quoted: the quote covers half of it or it covers half of the quote."""
    shared = min(clause.end, quote.end) - max(clause.start, quote.start)
    return shared > 0 and 2 * shared >= min(len(clause), len(quote))


class Collator:
    """Makes one batch of the rows of a ``datasets.Dataset`` with the columns ``index`` and ``length``.

    ``masking`` is the share of tokens replaced by the mask token, drawn anew for every batch.
    """

    def __init__(
        self, examples: Sequence[Example], tokenizer: ComplaintTokenizer, windowing: Windowing, masking: float = 0.0
    ) -> None:
        self.examples, self._tokenizer, self.windowing, self.masking = examples, tokenizer, windowing, masking

    def _masked(self, batch: Batch) -> Tensor:
        ids = torch.from_numpy(batch.input_ids)
        if not self.masking:
            return ids
        chosen = (torch.rand(ids.shape) < self.masking) & torch.from_numpy(batch.clause_index >= 0)
        return ids.masked_fill(chosen, self._tokenizer.mask)

    def __call__(self, rows: Sequence[dict[str, int]]) -> dict[str, Tensor]:
        chosen = [self.examples[row["index"]] for row in rows]
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
        }
