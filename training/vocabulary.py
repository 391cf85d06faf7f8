"""The cut of a multilingual SentencePiece vocabulary to what Chinese complaints need.

Most of the 250,000 pieces of the multilingual tokenizer are words of other languages, and their embeddings most of the
encoder. Kept are Chinese pieces, numbers, signs and the more frequent Latin ones; pieces stand in order of frequency.
"""

import json
import unicodedata
from dataclasses import dataclass
from typing import Any

from training.q4 import BaseEncoderError

BLANK = "▁"
ITERATION_MARK = "々"
LONGEST_SIGN = 3
LATIN_RANKS = ((3, 30_000), (8, 12_000))  # a Latin piece of at most so many letters is kept up to that rank
PREFIX_PIECES = frozenset({"▁passage"})  # the only piece of the encoder's "query: " and "passage: " the rule misses
SIGN_BLOCKS = ((0x00A0, 0x00FF), (0x2010, 0x27BF), (0x3000, 0x303F), (0xFF00, 0xFFEF))


@dataclass(frozen=True, slots=True, kw_only=True)
class CutVocabulary:
    """``rows[i]`` is the row that token ``i`` had before the cut; ``tokenizer`` is the content of tokenizer.json."""

    rows: tuple[int, ...]
    tokenizer: dict[str, Any]


def keeps(piece: str, rank: int) -> bool:
    """Whether the cut keeps this piece, which stands at ``rank`` in the vocabulary."""
    core = piece.lstrip(BLANK)
    if any(map(_is_han, core)):
        return all(_is_han(c) or c == ITERATION_MARK for c in core)
    if piece in PREFIX_PIECES or core.isdecimal():
        return True
    if core.isascii() and core.isalpha():
        return any(len(core) <= length and rank < last for length, last in LATIN_RANKS)
    return len(core) <= LONGEST_SIGN and all(c.isascii() or c.isdecimal() or _is_sign(c) for c in core)


def _is_han(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff"


def _is_sign(character: str) -> bool:
    """Punctuation, a symbol or a number sign that is common in Chinese text."""
    common = any(first <= ord(character) <= last for first, last in SIGN_BLOCKS)
    return common and unicodedata.category(character)[0] in "PSN"


def cut_vocabulary(raw: bytes, source: str) -> CutVocabulary:
    """Cut a ``tokenizer.json`` with a Unigram model. Special tokens that lead the vocabulary keep their ids; the others
    follow the last piece, and only as added tokens.

    Raises BaseEncoderError if ``raw`` is no such file, or its special tokens are not where their ids say.
    """
    try:
        tokenizer = json.loads(raw)
        model, added = tokenizer["model"], sorted(tokenizer["added_tokens"], key=lambda token: int(token["id"]))
        pieces = [str(piece) for piece, _score in model["vocab"]]
        special = {str(token["content"]): int(token["id"]) for token in added}
    except (ValueError, KeyError, TypeError) as error:
        raise BaseEncoderError(f"{source}: not a tokenizer.json with a Unigram vocabulary: {error}") from error
    for content, number in special.items():
        if not 0 <= number < len(pieces) or pieces[number] != content:
            raise BaseEncoderError(f"{source}: special token {content!r} is not the piece of its id {number}")
    leading = {number for rank, number in enumerate(special.values()) if number == rank}
    kept = [i for i, piece in enumerate(pieces) if i in leading or (piece not in special and keeps(piece, i))]
    rows = (*kept, *(number for number in special.values() if number not in leading))
    new_id = {row: rank for rank, row in enumerate(rows)}
    cut = {
        **tokenizer,
        "added_tokens": [{**token, "id": new_id[int(token["id"])]} for token in added],
        "model": {**model, "vocab": [model["vocab"][i] for i in kept]},
    }
    return CutVocabulary(rows=rows, tokenizer=cut)
