"""The model card is written from the reports, with both recipes' figures."""

from typing import Any

from data.taxonomy import Taxonomy
from models.bundle import load_bundle
from training.card import write_card
from training.markdown import FIGURES


def test_a_card_holds_the_figures_of_both_recipes(trained: Any, taxonomy: Taxonomy) -> None:
    def report(value: float) -> dict[str, Any]:
        entry = {"n": 9, "figures": dict.fromkeys(FIGURES, value), "intervals": {}}
        return {
            "versions": load_bundle(trained.bundle, taxonomy, 1).version,
            "figures": {"real messages": {"fusion (served)": entry}},
            "types": {"arrears": {"f1": 0.25, "predicted": 1, "support": 7}},
            "promises": {},
            "worst": {"real messages": {"department": ["channel: web"]}},
        }

    card = write_card(report(0.61), trained.bundle, report(0.37))
    assert card.startswith("# Model card: tiny-trained-") and "$" not in card
    assert "| department top-1 | 0.61 |" in card and "| department top-1 | 0.37 |" in card
    assert "`arrears` (0.25, 7 test rows)" in card and "real messages, department: channel: web" in card
    assert "Trained on the own corpus alone" not in write_card(report(0.61), trained.bundle)
