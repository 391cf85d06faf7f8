"""Splits by group: near-copies of a message never stand on two sides."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

from data.complaint import LabelledComplaint

SHARES = (("test", 0.10), ("calibration", 0.10))
COPY_SHARE = 0.5


def near_copies(texts: Sequence[str]) -> list[int]:
    """A group number for each text: two texts that share half of the shorter one's character 5-grams are together."""
    grams = CountVectorizer(analyzer="char", ngram_range=(5, 5), binary=True, max_df=200, dtype=np.int32)
    matrix = grams.fit_transform(texts)
    shared = (matrix @ matrix.T).tocoo()
    sizes = np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1)
    copies = shared.data >= COPY_SHARE * np.minimum(sizes[shared.row], sizes[shared.col])
    shared.data = copies.astype(np.int32)
    shared.eliminate_zeros()
    return [int(label) for label in connected_components(shared, directed=False)[1]]


def assign_splits(rows: Sequence[LabelledComplaint]) -> list[LabelledComplaint]:
    """Rows with their split: the one they bring, else one drawn by the digest of their group of near-copies."""
    copies = near_copies([row.complaint.text for row in rows])
    first: dict[int, str] = {}
    given: dict[int, str] = {}
    for row, copy in zip(rows, copies, strict=True):
        first[copy] = min(first.get(copy, row.group), row.group)
        if row.split:
            given.setdefault(copy, row.split)
    return [
        row if row.split else replace(row, split=given.get(copy) or _draw(first[copy]))
        for row, copy in zip(rows, copies, strict=True)
    ]


def _draw(group: str) -> str:
    point = int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 16**8
    for split, share in SHARES:
        if point < share:
            return split
        point -= share
    return "train"
