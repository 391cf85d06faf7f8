"""How far two independent readings of the own corpus agree: ``python -m training.agreement``.

`data/corpus/readings` holds both readings as they were made; the labels in the corpus are what was settled afterwards.
"""

import argparse
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sklearn.metrics import cohen_kappa_score

from data.labelled import READINGS
from data.policy_files import load_policy
from data.taxonomy import Taxonomy
from training.metrics import f1


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """One reader's labels of one complaint."""

    misconduct: frozenset[str]
    department: str
    urgency: str


def read_labelling(path: Path) -> dict[str, Labelling]:
    """The labels of one reading by id."""
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {
        row["id"]: Labelling(
            misconduct=frozenset(row["misconduct"]), department=row["department"], urgency=row["urgency"]
        )
        for row in rows
    }


def agreement(first: dict[str, Labelling], second: dict[str, Labelling], taxonomy: Taxonomy) -> dict[str, float]:
    """Figures over the complaints that both read: F1 of types, accuracy or kappa of the rest."""
    ids = sorted(first.keys() & second.keys())
    pairs = [(first[i], second[i]) for i in ids]
    both, one, other = Counter[str](), Counter[str](), Counter[str]()
    for a, b in pairs:
        both.update(a.misconduct & b.misconduct)
        one.update(a.misconduct)
        other.update(b.misconduct)
    kinds = [kind for kind in taxonomy.misconduct_ids if one[kind] + other[kind]]
    some = [(bool(a.misconduct), bool(b.misconduct)) for a, b in pairs]
    ranks = [(taxonomy.card_ids.index(a.urgency), taxonomy.card_ids.index(b.urgency)) for a, b in pairs]
    return {
        "complaints": len(ids),
        "misconduct micro-F1": f1(both.total(), one.total(), other.total()),
        "misconduct macro-F1": sum(f1(both[k], one[k], other[k]) for k in kinds) / max(len(kinds), 1),
        "any misconduct F1": f1(sum(a and b for a, b in some), sum(a for a, _ in some), sum(b for _, b in some)),
        "department accuracy": sum(a.department == b.department for a, b in pairs) / max(len(pairs), 1),
        "department kappa": float(
            cohen_kappa_score([a.department for a, _ in pairs], [b.department for _, b in pairs])
        ),
        "urgency quadratic kappa": float(cohen_kappa_score(*zip(*ranks, strict=True), weights="quadratic")),
        "all three alike": sum(a == b for a, b in pairs) / max(len(pairs), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=Path, default=READINGS / "first.jsonl")
    parser.add_argument("--second", type=Path, default=READINGS / "second.jsonl")
    options = parser.parse_args()
    found = agreement(read_labelling(options.first), read_labelling(options.second), load_policy().taxonomy)
    for name, value in found.items():
        print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value:,}")


if __name__ == "__main__":
    main()
