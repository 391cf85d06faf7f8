"""Whether what arrives still resembles what a bundle was calibrated on: mixes of lengths and tags, and their distance.

Training stores the mixes of the held-out complaints in the bundle, serving compares those of the latest complaints.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from data.complaint import Complaint
from data.errors import BundleError
from data.taxonomy import Taxonomy
from models.answer import Triage

LENGTHS = (0, 20, 40, 80, 120, 200, 300, 500, 800, 1500)  # characters at which a bin begins
NOTHING = "none"  # a complaint without any misconduct tag
SMOOTHING = 0.5
RARITY = 2.326  # standard normal deviate exceeded once in a hundred

Mix = Mapping[str, int]
"""How often each bin of one dimension occurred."""


def bins(taxonomy: Taxonomy) -> dict[str, tuple[str, ...]]:
    """The bins of every dimension: characters of the text, misconduct types, department, card."""
    return {
        "length": tuple(map(str, LENGTHS)),
        "misconduct": (*taxonomy.misconduct_ids, NOTHING),
        "department": taxonomy.department_ids,
        "urgency": taxonomy.card_ids,
    }


def places(complaint: Complaint, triage: Triage) -> dict[str, tuple[str, ...]]:
    """The bins into which one complaint falls, by dimension."""
    return {
        "length": (str(LENGTHS[bisect_right(LENGTHS, len(complaint.text)) - 1]),),
        "misconduct": tuple(tag.type for tag in triage.misconduct) or (NOTHING,),
        "department": (triage.department.id,),
        "urgency": (triage.urgency.card,),
    }


def mixes(decided: Iterable[tuple[Complaint, Triage]]) -> dict[str, Counter[str]]:
    """The mixes of many complaints, by dimension."""
    found: dict[str, Counter[str]] = {}
    for complaint, triage in decided:
        for dimension, places_ in places(complaint, triage).items():
            found.setdefault(dimension, Counter()).update(places_)
    return found


def reference_of(manifest: Mapping[str, Any], taxonomy: Taxonomy) -> dict[str, Counter[str]] | None:
    """The mixes stored in a bundle's manifest; None where there are none. Raises BundleError if they are not counts."""
    stored = manifest.get("reference")
    if stored is None:
        return None
    try:
        found = {
            name: Counter({bin: int(stored[name].get(bin, 0)) for bin in known})
            for name, known in bins(taxonomy).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"bundle manifest: reference is not counts by dimension and bin: {error!r}") from error
    if not all(mix.total() for mix in found.values()):
        raise BundleError("bundle manifest: reference has a dimension without any count")
    return found


def stability_index(reference: Mix, found: Mix, bins: Iterable[str]) -> float:
    """The population stability index, 0 for equal mixes; each bin counts half a complaint more than were seen."""
    names = tuple(bins)
    before, after = _shares(reference, names), _shares(found, names)
    return sum((b - a) * math.log(b / a) for a, b in zip(before, after, strict=True))


def chance_index(bins: int, reference: int, found: int) -> float:
    """The index that two samples of these sizes from one and the same mix exceed once in a hundred times.

    The index is about chi-squared with ``bins`` - 1 degrees of freedom times (1/reference + 1/found); its quantile by
    Wilson and Hilferty.
    """
    freedom = max(bins - 1, 1)
    spread = 2 / (9 * freedom)
    quantile = freedom * (1 - spread + RARITY * math.sqrt(spread)) ** 3
    return float(quantile * (1 / reference + 1 / found))


def _shares(mix: Mix, names: tuple[str, ...]) -> list[float]:
    total = sum(mix.get(name, 0) for name in names) + SMOOTHING * len(names)
    return [(mix.get(name, 0) + SMOOTHING) / total for name in names]
