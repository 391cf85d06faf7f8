"""Figures of quality, as pure functions of what was decided and what is true."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from data.complaint import Labels
from data.taxonomy import Taxonomy
from models.triage import Triage

LEAST_SUPPORT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One labelled complaint and its triage, as arrays by the taxonomy's order; ``top`` are departments by rank.

    ``evidence`` holds for every type both said and quoted the character F1 of the first evidence span.
    """

    true_types: frozenset[str]
    types: frozenset[str]
    true_department: str
    departments: tuple[str, ...]
    true_rank: int
    rank: int
    evidence: tuple[float, ...]


def outcome(labels: Labels, text: str, triage: Triage, taxonomy: Taxonomy) -> Outcome:
    """Compare one fully labelled complaint with its triage. Evidence offsets must refer to ``text``."""
    true_types = labels.misconduct or frozenset()
    tags = {tag.type: tag for tag in triage.misconduct}
    quality = []
    quoted_types = (kind for kind in true_types & set(labels.evidence) if kind in tags and tags[kind].evidence)
    for kind in quoted_types:
        start = text.find(labels.evidence[kind])
        quoted = set(range(start, start + len(labels.evidence[kind])))
        first = tags[kind].evidence[0]
        quality.append(character_f1(set(range(first.start, first.end)), quoted))
    return Outcome(
        true_types=true_types,
        types=frozenset(tags),
        true_department=labels.department or "",
        departments=(triage.department.id, *(name for name, _ in triage.department.candidates)),
        true_rank=taxonomy.card_ids.index(labels.urgency) if labels.urgency else -1,
        rank=taxonomy.card_ids.index(triage.urgency.card),
        evidence=tuple(quality),
    )


def character_f1(found: set[int], quoted: set[int]) -> float:
    """F1 of two sets of character positions."""
    shared = len(found & quoted)
    return 2 * shared / (len(found) + len(quoted)) if shared else 0.0


def f1(true_positive: float, predicted: float, actual: float) -> float:
    """F1 from counts; 0 where nothing is predicted and nothing is there."""
    return 2 * true_positive / (predicted + actual) if predicted + actual else 0.0


def type_counts(outcomes: Sequence[Outcome], taxonomy: Taxonomy) -> NDArray[np.int64]:
    """(types, 3): true positives, predicted, actual."""
    rows = {kind: index for index, kind in enumerate(taxonomy.misconduct_ids)}
    counts = np.zeros((len(rows), 3), np.int64)
    for o in outcomes:
        for column, kinds in enumerate((o.types & o.true_types, o.types, o.true_types)):
            for kind in kinds:
                counts[rows[kind], column] += 1
    return counts


def headline(outcomes: Sequence[Outcome], taxonomy: Taxonomy) -> dict[str, float]:
    """The headline figures. ``red_found`` and ``red_precision`` are NaN where there is no red or none was said."""
    counts = type_counts(outcomes, taxonomy)
    supported = counts[counts[:, 2] >= LEAST_SUPPORT]
    either = np.array([[bool(o.types), bool(o.true_types)] for o in outcomes])
    ranks = np.array([[o.rank, o.true_rank] for o in outcomes])
    red = len(taxonomy.cards) - 1
    evidence = [value for o in outcomes for value in o.evidence]
    return {
        "misconduct_micro_f1": f1(*counts.sum(axis=0)),
        "misconduct_macro_f1": float(np.mean([f1(*row) for row in supported])) if len(supported) else float("nan"),
        "any_misconduct_f1": f1((either[:, 0] & either[:, 1]).sum(), either[:, 0].sum(), either[:, 1].sum()),
        "department_top1": float(np.mean([o.departments[0] == o.true_department for o in outcomes])),
        "department_top3": float(np.mean([o.true_department in o.departments for o in outcomes])),
        "urgency_kappa": kappa(ranks[:, 0], ranks[:, 1], len(taxonomy.cards)),
        "red_found": _share(ranks[ranks[:, 1] == red, 0] == red),
        "red_precision": _share(ranks[ranks[:, 0] == red, 1] == red),
        "evidence_f1": float(np.mean(evidence)) if evidence else float("nan"),
    }


def kappa(found: NDArray[np.int64], true: NDArray[np.int64], ranks: int) -> float:
    """Cohen's kappa with quadratic weights; 1 where both say the same single rank throughout."""
    if len(set(found.tolist()) | set(true.tolist())) == 1:
        return 1.0
    return float(cohen_kappa_score(true, found, labels=list(range(ranks)), weights="quadratic"))


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if len(hits) else float("nan")


def bootstrap(
    outcomes: Sequence[Outcome],
    figures: Callable[[Sequence[Outcome]], dict[str, float]],
    rounds: int = 300,
    seed: int = 7,
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of every figure over resampled outcomes."""
    random = np.random.default_rng(seed)
    draws = [figures([outcomes[i] for i in random.integers(len(outcomes), size=len(outcomes))]) for _ in range(rounds)]
    with np.errstate(all="ignore"):
        return {
            name: (
                float(np.nanpercentile([d[name] for d in draws], 2.5)),
                float(np.nanpercentile([d[name] for d in draws], 97.5)),
            )
            for name in draws[0]
            if not all(np.isnan(d[name]) for d in draws)
        }
