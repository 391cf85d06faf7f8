"""Windows of many complaints run together: each gets its own scores, and little of what runs is padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tokens import NO_CLAUSE, Batch
from models.windows import BATCH_TOKENS, CALL_TOKENS, scores_of


def windows(*lengths: int, first: int = 1) -> Batch:
    """The windows of one complaint; every token has a number of its own, from ``first``."""
    shape = (len(lengths), max(lengths))
    mask = np.arange(shape[1]) < np.array(lengths)[:, None]
    ids = np.zeros(shape, np.int64)
    ids[mask] = np.arange(first, first + mask.sum())
    return Batch(
        input_ids=ids, attention_mask=mask.astype(np.int64), clause_index=np.full(shape, NO_CLAUSE),
        clause_document=np.zeros(0, np.int64), clause_alleges=np.zeros(0, np.bool_), documents=1,
    )  # fmt: skip


class Encoder:
    """Scores a token by its own number and by the sum of its window; remembers the shape of every batch."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.tokens = 0

    def __call__(self, batch: Batch) -> np.ndarray:
        self.shapes.append(batch.input_ids.shape)
        self.tokens += int(batch.attention_mask.sum())
        ids = (batch.input_ids * batch.attention_mask).astype(np.float32)
        return np.stack([ids, np.broadcast_to(ids.sum(axis=1, keepdims=True), ids.shape)], axis=-1)


@given(st.lists(st.lists(st.integers(2, 384), min_size=1, max_size=4), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_window_gets_its_own_scores_within_the_bounds(lengths: list[list[int]]) -> None:
    asked = [windows(*some, first=1 + 1000 * number) for number, some in enumerate(lengths)]
    encoder = Encoder()
    for batch, scores in zip(asked, scores_of(asked, encoder), strict=True):
        ids = batch.input_ids.astype(np.float32)
        assert scores.shape == (*ids.shape, 2)
        np.testing.assert_array_equal(scores[..., 0], ids)
        sums = ids.sum(axis=1, keepdims=True) * batch.attention_mask
        np.testing.assert_array_equal(scores[..., 1], sums)
    assert encoder.tokens == sum(map(sum, lengths))
    assert all(rows == 1 or rows * width <= BATCH_TOKENS for rows, width in encoder.shapes)
    run = sum(rows * width for rows, width in encoder.shapes)
    assert run - encoder.tokens <= CALL_TOKENS * sum(map(len, lengths))


@pytest.mark.parametrize(
    ("lengths", "shapes"),
    [
        ([30, 30, 30], [(3, 30)]),
        ([30, 384, 31], [(2, 31), (1, 384)]),
        ([20] * 40, [(25, 20), (15, 20)]),
        ([BATCH_TOKENS + 100], [(1, BATCH_TOKENS + 100)]),
    ],
)
def test_windows_of_like_length_run_together(lengths: list[int], shapes: list[tuple[int, int]]) -> None:
    encoder = Encoder()
    scores_of([windows(length) for length in lengths], encoder)
    assert encoder.shapes == shapes


def test_nothing_asked_runs_nothing() -> None:
    encoder = Encoder()
    assert scores_of([], encoder) == [] and encoder.shapes == []
