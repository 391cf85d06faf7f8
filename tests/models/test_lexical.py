"""The n-gram model: hashing, scoring, saving."""

from collections import Counter
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.complaint import Speaker
from data.errors import BundleError
from data.text import CLAUSE_END, FOLDED, normalise
from data.transcript import complaint_from_text, complaint_from_turns
from models.lexical import AT_ONCE, BUCKETS, LexicalScorer, citizen_text, grams


@pytest.fixture(scope="module")
def scorer() -> LexicalScorer:
    random = np.random.default_rng(4)
    return LexicalScorer(
        idf=random.uniform(1, 5, BUCKETS).astype(np.float32),
        weights=random.normal(size=(BUCKETS, 3)).astype(np.float16),
        bias=np.array([-1.0, 0.0, 2.0], np.float32),
    )


def test_grams_of_one_to_four_characters_within_clauses() -> None:
    assert len(grams("甲乙丙丁戊").buckets) == 5 + 4 + 3 + 2
    apart, within = grams("甲乙，丙丁"), grams("甲乙丙丁")
    assert len(apart.buckets) == 6 and set(apart.buckets) < set(within.buckets)
    assert len(grams("").buckets) == len(grams("。，\n").buckets) == 0


def test_grams_count_and_fold_case() -> None:
    (value,) = grams("钱，钱，钱").values
    assert value == pytest.approx(1 + np.log(3))
    np.testing.assert_array_equal(grams("VIP").buckets, grams("vip").buckets)


def test_buckets_never_change() -> None:
    """Saved weights depend on them."""
    assert sorted(grams("红包").buckets.tolist()) == [27569, 39873, 129281]


def counted(text: str) -> dict[int, float]:
    """The definition, one n-gram after the other."""
    folded = text.lower().translate({**FOLDED, **{ord(end): "\n" for end in CLAUSE_END}})
    every = [c[at : at + n] for c in folded.split("\n") for n in (1, 2, 3, 4) for at in range(len(c) - n + 1)]
    counts = Counter(crc32(gram.encode("utf-8", "replace")) % BUCKETS for gram in every)
    return {bucket: 1 + np.log(count) for bucket, count in counts.items()}


@given(st.lists(st.one_of(st.text(max_size=30), st.text("窗口收钱她，。\nΣİaé\ud800😀", max_size=30)), max_size=5))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_many_texts_have_the_grams_of_each(texts: list[str]) -> None:
    found = grams(*texts)
    for number, text in enumerate(texts):
        own = found.texts == number
        values = dict(zip(found.buckets[own].tolist(), found.values[own].tolist(), strict=True))
        assert values == pytest.approx(counted(text))


def test_many_texts_score_as_each_alone(scorer: LexicalScorer) -> None:
    texts = ["收红包", "", "。", "".join(map(chr, range(0x4E00, 0x4E00 + AT_ONCE))), "窗口骂人"]
    np.testing.assert_allclose(scorer.all_scores(texts), [scorer.scores(text) for text in texts])
    assert scorer.all_scores([]).shape == (0, 3)


def test_scores_are_of_the_direction_not_the_length(scorer: LexicalScorer) -> None:
    once = scorer.scores("收红包")
    found = grams("收红包")
    values = found.values * scorer.idf[found.buckets]
    expected = values @ scorer.weights[found.buckets].astype(float) / np.linalg.norm(values) + scorer.bias
    np.testing.assert_allclose(once, expected)
    assert not np.allclose(once, scorer.bias)


def test_a_text_without_grams_scores_the_bias(scorer: LexicalScorer) -> None:
    assert scorer.scores("").tolist() == scorer.scores("。。，").tolist() == [-1.0, 0.0, 2.0]


def test_only_the_citizen_is_read() -> None:
    turns = complaint_from_turns("c", [(Speaker.AGENT, "您好"), (Speaker.CITIZEN, "Ａ收錢"), (Speaker.CITIZEN, "骂人")])
    assert citizen_text(turns, normalise(turns.text)) == "A收钱\n骂人"
    plain = complaint_from_text("c", "窗口收錢。罵人")
    assert citizen_text(plain, normalise(plain.text)) == "窗口收钱。骂人"


def test_saved_and_loaded_it_scores_the_same(scorer: LexicalScorer, tmp_path: Path) -> None:
    scorer.save(tmp_path / "lexical.npz")
    loaded = LexicalScorer.load(tmp_path / "lexical.npz", 3)
    assert loaded.scores("窗口收红包").tolist() == scorer.scores("窗口收红包").tolist()
    with pytest.raises(BundleError, match=r"lexical\.npz: weights are \(131072, 3\), expected \(131072, 64\)"):
        LexicalScorer.load(tmp_path / "lexical.npz", 64)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lexical.npz").write_bytes(content)
    with pytest.raises(BundleError, match="is not a lexical model"):
        LexicalScorer.load(tmp_path / "lexical.npz", 3)


def test_an_archive_that_lacks_an_array_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "lexical.npz", idf=np.ones(BUCKETS))
    with pytest.raises(BundleError, match="weights"):
        LexicalScorer.load(tmp_path / "lexical.npz", 3)
    with pytest.raises(BundleError, match="is not a lexical model"):
        LexicalScorer.load(tmp_path / "nowhere.npz", 3)


def test_she_and_he_are_one_word() -> None:
    for one, other in (("她不管我", "他不管我"), ("牠它", "他他")):
        a, b = grams(one), grams(other)
        assert dict(zip(a.buckets, a.values, strict=True)) == dict(zip(b.buckets, b.values, strict=True))
