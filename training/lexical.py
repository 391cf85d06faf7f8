"""Fit the linear models over hashed character n-grams: TF-IDF and one logistic regression for each label.

One reads whole texts for every task; one reads pairs of clauses for what is alleged, taught by the annotators' quotes.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

from data.complaint import LabelledComplaint
from data.taxonomy import Taxonomy
from data.text import Span, normalise
from models.lexical import BUCKETS, LexicalScorer, citizen_text, claims, grams

ABSENT = -8.0
INVERSE_PENALTY = 10.0
CLAIM_INVERSE_PENALTY = 4.0
CLAIM_WEIGHTS = {0: 1, 1: 3}
PAIRS_OF_ACCUSING, PAIRS_OF_OTHERS = 8, 4
LONGEST_SENTENCE = 80
Column = tuple[np.ndarray, np.ndarray]  # for which rows it is known, and where it holds


def fit_lexical(rows: Sequence[LabelledComplaint], taxonomy: Taxonomy) -> LexicalScorer:
    """Weights for types, anything alleged, departments and urgency steps, in this order; rows without a label are left
    out of its task."""
    matrix, idf = _features(rows)
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", solver="liblinear")
    return _scorer(matrix, idf, _targets(rows, taxonomy), model)


def _scorer(matrix: csr_matrix, idf: np.ndarray, targets: Sequence[Column], model: LogisticRegression) -> LexicalScorer:
    """One fit of ``model`` for every column, on the rows it is known for; a column that tells nothing stays ABSENT."""
    weights = np.zeros((BUCKETS, len(targets)), np.float16)
    bias = np.full(len(targets), ABSENT, np.float32)
    for column, (known, target) in enumerate(targets):
        if target[known].any() and not target[known].all():
            model.fit(matrix[known], target[known].astype(int))
            weights[:, column], bias[column] = model.coef_[0], model.intercept_[0]
    return LexicalScorer(idf=idf, weights=weights, bias=bias)


def _features(rows: Sequence[LabelledComplaint]) -> tuple[csr_matrix, np.ndarray]:
    return _tfidf([citizen_text(row.complaint, normalise(row.complaint.text)) for row in rows])


def _tfidf(texts: Sequence[str]) -> tuple[csr_matrix, np.ndarray]:
    """TF-IDF rows of unit length and the idf of every bucket."""
    found = [grams(text) for text in texts]
    starts = np.cumsum([0, *(len(one.buckets) for one in found)])
    data = np.concatenate([one.values for one in found])
    counts = csr_matrix((data, np.concatenate([one.buckets for one in found]), starts), shape=(len(texts), BUCKETS))
    counts.sort_indices()
    tfidf = TfidfTransformer().fit(counts)
    return tfidf.transform(counts), tfidf.idf_.astype(np.float32)


def _targets(rows: Sequence[LabelledComplaint], taxonomy: Taxonomy) -> list[Column]:
    """For every column the rows it is known for and its target there."""
    labels = [row.labels for row in rows]
    typed = np.array([y.misconduct is not None for y in labels])
    named = np.array([y.department is not None for y in labels])
    ranks = np.array([taxonomy.card_ids.index(y.urgency) if y.urgency else -1 for y in labels])
    types = [(typed, np.array([kind in (y.misconduct or ()) for y in labels])) for kind in taxonomy.misconduct_ids]
    departments = [(named, np.array([y.department == name for y in labels])) for name in taxonomy.department_ids]
    steps = [(ranks >= step, ranks > step) for step in range(len(taxonomy.cards) - 1)]
    alleged = [(typed, np.array([bool(y.misconduct) for y in labels]))]
    return types + alleged + departments + steps


def fit_claims(rows: Sequence[LabelledComplaint], taxonomy: Taxonomy, seed: int = 0) -> LexicalScorer:
    """Weights (types + 1) over pairs of clauses: quotes and short allegations say yes, other pairs of the texts no."""
    random = np.random.default_rng(seed)
    units = [unit for row in rows if row.labels.misconduct is not None for unit in _units(row, taxonomy, random)]
    targets = np.stack([target for _, target in units])
    matrix, idf = _tfidf([text for text, _ in units])
    model = LogisticRegression(C=CLAIM_INVERSE_PENALTY, class_weight=CLAIM_WEIGHTS, solver="liblinear")
    return _scorer(matrix, idf, [(column >= 0, column == 1) for column in targets.T], model)


def _units(
    row: LabelledComplaint, taxonomy: Taxonomy, random: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.int8]]]:
    """Texts with targets (types + 1): 1 alleged, 0 not, -1 unknown because it only touches a quote."""
    text, labels, ids = normalise(row.complaint.text), row.labels, taxonomy.misconduct_ids

    def target(**found: int) -> NDArray[np.int8]:
        values = np.zeros(len(ids) + 1, np.int8)
        for kind, value in found.items():
            values[ids.index(kind)] = value
        values[-1] = 1 if (values == 1).any() else -1 if (values == -1).any() else 0
        return values

    if labels.misconduct and not labels.evidence:
        if len(text.text) <= LONGEST_SENTENCE:
            yield text.text, target(**dict.fromkeys(labels.misconduct, 1))
        return
    quotes = {}
    for kind, quote in labels.evidence.items():
        at = row.complaint.text.find(quote)
        quotes[kind] = span = text.normalised(Span(at, at + len(quote)))
        yield text.text[span.start : span.end], target(**{kind: 1})
    places = claims(row.complaint, text)
    for index in random.permutation(len(places))[: PAIRS_OF_ACCUSING if labels.misconduct else PAIRS_OF_OTHERS]:
        place = places[index]
        touching = {k: 1 if _mostly(place, q) else -1 for k, q in quotes.items() if q.overlaps(place)}
        yield text.text[place.start : place.end], target(**touching)


def _mostly(one: Span, other: Span) -> bool:
    return 2 * (min(one.end, other.end) - max(one.start, other.start)) >= min(len(one), len(other))
