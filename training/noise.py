"""Augmentation: the same complaint as speech recognition or another keyboard would have written it.

Every change keeps the number of characters, so quotes keep their place.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import jieba
import numpy as np
from pypinyin import lazy_pinyin

from data.complaint import Complaint
from data.text import CLAUSE_END

HOMOPHONE_SHARE = 0.05
MUTED = str.maketrans(dict.fromkeys(CLAUSE_END.replace("\n", "") + "、：“”", " "))
COMMON = 300  # occurrences in jieba's dictionary that make a character common enough to be misheard as


def _toneless(character: str) -> str:
    return lazy_pinyin(character)[0]


class Noise:
    """Makes noisy copies of complaints, a share ``rate`` of the time."""

    def __init__(self, texts: Iterable[str], rate: float) -> None:
        self.rate = rate
        sounds: dict[str, list[str]] = defaultdict(list)
        jieba.setLogLevel("ERROR")
        jieba.initialize()
        characters = {c for text in texts for c in text if "\u4e00" <= c <= "\u9fff"}
        for character in sorted(characters):
            if jieba.dt.FREQ.get(character, 0) >= COMMON:
                sounds[_toneless(character)].append(character)
        self._alike = {
            character: [other for other in sounds[_toneless(character)] if other != character]
            for character in sorted(characters)
        }

    def misheard(self, complaint: Complaint, random: np.random.Generator) -> Complaint:
        """Without punctuation, some characters replaced by others of the same sound."""
        muted = complaint.text.translate(MUTED)
        places = np.flatnonzero(random.random(len(muted)) < HOMOPHONE_SHARE)
        letters = list(muted)
        for place in places:
            alike = self._alike.get(letters[place])
            if alike:
                letters[place] = alike[int(random.integers(len(alike)))]
        return replace(complaint, text="".join(letters))

    def copy(self, complaint: Complaint, random: np.random.Generator) -> Complaint | None:
        """A noisy copy, or None where this complaint is to stay as it is."""
        if random.random() >= self.rate:
            return None
        return self.misheard(complaint, random)
