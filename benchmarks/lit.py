"""The same labels from the same weights, served by LitServe with its batching."""

import argparse
from pathlib import Path
from typing import Any

import litserve
import torch

from benchmarks.plain import LONGEST, labels
from benchmarks.twin import twin_of
from data.policy_files import load_policy


class Api(litserve.LitAPI):
    """Texts that arrive within the batch time-out are padded and run together."""

    def __init__(self, bundle: Path, **batching: Any) -> None:
        super().__init__(**batching)
        self.bundle = bundle

    def setup(self, device: Any) -> None:
        self.twin, self.taxonomy = twin_of(self.bundle), load_policy().taxonomy

    def decode_request(self, request: dict[str, str], **_: Any) -> str:
        return request["text"]

    def batch(self, inputs: list[str]) -> list[str]:
        return list(inputs)

    def predict(self, x: Any, **_: Any) -> Any:
        texts = [x] if isinstance(x, str) else x
        inputs = self.twin.tokenizer(
            texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt", return_token_type_ids=False
        )
        with torch.no_grad():
            scores = self.twin.heads(self.twin.encoder(**inputs).last_hidden_state)
        mask = inputs["attention_mask"].unsqueeze(-1)
        found = [labels(one, self.taxonomy) for one in (scores * mask).sum(1) / mask.sum(1)]
        return found[0] if isinstance(x, str) else found

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any, **_: Any) -> Any:
        return output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    api = Api(options.bundle, max_batch_size=16, batch_timeout=0.005, api_path="/triage")
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=False).run(
        host="127.0.0.1", port=options.port, log_level="warning", generate_client_file=False
    )


if __name__ == "__main__":
    main()
