"""Whether a text is a complaint of the kind the model knows at all."""

import numpy as np

from data.taxonomy import OTHER_DEPARTMENT, Taxonomy
from models.calibration import Signals

LEAST_HAN = 0.3


def han_share(text: str) -> float:
    """Share of Chinese characters among letters and digits of ``text``; 1 where it has none of either."""
    counted = [c for c in text if c.isalnum()]
    return sum("\u3400" <= c <= "\u9fff" for c in counted) / len(counted) if counted else 1.0


def familiarity(text: str, department: Signals, taxonomy: Taxonomy) -> float:
    """How well some department of the taxonomy fits the wording: the highest n-gram score of a real department.

    Each of these scores says "this department or not", so foreign texts score low for all. Minus infinity for texts
    that are hardly Chinese. ``text`` is normalised.
    """
    if han_share(text) < LEAST_HAN:
        return float("-inf")
    scores = np.delete(department["lexical"], taxonomy.department_ids.index(OTHER_DEPARTMENT))
    return float(scores.max())
