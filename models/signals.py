"""Signals: what encoder, n-gram model and rules say about each task, as named vectors that fusion adds up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.taxonomy import OTHER_DEPARTMENT, Taxonomy
from models.calibration import Signals, Vector
from models.pooling import Logits
from models.rules import RuleMatch
from models.units import UnitMention

STRENGTHS = ("strong", "medium", "weak")
NOTHING_SAID = 10.0
NOTHING_CLAIMED = -8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSignals:
    """The signals of each task: misconduct (types,), alleged (1,), department (departments,), urgency (steps,)."""

    misconduct: Signals
    alleged: Signals
    department: Signals
    urgency: Signals


def gather(
    taxonomy: Taxonomy,
    logits: Logits,
    lexical: NDArray[np.float64],
    claimed: NDArray[np.float64],
    matches: Sequence[RuleMatch],
    mentions: Sequence[UnitMention],
) -> TaskSignals:
    """All signals of one complaint; ``lexical`` are the n-gram scores (types + 1 + departments + steps,), ``claimed``
    those of each pair of clauses (W, types + 1), of which the highest counts."""
    types = len(taxonomy.misconduct)
    peak = claimed.max(axis=0) if len(claimed) else np.full(types + 1, NOTHING_CLAIMED)
    claims, departments, steps = np.split(lexical, np.cumsum([types + 1, len(taxonomy.departments)]))
    fired = _fired(taxonomy.misconduct_ids, "misconduct", matches)
    alleged = {"model": np.array([logits.alleged]), "lexical": claims[types:], "claims": peak[types:]}
    return TaskSignals(
        misconduct={
            "model": _vector(logits.misconduct),
            "lexical": claims[:types],
            "claims": peak[:types],
            **{f"{name}_alleged": np.full(types, value[0]) for name, value in alleged.items()},
            **fired,
        },
        alleged={**alleged, **{strength: found.max(keepdims=True) for strength, found in fired.items()}},
        department={"lexical": departments, **_department(taxonomy, logits, matches, mentions)},
        urgency={"model": _vector(logits.urgency), "lexical": steps, **_cards(taxonomy, matches)},
    )


def _fired(ids: Sequence[str], dimension: str, matches: Iterable[RuleMatch]) -> dict[str, Vector]:
    """For each strength a vector over labels: 1 where a rule of that strength fired."""
    fired = {strength: np.zeros(len(ids)) for strength in STRENGTHS}
    for match in matches:
        name, label = match.rule.supports.label
        if name == dimension:
            fired[match.rule.strength][ids.index(label)] = 1
    return fired


def _department(
    taxonomy: Taxonomy, logits: Logits, matches: Sequence[RuleMatch], mentions: Sequence[UnitMention]
) -> dict[str, Vector]:
    ids = taxonomy.department_ids
    fired = _fired(ids, "department", matches)
    for mention in mentions:
        fired["strong"][ids.index(mention.unit.department)] = 1
    model = _vector(logits.department)
    if not len(logits.clause_department):
        model[ids.index(OTHER_DEPARTMENT)] = NOTHING_SAID
    return {"model": model, **fired}


def _cards(taxonomy: Taxonomy, matches: Iterable[RuleMatch]) -> dict[str, Vector]:
    steps = len(taxonomy.cards) - 1
    fired = {f"{card}_{strength}": np.zeros(steps) for card in taxonomy.card_ids[1:] for strength in STRENGTHS}
    for match in matches:
        name, card = match.rule.supports.label
        if name == "urgency":
            fired[f"{card}_{match.rule.strength}"][:] = 1
    return fired


def _vector(values: np.ndarray) -> Vector:
    return values.astype(np.float64)
