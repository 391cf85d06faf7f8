"""The usual service: FastAPI around ``transformers.pipeline``, one request at a time in the thread pool.

It answers the three labels from the encoder heads alone: no rules, no n-grams, no evidence, no windows for long texts.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

from benchmarks.twin import twin_of
from data.policy_files import load_policy

LONGEST = 384  # tokens


class Asked(BaseModel):
    text: str


def labels(scores: torch.Tensor, taxonomy: Any) -> dict[str, Any]:
    """Types above even odds, the likeliest department, the card, from the mean scores of a text (K,)."""
    types, departments = len(taxonomy.misconduct), len(taxonomy.departments)
    above, department = scores[:types] > 0, scores[types + 2 : types + 2 + departments]
    return {
        "misconduct": [kind for kind, said in zip(taxonomy.misconduct_ids, above.tolist(), strict=True) if said],
        "department": taxonomy.department_ids[int(department.argmax())],
        "urgency": taxonomy.card_ids[int((scores[types + 2 + departments :] > 0).sum())],
    }


def plain_app(bundle: Path) -> FastAPI:
    twin, taxonomy = twin_of(bundle), load_policy().taxonomy
    extract = pipeline(
        "feature-extraction", model=twin.encoder, tokenizer=twin.tokenizer, device="cpu",
        tokenize_kwargs={"truncation": True, "max_length": LONGEST},
    )  # fmt: skip
    app = FastAPI()

    @app.post("/triage")
    def triage(asked: Asked) -> dict[str, Any]:
        with torch.no_grad():
            hidden = extract(asked.text, return_tensors=True)
            return labels(twin.heads(hidden)[0].mean(0), taxonomy)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(plain_app(options.bundle), port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
