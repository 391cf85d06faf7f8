"""Fit the linear model over hashed character n-grams: TF-IDF and one logistic regression for each label."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

from data.complaint import LabelledComplaint
from data.taxonomy import Taxonomy
from data.text import normalise
from models.lexical import BUCKETS, LexicalScorer, citizen_text, grams

ABSENT = -8.0
INVERSE_PENALTY = 10.0


def fit_lexical(rows: Sequence[LabelledComplaint], taxonomy: Taxonomy) -> LexicalScorer:
    """Weights for types, departments and urgency steps, in this order; unlabelled rows are left out of their task."""
    matrix, idf = _features(rows)
    weights = np.zeros((BUCKETS, taxonomy.outputs), np.float16)
    bias = np.full(taxonomy.outputs, ABSENT, np.float32)
    for column, (known, target) in enumerate(_targets(rows, taxonomy)):
        if target[known].any() and not target[known].all():
            model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", solver="liblinear")
            model.fit(matrix[known], target[known])
            weights[:, column], bias[column] = model.coef_[0], model.intercept_[0]
    return LexicalScorer(idf=idf, weights=weights, bias=bias)


def _features(rows: Sequence[LabelledComplaint]) -> tuple[csr_matrix, np.ndarray]:
    """TF-IDF rows of unit length and the idf of every bucket."""
    found = [grams(citizen_text(row.complaint, normalise(row.complaint.text))) for row in rows]
    starts = np.cumsum([0, *(len(one.buckets) for one in found)])
    data = np.concatenate([one.values for one in found])
    counts = csr_matrix((data, np.concatenate([one.buckets for one in found]), starts), shape=(len(rows), BUCKETS))
    counts.sort_indices()
    tfidf = TfidfTransformer().fit(counts)
    return tfidf.transform(counts), tfidf.idf_.astype(np.float32)


def _targets(rows: Sequence[LabelledComplaint], taxonomy: Taxonomy) -> list[tuple[np.ndarray, np.ndarray]]:
    """For every column the rows it is known for and its target there."""
    labels = [row.labels for row in rows]
    typed = np.array([y.misconduct is not None for y in labels])
    named = np.array([y.department is not None for y in labels])
    ranks = np.array([taxonomy.card_ids.index(y.urgency) if y.urgency else -1 for y in labels])
    types = [(typed, np.array([kind in (y.misconduct or ()) for y in labels])) for kind in taxonomy.misconduct_ids]
    departments = [(named, np.array([y.department == name for y in labels])) for name in taxonomy.department_ids]
    steps = [(ranks >= step, ranks > step) for step in range(len(taxonomy.cards) - 1)]
    return types + departments + steps
