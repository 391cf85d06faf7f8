"""The saved artefact that training writes and serving loads: ONNX encoder, tokenizer, n-gram weights,
fusion, digests.

Serving needs onnxruntime and tokenizers, neither torch nor transformers.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from data.errors import BundleError, FenzhenError
from data.taxonomy import Taxonomy
from models.assurance import Assurance, nothing_assured
from models.calibration import Fusion
from models.drift import Mix
from models.lexical import LexicalScorer
from models.tokens import Batch, ComplaintTokenizer, Windowing

FORMAT = 2
MOST_TOKENS = 2048  # that run together
MANIFEST, ENCODER, TOKENIZER = "bundle.json", "encoder.onnx", "tokenizer.json"
LEXICAL, CLAIMS = "lexical.npz", "claims.npz"
FILES = (ENCODER, TOKENIZER, LEXICAL, CLAIMS)
STARTER = Path(__file__).parent / "starter"


class EncoderFailed(FenzhenError):
    """The encoder of a sound bundle did not run: out of memory, or a fault of the runtime."""

    code = "encoder_failed"


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A loaded bundle. ``version`` names it in every answer, ``fallback`` decides without the encoder."""

    version: str
    tokenizer: ComplaintTokenizer
    windowing: Windowing
    fusion: Fusion
    fallback: Fusion
    assurance: Assurance
    session: onnxruntime.InferenceSession
    lexical: LexicalScorer
    claims: LexicalScorer
    manifest: dict[str, Any]

    def token_scores(self, batch: Batch) -> NDArray[np.float32]:
        """Scores of all heads for every token, (W, T, K); raises EncoderFailed.

        Many windows run in parts, so that memory does not grow with the text.
        """
        together = max(1, MOST_TOKENS // max(batch.input_ids.shape[1], 1))
        parts = range(0, len(batch.input_ids), together)
        return np.concatenate([self._run(batch, slice(start, start + together)) for start in parts])

    def _run(self, batch: Batch, windows: slice) -> NDArray[np.float32]:
        inputs = {"input_ids": batch.input_ids[windows], "attention_mask": batch.attention_mask[windows]}
        try:
            scores: NDArray[np.float32] = self.session.run(["token_scores"], inputs)[0]
        except Exception as error:  # the runtime raises nothing more exact
            raise EncoderFailed(f"the encoder did not run: {type(error).__name__}") from error
        return scores


def write_manifest(
    folder: Path, *, name: str, taxonomy: Taxonomy, rules_digest: str, windowing: Windowing, fusion: Fusion,
    experiment: dict[str, Any], assurance: Assurance | None = None, reference: Mapping[str, Mix] | None = None,
    fallback: Fusion | None = None,
) -> None:  # fmt: skip
    """Write ``bundle.json`` beside the files it describes. ``reference`` are the mixes that drift is measured from,
    ``fallback`` is the fusion for when the encoder cannot run."""
    manifest = {
        "format": FORMAT,
        "name": name,
        "taxonomy": {"label": taxonomy.label, "digest": taxonomy.digest},
        "rules": rules_digest,
        "windowing": asdict(windowing),
        "files": {file: file_digest(folder / file) for file in FILES},
        "experiment": experiment,
        "fusion": fusion.as_json(),
        **({"fallback": fallback.as_json()} if fallback else {}),
        "assurance": (assurance or nothing_assured()).as_json(),
        **({"reference": {name: dict(mix) for name, mix in reference.items()}} if reference else {}),
    }
    text = json.dumps(manifest, ensure_ascii=False, indent=1)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def load_bundle(folder: Path, taxonomy: Taxonomy, threads: int = 0) -> Bundle:
    """Load and check a bundle; ``threads`` 0 means one for each core.

    Raises BundleError naming the file or digest that does not fit.
    """
    manifest, version = _read_manifest(folder)
    try:
        trained_for = manifest["taxonomy"]["digest"]
        windowing, fusion = Windowing(**manifest["windowing"]), Fusion.from_json(manifest["fusion"])
        fallback = Fusion.from_json(manifest["fallback"]) if "fallback" in manifest else fusion.without("model")
        assurance = Assurance.from_json(manifest["assurance"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / MANIFEST}: is not a bundle manifest: {error!r}") from error
    if trained_for != taxonomy.digest:
        raise BundleError(
            f"{folder / MANIFEST}: taxonomy digest differs: the bundle was trained for "
            f"{trained_for}, the policy folder has {taxonomy.digest}"
        )
    for name, expected in manifest["files"].items():
        actual = file_digest(folder / name) if (folder / name).is_file() else "nothing"
        if actual != expected:
            raise BundleError(f"{folder / name}: file digest differs: expected {expected}, found {actual}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads leave the cores to work
    session = onnxruntime.InferenceSession(str(folder / ENCODER), options, providers=["CPUExecutionProvider"])
    return Bundle(
        version=version,
        tokenizer=ComplaintTokenizer.from_file(folder / TOKENIZER),
        windowing=windowing,
        fusion=fusion,
        fallback=fallback,
        assurance=assurance,
        session=session,
        lexical=LexicalScorer.load(folder / LEXICAL, taxonomy.outputs),
        claims=LexicalScorer.load(folder / CLAIMS, len(taxonomy.misconduct) + 1),
        manifest=manifest,
    )


def _read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
        manifest = json.loads(raw)
        if manifest["format"] != FORMAT:
            raise BundleError(f"{path}: format {manifest['format']} is not supported, expected {FORMAT}")
        missing = {"name", "taxonomy", "windowing", "files", "fusion", "assurance"} - set(manifest)
        if missing or not set(FILES) <= set(manifest["files"]):
            raise BundleError(f"{path}: incomplete, missing {sorted(missing) or 'files'}")
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path}: is not a bundle manifest: {error}") from error
    return manifest, f"{manifest['name']}-{hashlib.sha256(raw).hexdigest()[:12]}"
