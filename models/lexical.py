"""A second, cheap opinion: a linear model over hashed character n-grams.

It sees wordings that the encoder has not learned to notice, once over the whole text for every task, once over each
pair of clauses for what is alleged. N-grams are hashed, so the weights hold no text.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from data.complaint import Complaint, Speaker
from data.errors import BundleError
from data.text import CLAUSE_END, FOLDED, NormalisedText, Span, clauses

BUCKETS = 2**17
_READ = {**FOLDED, **{ord(end): "\n" for end in CLAUSE_END}}
LONGEST_GRAM = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Grams:
    """A text as a sparse vector: bucket numbers and 1 + log(count)."""

    buckets: NDArray[np.int64]
    values: NDArray[np.float64]


def grams(text: str) -> Grams:
    """Character 1- to 4-grams within clauses, hashed into BUCKETS; she and he are one word."""
    counts: Counter[int] = Counter()
    for clause in text.lower().translate(_READ).split("\n"):
        for length in range(1, LONGEST_GRAM + 1):
            for start in range(len(clause) - length + 1):
                counts[crc32(clause[start : start + length].encode("utf-8", "replace")) % BUCKETS] += 1
    buckets = np.fromiter(counts.keys(), np.int64, len(counts))
    return Grams(buckets=buckets, values=1 + np.log(np.fromiter(counts.values(), np.float64, len(counts))))


def citizen_text(complaint: Complaint, text: NormalisedText) -> str:
    """What the citizen says, normalised: the agent's words never allege."""
    spans = (text.normalised(u.span) for u in complaint.utterances if u.speaker is Speaker.CITIZEN)
    return "\n".join(text.text[span.start : span.end] for span in spans)


def claims(complaint: Complaint, text: NormalisedText) -> list[Span]:
    """What the citizen may allege in: each clause with the one after it, within one utterance. An annotator's quote is
    about as long."""
    found = []
    for utterance in complaint.utterances:
        if utterance.speaker is Speaker.CITIZEN:
            cut = clauses(text.text, text.normalised(utterance.span))
            found += [Span(one.start, after.end) for one, after in zip(cut, [*cut[1:], *cut[-1:]], strict=True)]
    return found


@dataclass(frozen=True, kw_only=True)
class LexicalScorer:
    """TF-IDF with linear weights. Shapes: ``idf`` (BUCKETS,), ``weights`` (BUCKETS, K), ``bias`` (K,)."""

    idf: NDArray[np.float32]
    weights: NDArray[np.float16]
    bias: NDArray[np.float32]

    def scores(self, text: str) -> NDArray[np.float64]:
        """Raw scores (K,) of one normalised text."""
        found = grams(text)
        values = found.values * self.idf[found.buckets]
        norm = np.linalg.norm(values)
        weights = self.weights[found.buckets].astype(np.float64)
        return np.asarray(values @ weights / (norm or 1.0) + self.bias, np.float64)

    def all_scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Raw scores (len(texts), K)."""
        scored = [self.scores(text) for text in texts]
        return np.stack(scored) if scored else np.zeros((0, len(self.bias)))

    def save(self, path: Path) -> None:
        np.savez_compressed(path, idf=self.idf, weights=self.weights, bias=self.bias)

    @classmethod
    def load(cls, path: Path, width: int) -> "LexicalScorer":
        """Raises BundleError if the file is not one of these, or not for ``width`` scores."""
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                scorer = cls(idf=file["idf"], weights=file["weights"], bias=file["bias"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise BundleError(f"{path}: is not a lexical model: {error}") from error
        if scorer.weights.shape != (BUCKETS, width) or scorer.idf.shape != (BUCKETS,) or scorer.bias.shape != (width,):
            raise BundleError(f"{path}: weights are {scorer.weights.shape}, expected {(BUCKETS, width)}")
        return scorer
