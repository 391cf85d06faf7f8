"""Write a bundle's model card from its evaluation: ``python -m training.card --report R.json --bundle FOLDER``.

``--own`` names the report of a bundle trained on the own corpus alone, whose figures the card gives beside.
"""

import argparse
import json
from pathlib import Path
from string import Template
from typing import Any

from models.bundle import ENCODER, MANIFEST
from training.markdown import headlines, invariance, promised, types

CARD = Path(__file__).parent / "card.md"
WORST = 6


def write_card(report: dict[str, Any], bundle: Path, own: dict[str, Any] | None = None) -> str:
    """The card's text: the template filled from manifest and reports."""
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    experiment = manifest["experiment"]
    worst = sorted(report["types"].items(), key=lambda item: item[1]["f1"])[:WORST]
    return Template(CARD.read_text(encoding="utf-8")).substitute(
        name=report["versions"],
        layers=experiment["layers"],
        window=experiment["window"],
        overlap=experiment["overlap"],
        taxonomy=manifest["taxonomy"]["label"],
        rules=manifest["rules"][:12],
        size=f"{(bundle / ENCODER).stat().st_size / 1e6:.0f}",
        figures="\n".join(_figures(report)),
        own="\n".join(_own(own)),
        worst="、".join(f"`{kind}` ({value['f1']:.2f}, {value['support']} test rows)" for kind, value in worst),
        slices="; ".join(_slices(report)),
    )


def _figures(report: dict[str, Any]) -> list[str]:
    lines = [*headlines(report), *types(report)]
    for name, tasks in report.get("promises", {}).items():
        lines += promised(name, tasks)
    for name, changes in report.get("invariance", {}).items():
        lines += invariance(name, changes)
    return lines


def _own(own: dict[str, Any] | None) -> list[str]:
    if own is None:
        return []
    says = (
        "**Trained on the own corpus alone**, measured on the same test splits. Where the encoder's column stands at "
        "chance, it did not learn in that run, and the fusion's figures are those of the n-grams; real messages then "
        "count as unfamiliar and are mostly left without tags."
    )
    return [says, "", *headlines(own)]


def _slices(report: dict[str, Any]) -> list[str]:
    worst = report.get("worst", {})
    return [f"{origin}, {task}: {', '.join(names)}" for origin, tasks in worst.items() for task, names in tasks.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--own", type=Path, help="report of the recipe on the own corpus alone")
    options = parser.parse_args()
    own = json.loads(options.own.read_text(encoding="utf-8")) if options.own else None
    text = write_card(json.loads(options.report.read_text(encoding="utf-8")), options.bundle, own)
    (options.bundle / "MODEL_CARD.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
