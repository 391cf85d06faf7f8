"""The n-gram baseline: character TF-IDF with linear models, one for each task. It is measured, never served."""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from data.complaint import LabelledComplaint
from data.taxonomy import Taxonomy
from data.text import normalise
from models.calibration import Signals

ABSENT = -8.0


class LexicalModel:
    """Character 1–4-grams; its decision values take the place of the encoder's logits."""

    def __init__(self, rows: Sequence[LabelledComplaint], taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy
        self._grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), min_df=3, max_features=120_000, sublinear_tf=True)
        features = self._grams.fit_transform([normalise(row.complaint.text).text for row in rows])
        types, departments, cards = taxonomy.misconduct_ids, taxonomy.department_ids, taxonomy.card_ids
        said = np.array([[kind in (row.labels.misconduct or ()) for kind in types] for row in rows])
        self._types = [self._fit(features, column) for column in said.T]
        named = np.array([departments.index(row.labels.department or "other") for row in rows])
        self._departments = [self._fit(features, named == index) for index in range(len(departments))]
        ranks = np.array([cards.index(row.labels.urgency or cards[0]) for row in rows])
        self._steps = [self._fit(features[ranks >= step], ranks[ranks >= step] > step) for step in range(len(cards) - 1)]

    @staticmethod
    def _fit(features: object, target: np.ndarray) -> LogisticRegression | None:
        if not target.any() or target.all():
            return None
        return LogisticRegression(C=10, class_weight="balanced", solver="liblinear").fit(features, target)

    def signals(self, texts: Sequence[str]) -> list[tuple[Signals, Signals, Signals]]:
        """For each text the signal ``lexical`` of misconduct, department and urgency."""
        features = self._grams.transform([normalise(text).text for text in texts])
        tasks = [
            np.stack([m.decision_function(features) if m else np.full(len(texts), ABSENT) for m in models], axis=1)
            for models in (self._types, self._departments, self._steps)
        ]
        return [({"lexical": m}, {"lexical": d}, {"lexical": u}) for m, d, u in zip(*tasks, strict=True)]
