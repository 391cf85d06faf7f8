"""Write a bundle's model card from its evaluation: ``python -m training.card --report R.json --bundle FOLDER``."""

import argparse
import json
from pathlib import Path
from string import Template
from typing import Any

from models.bundle import ENCODER, MANIFEST
from training.evaluate import as_markdown

CARD = Path(__file__).parent / "card.md"
WORST = 6


def write_card(report: dict[str, Any], bundle: Path) -> str:
    """The card's text: the template filled from manifest and report."""
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    experiment = manifest["experiment"]
    worst = sorted(report["types"].items(), key=lambda item: item[1]["f1"])[:WORST]
    return Template(CARD.read_text(encoding="utf-8")).substitute(
        name=report["versions"],
        layers=experiment["layers"],
        window=experiment["window"],
        overlap=experiment["overlap"],
        epochs=f"{experiment['epochs']:g}",
        taxonomy=manifest["taxonomy"]["label"],
        rules=manifest["rules"][:12],
        size=f"{(bundle / ENCODER).stat().st_size / 1e6:.0f}",
        figures=as_markdown(report),
        worst="、".join(f"`{kind}` ({value['f1']:.2f}, {value['support']} test rows)" for kind, value in worst),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    options = parser.parse_args()
    text = write_card(json.loads(options.report.read_text(encoding="utf-8")), options.bundle)
    (options.bundle / "MODEL_CARD.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
