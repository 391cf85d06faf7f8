"""Mixes of what arrives, and how far two of them are apart."""

import random
from collections import Counter

import pytest

from data.errors import BundleError
from data.taxonomy import Taxonomy
from data.transcript import complaint_from_text
from models.drift import NOTHING, bins, chance_index, mixes, places, reference_of, stability_index
from models.triage import Triager

TEXTS = ["路灯坏了", "窗口让我跑了三趟，每次要的材料都不一样，办一个证拖了两个月。" * 4, "长" * 4000]


def test_every_complaint_falls_into_known_bins(triager: Triager) -> None:
    complaints = [complaint_from_text(str(i), text) for i, text in enumerate(TEXTS)]
    triages = triager.triage(complaints)
    known = bins(triager.taxonomy)
    assert [places(c, t)["length"] for c, t in zip(complaints, triages, strict=True)] == [("0",), ("120",), ("1500",)]
    for complaint, triage in zip(complaints, triages, strict=True):
        found = places(complaint, triage)
        assert set(found) == set(known)
        assert all(found[name] and set(found[name]) <= set(known[name]) for name in known)
        assert (found["misconduct"] == (NOTHING,)) == (not triage.misconduct)
    counted = mixes(zip(complaints, triages, strict=True))
    assert counted["department"].total() == counted["urgency"].total() == counted["length"].total() == 3
    assert counted["misconduct"].total() >= 3


def test_equal_mixes_have_no_distance_and_others_more_the_further_apart() -> None:
    names = ("a", "b", "c")
    even = Counter(a=100, b=100, c=100)
    assert stability_index(even, Counter(a=100, b=100, c=100), names) == 0
    near, far = (stability_index(even, Counter(a=100 + n, b=100, c=100 - n), names) for n in (20, 80))
    assert 0 < near < 0.05 < 0.25 < far
    assert stability_index(even, Counter(a=300), names) > far


def test_the_index_is_the_sum_of_its_definition() -> None:
    # 0.25 · ln 1.5 + 0.25 · ln 2: shares 0.5 and 0.5 against 0.75 and 0.25
    assert stability_index(Counter(a=999, b=999), Counter(a=1499, b=499), ("a", "b")) == pytest.approx(0.2747, abs=1e-3)


def test_chance_alone_passes_its_bound_about_once_in_a_hundred_times() -> None:
    draw = random.Random(7)
    names = [f"bin-{number}" for number in range(20)]
    weights = [1 + number % 4 for number in range(20)]

    def sample(size: int) -> Counter[str]:
        return Counter(draw.choices(names, weights, k=size))

    bound = chance_index(20, 600, 1000)
    passed = sum(stability_index(sample(600), sample(1000), names) > bound for _ in range(500))
    assert 0 <= passed <= 15


def test_a_bundle_without_a_reference_has_none(taxonomy: Taxonomy) -> None:
    assert reference_of({"format": 2}, taxonomy) is None


def test_a_reference_comes_back_as_it_was_stored(triager: Triager) -> None:
    complaints = [complaint_from_text(str(i), text) for i, text in enumerate(TEXTS)]
    stored = mixes(zip(complaints, triager.triage(complaints), strict=True))
    found = reference_of({"reference": {name: dict(mix) for name, mix in stored.items()}}, triager.taxonomy)
    assert found is not None
    for name, mix in stored.items():
        assert +found[name] == mix


@pytest.mark.parametrize(
    "stored", [[], {}, {"length": 3}, {"length": {}, "misconduct": {}, "department": {}, "urgency": {}}]
)
def test_a_damaged_reference_is_refused(taxonomy: Taxonomy, stored: object) -> None:
    with pytest.raises(BundleError, match="reference"):
        reference_of({"reference": stored}, taxonomy)
