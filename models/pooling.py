"""Token scores to clause scores to document logits, without torch: the twin of the pooling in ``models.heads``."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.tokens import NO_CLAUSE, Batch

Array = NDArray[np.float32]
NEVER = -20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Logits:
    """Of one complaint. Clause parts are what the document's logits are made of, and serve as evidence.

    Shapes: ``misconduct`` (types,), ``department`` (departments,), ``urgency`` (cards - 1,); ``alleged`` is one
    number, for whether anything is alleged at all;
    ``clause_misconduct`` (C, types), ``clause_department`` (C, departments; already weighed by attention),
    ``clause_urgency`` (C, cards - 1). C is 0 where a text has no clause.
    """

    misconduct: Array
    alleged: float
    department: Array
    urgency: Array
    clause_misconduct: Array
    clause_department: Array
    clause_urgency: Array


def silence(clauses: int, *, types: int, departments: int, steps: int) -> Logits:
    """What an encoder that cannot run says of a complaint: nothing, clause by clause."""
    return Logits(
        misconduct=np.zeros(types, np.float32), alleged=0.0, department=np.zeros(departments, np.float32),
        urgency=np.zeros(steps, np.float32), clause_misconduct=np.zeros((clauses, types), np.float32),
        clause_department=np.zeros((clauses, departments), np.float32),
        clause_urgency=np.zeros((clauses, steps), np.float32),
    )  # fmt: skip


def _softmax(values: Array) -> Array:
    raised: Array = np.exp(values - values.max(axis=0, keepdims=True))
    return np.asarray(raised / raised.sum(axis=0, keepdims=True), np.float32)


def _peak(scores: Array) -> Array:
    weighed: Array = (_softmax(scores) * scores).sum(axis=0)
    return weighed


def pool(token_scores: Array, batch: Batch, *, types: int, departments: int) -> list[Logits]:
    """Logits of every document of the batch from ``token_scores`` (W, T, types + 1 + 1 + departments + steps)."""
    owned = batch.clause_index >= 0
    index, count = batch.clause_index[owned], len(batch.clause_document)
    sums = np.zeros((count, token_scores.shape[-1]), np.float32)
    runs = np.flatnonzero(np.diff(index, prepend=NO_CLAUSE))
    if len(runs):  # a clause's tokens mostly stand together, and adding up runs is faster than adding up tokens
        np.add.at(sums, index[runs], np.add.reduceat(token_scores[owned], runs, axis=0))
    scores = sums / np.maximum(np.bincount(index, minlength=count), 1)[:, None]
    scores = scores.astype(np.float32)
    return [
        _document(scores[rows], batch.clause_alleges[rows], types, departments)
        for rows in (batch.clause_document == number for number in range(batch.documents))
    ]


def _document(scores: Array, alleges: NDArray[np.bool_], types: int, departments: int) -> Logits:
    claims, attention = scores[:, : types + 1], scores[:, types + 1 : types + 2]
    department, urgency = scores[:, types + 2 : types + 2 + departments], scores[:, types + 2 + departments :]
    if not len(scores):
        nothing = np.zeros(departments, np.float32)
        low = np.full(urgency.shape[1], NEVER, np.float32)
        return Logits(
            misconduct=np.full(types, NEVER, np.float32), alleged=NEVER, department=nothing, urgency=low,
            clause_misconduct=claims[:, :types], clause_department=department, clause_urgency=urgency,
        )  # fmt: skip
    weighed: Array = _softmax(attention) * department
    said = np.where(alleges[:, None], claims[:, :types], np.float32(NEVER))
    alleged = _peak(claims[alleges]) if alleges.any() else np.full(types + 1, NEVER, np.float32)
    return Logits(
        misconduct=alleged[:types],
        alleged=float(alleged[types]),
        department=weighed.sum(axis=0),
        urgency=_peak(urgency),
        clause_misconduct=said,
        clause_department=weighed,
        clause_urgency=urgency,
    )
