"""Units of the directory, found by name and alias."""

from dataclasses import replace

import pytest

from data.policy_schema import Policy, Unit
from data.text import normalise
from models.units import UnitFinder

UNITS = (
    Unit(id="town", zh="松涧镇人民政府", department="township", aliases=("松涧镇", "松涧镇政府")),
    Unit(id="hall", zh="松涧镇便民服务中心", department="government_services", superior="town"),
    Unit(id="club", zh="ABC驻县办", department="other"),
)


@pytest.fixture
def finder(policy: Policy) -> UnitFinder:
    return UnitFinder(replace(policy, units={unit.id: unit for unit in UNITS}))


def found(finder: UnitFinder, text: str) -> list[tuple[str, str]]:
    normalised = normalise(text)
    spans = [(m.unit.id, normalised.original(m.span)) for m in finder.find(normalised)]
    return [(id, text[span.start : span.end]) for id, span in spans]


def test_names_and_aliases_in_order_of_the_text(finder: UnitFinder) -> None:
    text = "我去松涧镇便民服务中心，又去松涧镇政府"
    assert found(finder, text) == [("hall", "松涧镇便民服务中心"), ("town", "松涧镇政府")]


def test_of_overlapping_names_the_longest_counts(finder: UnitFinder) -> None:
    assert found(finder, "松涧镇人民政府") == [("town", "松涧镇人民政府")]
    assert found(finder, "松涧镇人民") == [("town", "松涧镇")]


def test_traditional_and_full_width_names_map_back(finder: UnitFinder) -> None:
    assert found(finder, "５０㎡，松澗鎮政府的ＡＢＣ駐縣辦") == [("town", "松澗鎮政府"), ("club", "ＡＢＣ駐縣辦")]


def test_a_text_without_units_and_a_directory_without_units(finder: UnitFinder, policy: Policy) -> None:
    assert found(finder, "没有提到单位") == [] and found(finder, "") == []
    assert found(UnitFinder(replace(policy, units={})), "松涧镇") == []


def test_every_shipped_name_finds_its_unit(policy: Policy) -> None:
    finder = UnitFinder(policy)
    for unit in policy.units.values():
        for name in (unit.zh, *unit.aliases):
            assert found(finder, f"投诉{name}。") == [(unit.id, name)]
