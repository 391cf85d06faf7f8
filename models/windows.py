"""Which windows run through the encoder together: those of like length, so that little of a batch is padding."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.tokens import NO_CLAUSE, Batch

BATCH_TOKENS = 512  # padding included; on a CPU more of them together are no faster than apart
CALL_TOKENS = 8  # how many tokens take as long as one call more
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """A row of the batch that holds one complaint's windows, and its length without padding."""

    complaint: int
    row: int
    length: int


def scores_of(windows: Sequence[Batch], run: Callable[[Batch], Scores]) -> list[Scores]:
    """Of every complaint, given as the batch of its windows (W, T), the token scores (W, T, K) that ``run`` finds."""
    lengths = [batch.attention_mask.sum(axis=1).tolist() for batch in windows]
    every = [_Window(complaint=c, row=r, length=length) for c, of in enumerate(lengths) for r, length in enumerate(of)]
    found: dict[int, Scores] = {}
    for chosen in _batches(sorted(every, key=lambda window: window.length)):
        scores = run(_together(windows, chosen))
        for window, one in zip(chosen, scores, strict=True):
            shape = (*windows[window.complaint].input_ids.shape, scores.shape[-1])
            whole = found.setdefault(window.complaint, np.zeros(shape, np.float32))
            whole[window.row, : window.length] = one[: window.length]
    return [found[complaint] for complaint in range(len(windows))]


def _batches(windows: Sequence[_Window]) -> Iterator[list[_Window]]:
    """Runs of windows, the shortest first, within BATCH_TOKENS and with less padding than further calls would cost."""
    batch: list[_Window] = []
    tokens = 0
    for window in windows:
        padded = (len(batch) + 1) * window.length
        padding = padded - tokens - window.length
        if batch and (padded > BATCH_TOKENS or padding > len(batch) * CALL_TOKENS):
            yield batch
            batch, tokens = [], 0
        batch.append(window)
        tokens += window.length
    if batch:
        yield batch


def _together(windows: Sequence[Batch], chosen: Sequence[_Window]) -> Batch:
    """The chosen windows, sorted by length, as one batch whose clauses nobody asks for."""
    shape = (len(chosen), chosen[-1].length)
    ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for place, one in enumerate(chosen):
        ids[place, : one.length] = windows[one.complaint].input_ids[one.row, : one.length]
        mask[place, : one.length] = 1
    return Batch(
        input_ids=ids, attention_mask=mask, clause_index=np.full(shape, NO_CLAUSE, np.int64),
        clause_document=np.zeros(0, np.int64), clause_alleges=np.zeros(0, np.bool_), documents=len(chosen),
    )  # fmt: skip
