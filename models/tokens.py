"""A complaint as the encoder sees it: tokens in overlapping windows, each token owned by one clause.

No torch here: training and serving build their batches with these functions, so both see the same tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from data.complaint import Complaint, Speaker
from data.text import FOLDED, NormalisedText, Span, clauses, normalise

SPEAKER_MARK = {Speaker.CITIZEN: "市民:", Speaker.AGENT: "坐席:"}
NO_CLAUSE = -1
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """A clause in the normalised text; ``alleges`` says whether the citizen speaks."""

    span: Span
    alleges: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenisedComplaint:
    """Token ids without special tokens; ``owner[i]`` is the clause of token ``i`` or -1 for context."""

    text: NormalisedText
    ids: tuple[int, ...]
    owner: tuple[int, ...]
    clauses: tuple[Clause, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Windows of several complaints. Shapes: ``input_ids``, ``attention_mask``, ``clause_index`` (W, T);
    ``clause_document``, ``clause_alleges`` (C,). ``clause_index`` is -1 for context and padding."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    clause_index: NDArray[np.int64]
    clause_document: NDArray[np.int64]
    clause_alleges: NDArray[np.bool_]
    documents: int


@dataclass(frozen=True, kw_only=True)
class Windowing:
    """Window length in tokens (special tokens included) and how many of them neighbouring windows share."""

    length: int = 384
    overlap: int = 64

    @property
    def body(self) -> int:
        return self.length - 2


class ComplaintTokenizer:
    """A ``tokenizer.json`` of BERT or XLM-R style, applied to complaints."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._first, self._last = tokenizer.encode("").ids
        self.pad = self._special("<pad>", "[PAD]")
        self.mask = self._special("<mask>", "[MASK]")

    def _special(self, *names: str) -> int:
        found = (self._tokenizer.token_to_id(name) for name in names)
        return next((token for token in found if token is not None), self._last)

    @classmethod
    def from_file(cls, path: Path) -> "ComplaintTokenizer":
        return cls(Tokenizer.from_file(str(path)))

    @cached_property
    def _marks(self) -> dict[Speaker, list[int]]:
        return {s: self._tokenizer.encode(m, add_special_tokens=False).ids for s, m in SPEAKER_MARK.items()}

    def tokenise(self, complaint: Complaint) -> TokenisedComplaint:
        """Tokens of every utterance in order, with a speaker mark before each utterance of a transcript."""
        text = normalise(complaint.text)
        ids: list[int] = []
        owner: list[int] = []
        found: list[Clause] = []
        for utterance in complaint.utterances:
            span = text.normalised(utterance.span)
            if complaint.is_transcript:
                ids += self._marks[utterance.speaker]
                owner += [NO_CLAUSE] * len(self._marks[utterance.speaker])
            encoding = self._tokenizer.encode(
                text.text[span.start : span.end].translate(FOLDED), add_special_tokens=False
            )
            spans = clauses(text.text, span)
            local, used = _owners(encoding.offsets, span.start, spans)
            ids += encoding.ids
            owner += np.where(local == NO_CLAUSE, NO_CLAUSE, local + len(found)).tolist()
            found += [Clause(span=spans[i], alleges=utterance.speaker is Speaker.CITIZEN) for i in used]
        return TokenisedComplaint(text=text, ids=tuple(ids), owner=tuple(owner), clauses=tuple(found))

    def collate(self, complaints: Sequence[TokenisedComplaint], windowing: Windowing) -> Batch:
        """All windows of all complaints, padded to the longest. A token that two windows share is owned in the one
        where it stands further from the edge, so each counts once."""
        rows: list[tuple[Ids, Ids]] = []
        document: list[int] = []
        alleges: list[bool] = []
        for number, complaint in enumerate(complaints):
            rows += _windows(complaint, windowing, len(document))
            document += [number] * len(complaint.clauses)
            alleges += [clause.alleges for clause in complaint.clauses]
        width = max(len(ids) for ids, _ in rows) + 2
        shape = (len(rows), width)
        input_ids, mask = np.full(shape, self.pad, np.int64), np.zeros(shape, np.int64)
        index = np.full(shape, NO_CLAUSE, np.int64)
        for row, (ids, owner) in enumerate(rows):
            input_ids[row, 0], input_ids[row, 1 : len(ids) + 1], input_ids[row, len(ids) + 1] = (
                self._first, ids, self._last
            )  # fmt: skip
            mask[row, : len(ids) + 2] = 1
            index[row, 1 : len(ids) + 1] = owner
        return Batch(
            input_ids=input_ids,
            attention_mask=mask,
            clause_index=index,
            clause_document=np.array(document, np.int64),
            clause_alleges=np.array(alleges, np.bool_),
            documents=len(complaints),
        )


def _owners(offsets: Sequence[tuple[int, int]], base: int, spans: Sequence[Span]) -> tuple[Ids, list[int]]:
    """For each token the rank of its clause among the clauses that own a token, and those clauses."""
    start, end = np.array(offsets, np.int64).reshape(-1, 2).T + base
    last = np.where(end > start, end - 1, start)
    begins, ends = np.array([(span.start, span.end) for span in spans], np.int64).reshape(-1, 2).T
    at = np.maximum.accumulate(np.searchsorted(ends, last, side="right"))
    inside = at < len(spans)
    inside[inside] = begins[at[inside]] <= last[inside]
    used = np.unique(at[inside])
    return np.where(inside, np.searchsorted(used, at), NO_CLAUSE), used.tolist()


def _windows(complaint: TokenisedComplaint, windowing: Windowing, first: int) -> list[tuple[Ids, Ids]]:
    """Of every window the ids and the clause that owns each token, clauses numbered from ``first``."""
    body, shared = windowing.body, windowing.overlap
    ids, owner = np.array(complaint.ids, np.int64), np.array(complaint.owner, np.int64)
    owner[owner != NO_CLAUSE] += first
    starts = [0]
    while starts[-1] + body < len(complaint):
        starts.append(starts[-1] + body - shared)
    rows = []
    for rank, start in enumerate(starts):
        own = owner[start : start + body].copy()
        if rank:
            own[: shared // 2] = NO_CLAUSE
        if rank < len(starts) - 1:
            own[len(own) - (shared - shared // 2) :] = NO_CLAUSE
        rows.append((ids[start : start + body], own))
    return rows
