"""Noise keeps every character in its place and changes only what sounds alike."""

import numpy as np
import pytest
from pypinyin import lazy_pinyin

from data.transcript import complaint_from_text
from training.noise import Noise

TEXT = "窗口让我找税务局，税务局又说归镇里管。推来推去：没人接！"


@pytest.fixture(scope="module")
def noise() -> Noise:
    return Noise([TEXT, "水务局说睡午觉去了，锅里的馆子管不管"], rate=1.0)


def test_a_misheard_text_has_its_length_and_sounds(noise: Noise) -> None:
    complaint = complaint_from_text("c", TEXT)
    changed = 0
    for seed in range(40):
        heard = noise.misheard(complaint, np.random.default_rng(seed)).text
        assert len(heard) == len(TEXT) and not set(heard) & set("，。：！")
        for before, after in zip(TEXT, heard, strict=True):
            if before != after and after != " ":
                changed += 1
                assert lazy_pinyin(before) == lazy_pinyin(after)
    assert changed > 10


def test_the_rate_decides_how_often(noise: Noise) -> None:
    complaint, random = complaint_from_text("c", TEXT), np.random.default_rng(1)
    seldom = Noise([TEXT], rate=0.25)
    copies = [seldom.copy(complaint, random) for _ in range(400)]
    assert 0.18 < np.mean([one is not None for one in copies]) < 0.32
    assert Noise([TEXT], rate=0.0).copy(complaint, random) is None
    assert complaint.text == TEXT
