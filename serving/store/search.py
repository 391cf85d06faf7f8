"""Search in encrypted text: a blind index over pairs of neighbouring characters of the redacted text.

The index tells whoever reads the database past the program which leads share pairs, and how often each pair occurs, but
not which pairs they are. It may find too much (pairs that stand apart, digests that collide), never too little: what it
finds is verified on the decrypted text by `contains`.
"""

import re
from itertools import pairwise

from sqlalchemy import ColumnElement, and_, select

from data.errors import InputError
from data.privacy import MASK
from data.text import normalised_words
from serving.store.keyring import Keyring
from serving.store.schema import lead_terms, leads

_BREAKS = re.compile(rf"[\s{re.escape(MASK)}]+")


def terms(keyring: Keyring, redacted: str) -> frozenset[int]:
    """The index entries of a redacted text: signed 32-bit numbers."""
    return frozenset(_term(keyring, pair) for pair in _pairs(redacted))


def matching(keyring: Keyring, query: str) -> ColumnElement[bool]:
    """A condition on ``leads``: the lead has every pair of ``query``. Raises InputError for a query without any."""
    wanted = sorted(terms(keyring, query))
    if not wanted:
        raise InputError("query_too_short", "查询的文字至少要有两个相连的字。")
    having = (select(lead_terms.c.lead_seq).where(lead_terms.c.term == term) for term in wanted)
    return and_(*(leads.c.seq.in_(those) for those in having))


def contains(redacted: str, query: str) -> bool:
    """Whether each word of ``query`` (words stand between blanks) occurs in the redacted text, however it is written:
    full or half width, traditional or simplified, upper or lower case."""
    text = _plain(redacted)
    return all(word in text for word in _words(query))


def _plain(text: str) -> str:
    return normalised_words(text).casefold()


def _words(text: str) -> list[str]:
    return [word for word in _BREAKS.split(_plain(text)) if word]


def _pairs(text: str) -> set[str]:
    return {first + second for word in _words(text) for first, second in pairwise(word)}


def _term(keyring: Keyring, pair: str) -> int:
    return int.from_bytes(bytes.fromhex(keyring.digest("search", pair.encode())[:8]), signed=True)
