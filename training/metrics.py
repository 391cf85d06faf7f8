"""Figures of quality, as pure functions of what was decided and what is true."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from data.complaint import Labels
from data.taxonomy import Taxonomy
from models.answer import Triage
from models.assurance import TASKS

LEAST_SUPPORT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One labelled complaint and its triage; ``departments`` are the decided one and the next candidates. What nobody
    labelled is None, of ranks -1.

    ``evidence`` holds for every type both said and quoted the character F1 of the first evidence span. ``confidence``
    and ``right`` are by task; of misconduct it is the whole set that is right or not.
    """

    true_types: frozenset[str] | None
    types: frozenset[str]
    true_department: str | None
    departments: tuple[str, ...]
    true_rank: int
    rank: int
    evidence: tuple[float, ...]
    confidence: Mapping[str, float]
    right: Mapping[str, bool]
    level: str

    def labelled(self, task: str) -> bool:
        """Whether the truth of this task is known."""
        known = {"misconduct": self.true_types is not None, "department": self.true_department is not None}
        return known.get(task, self.true_rank >= 0)


def outcome(labels: Labels, text: str, triage: Triage, taxonomy: Taxonomy) -> Outcome:
    """Compare one labelled complaint with its triage. Evidence offsets must refer to ``text``."""
    true_types = labels.misconduct
    tags = {tag.type: tag for tag in triage.misconduct}
    quality = []
    quoted_types = (
        kind for kind in (true_types or frozenset()) & set(labels.evidence) if kind in tags and tags[kind].evidence
    )
    for kind in quoted_types:
        start = text.find(labels.evidence[kind])
        quoted = set(range(start, start + len(labels.evidence[kind])))
        first = tags[kind].evidence[0]
        quality.append(character_f1(set(range(first.start, first.end)), quoted))
    reviews = {task: getattr(triage.review, task) for task in TASKS}
    return Outcome(
        true_types=true_types,
        types=frozenset(tags),
        true_department=labels.department,
        departments=(triage.department.id, *(name for name, _ in triage.department.candidates)),
        true_rank=taxonomy.card_ids.index(labels.urgency) if labels.urgency else -1,
        rank=taxonomy.card_ids.index(triage.urgency.card),
        evidence=tuple(quality),
        confidence={task: review.confidence for task, review in reviews.items()},
        right=right(labels, triage),
        level=triage.review.level,
    )


def right(labels: Labels, triage: Triage) -> dict[str, bool]:
    """Whether each task was decided as labelled; of misconduct, exactly the set of types."""
    return {
        "misconduct": labels.misconduct == frozenset(tag.type for tag in triage.misconduct),
        "department": triage.department.id == labels.department,
        "urgency": triage.urgency.card == labels.urgency,
    }


def character_f1(found: set[int], quoted: set[int]) -> float:
    """F1 of two sets of character positions."""
    shared = len(found & quoted)
    return 2 * shared / (len(found) + len(quoted)) if shared else 0.0


def f1(true_positive: float, predicted: float, actual: float) -> float:
    """F1 from counts; 0 where nothing is predicted and nothing is there."""
    return 2 * true_positive / (predicted + actual) if predicted + actual else 0.0


def type_counts(outcomes: Sequence[Outcome], taxonomy: Taxonomy) -> NDArray[np.int64]:
    """(types, 3): true positives, predicted, actual; over the outcomes whose types are labelled."""
    rows = {kind: index for index, kind in enumerate(taxonomy.misconduct_ids)}
    counts = np.zeros((len(rows), 3), np.int64)
    for o in outcomes:
        true = o.true_types
        for column, kinds in enumerate(() if true is None else (o.types & true, o.types, true)):
            for kind in kinds:
                counts[rows[kind], column] += 1
    return counts


def headline(outcomes: Sequence[Outcome], taxonomy: Taxonomy) -> dict[str, float]:
    """The headline figures, each over the outcomes that are labelled for it; NaN where there is none (``red_found``: no
    red; ``red_precision``: none said)."""
    counts = type_counts(outcomes, taxonomy)
    supported = counts[counts[:, 2] >= LEAST_SUPPORT]
    either = np.array([[bool(o.types), bool(o.true_types)] for o in outcomes if o.true_types is not None])
    either = either.reshape(-1, 2)
    placed = [o for o in outcomes if o.true_department is not None]
    ranks = np.array([[o.rank, o.true_rank] for o in outcomes if o.true_rank >= 0], np.int64).reshape(-1, 2)
    red = len(taxonomy.cards) - 1
    evidence = [value for o in outcomes for value in o.evidence]
    return {
        "misconduct_micro_f1": f1(*counts.sum(axis=0)) if len(either) else float("nan"),
        "misconduct_macro_f1": _mean([f1(*row) for row in supported]),
        "any_misconduct_f1": (
            f1((either[:, 0] & either[:, 1]).sum(), either[:, 0].sum(), either[:, 1].sum())
            if len(either)
            else float("nan")
        ),
        "department_top1": _mean([o.departments[0] == o.true_department for o in placed]),
        "department_top3": _mean([o.true_department in o.departments for o in placed]),
        "urgency_kappa": kappa(ranks[:, 0], ranks[:, 1], len(taxonomy.cards)) if len(ranks) else float("nan"),
        "red_found": _mean(ranks[ranks[:, 1] == red, 0] == red),
        "red_precision": _mean(ranks[ranks[:, 0] == red, 1] == red),
        "evidence_f1": _mean(evidence),
        **{f"{task}_calibration_error": _calibration_error(outcomes, task) for task in TASKS},
    }


def _calibration_error(outcomes: Sequence[Outcome], task: str) -> float:
    known = [o for o in outcomes if o.labelled(task)]
    if not known:
        return float("nan")
    return calibration_error(np.array([o.confidence[task] for o in known]), np.array([o.right[task] for o in known]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Decisions of similar confidence: their count, mean confidence, and the share that is right."""

    count: int
    confidence: float
    accuracy: float


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 10) -> list[Bin]:
    """Bins of equal count over (n,) decisions, the least confident first."""
    order = np.argsort(confidence, kind="stable")
    return [
        Bin(count=len(part), confidence=float(confidence[part].mean()), accuracy=float(right[part].mean()))
        for part in np.array_split(order, bins)
        if len(part)
    ]


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error over bins of equal count (Guo et al. 2017; adaptive bins)."""
    found = reliability(confidence, right, bins)
    return sum(b.count * abs(b.confidence - b.accuracy) for b in found) / max(len(confidence), 1)


def risk_coverage(
    confidence: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For 1 to n most confident decisions their share of all (n,) and the share of wrong ones among them (n,)."""
    wrong = ~right[np.argsort(-confidence, kind="stable")]
    counts = np.arange(1, len(wrong) + 1)
    return counts / max(len(wrong), 1), wrong.cumsum() / counts


def kappa(found: NDArray[np.int64], true: NDArray[np.int64], ranks: int) -> float:
    """Cohen's kappa with quadratic weights; 1 where both say the same single rank throughout."""
    if len(set(found.tolist()) | set(true.tolist())) == 1:
        return 1.0
    return float(cohen_kappa_score(true, found, labels=list(range(ranks)), weights="quadratic"))


def _mean(values: Sequence[float] | NDArray[np.bool_]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


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
