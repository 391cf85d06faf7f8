"""A second, cheap opinion: a linear model over hashed character n-grams.

It sees wordings that the encoder has not learned to notice, once over the whole text for every task, once over each
pair of clauses for what is alleged. N-grams are hashed, so the weights hold no text.
"""

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
AT_ONCE = 8192  # n-grams whose weights are held in float64 at the same time
_START = 0xFFFFFFFF
_CRC = np.array([crc32(bytes([byte]), _START) ^ _START for byte in range(256)], np.uint32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grams:
    """Texts as sparse vectors: text number, bucket number and 1 + log(count) of every n-gram, in this order."""

    texts: NDArray[np.int64]
    buckets: NDArray[np.int64]
    values: NDArray[np.float64]


def grams(*texts: str) -> Grams:
    """Character 1- to 4-grams within clauses, hashed into BUCKETS; she and he are one word."""
    lowered = [text.lower() for text in texts]
    codes = np.frombuffer("\n".join((*lowered, "")).translate(_READ).encode("utf-32-le", "replace"), np.uint32)
    owners = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in lowered])
    ends = np.flatnonzero(codes == ord("\n"))
    room = np.repeat(ends, np.diff(ends, prepend=-1)) - np.arange(len(codes))
    states = np.full(len(codes), _START, np.uint32)
    keys = []
    for length in range(1, LONGEST_GRAM + 1):
        kept = np.flatnonzero(room >= length)
        states[kept] = _fed(states[kept], codes[kept + length - 1])
        keys.append(owners[kept] * BUCKETS + (states[kept] ^ _START) % BUCKETS)
    found, counts = np.unique(np.concatenate(keys), return_counts=True)
    return Grams(texts=found // BUCKETS, buckets=found % BUCKETS, values=1 + np.log(counts))


def _fed(states: NDArray[np.uint32], codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """CRC-32 states after the UTF-8 bytes of one more character each."""
    size = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
    lead = np.array([0, 0, 0xC0, 0xE0, 0xF0], np.uint32)[size]
    for place in reversed(range(int(size.max(initial=0)))):  # six bits each, the highest first
        bits = codes >> np.uint32(6 * place)
        byte = np.where(size == place + 1, lead | bits, 0x80 | bits & 0x3F)
        fed = _CRC[(states ^ byte) & 0xFF] ^ states >> np.uint32(8)
        states = np.where(size > place, fed, states)
    return states


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
        scored: NDArray[np.float64] = self.all_scores([text])[0]
        return scored

    def all_scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Raw scores (len(texts), K)."""
        found = grams(*texts)
        values = found.values * self.idf[found.buckets]
        norms = np.sqrt(np.bincount(found.texts, values**2, len(texts)))
        sums = np.zeros((len(texts), len(self.bias)))
        for start in range(0, len(values), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            weighted = self.weights.take(found.buckets[part], axis=0) * values[part, None]
            present, first = np.unique(found.texts[part], return_index=True)
            sums[present] += np.add.reduceat(weighted, first, axis=0)
        return np.asarray(sums / np.where(norms > 0, norms, 1.0)[:, None] + self.bias, np.float64)

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
