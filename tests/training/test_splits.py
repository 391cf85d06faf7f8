"""Splits: near-copies stay together, given splits are kept, and chance plays no part."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from data.complaint import LabelledComplaint, Labels
from data.transcript import complaint_from_text
from training.splits import SHARES, assign_splits, near_copies

BASE = "我在县城开了一家小饭店，办食品经营许可证跑了三趟窗口，每次都说材料不齐，就是不肯一次讲清楚"
COPY = BASE + "，请领导管一管。"
OTHER = "楼下烧烤摊每天晚上营业到凌晨两点，油烟直接冲进卧室，老人孩子都睡不着觉"


def row(id: str, text: str, split: str | None = None) -> LabelledComplaint:
    return LabelledComplaint(complaint=complaint_from_text(id, text), labels=Labels(), group=id, split=split)


def random_rows(count: int) -> list[LabelledComplaint]:
    chance = random.Random(5)
    return [row(f"r{n}", "".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(30))) for n in range(count)]


def splits(rows: list[LabelledComplaint]) -> dict[str, str | None]:
    return {row.complaint.id: row.split for row in assign_splits(rows)}


def test_copies_have_one_group() -> None:
    first, second, third, part = near_copies([BASE, COPY, OTHER, BASE[:20]])
    assert first == second == part != third


def test_half_of_the_shorter_text_is_enough_and_less_is_not() -> None:
    shared, rest = "".join(map(chr, range(0x4E00, 0x4E18))), "".join(map(chr, range(0x5000, 0x5100)))
    most, few = shared + rest[:16], shared[:12] + rest[100:128]
    groups = near_copies([shared + rest[50:70], most, few])
    assert groups[0] == groups[1] != groups[2]


def test_copies_of_copies_are_together() -> None:
    texts = [BASE + OTHER, BASE, OTHER]
    assert len(set(near_copies(texts))) == 1


def test_near_copies_land_on_one_side() -> None:
    rows = [row(f"{n}", f"{text}{'！' * n}") for n in range(6) for text in (BASE, COPY)]
    assert len({r.split for r in assign_splits([*rows, *random_rows(20)])[:12]}) == 1


def test_given_splits_are_kept_and_draw_their_copies_after_them() -> None:
    for given in ("test", "calibration", "train"):
        found = splits([row("a", BASE, given), row("b", COPY), row("c", OTHER)])
        assert found["a"] == found["b"] == given
    both = splits([row("a", BASE, "test"), row("b", COPY, "train")])
    assert both == {"a": "test", "b": "train"}


def test_the_same_rows_fall_the_same_way_in_any_order() -> None:
    rows = [*random_rows(60), row("a", BASE), row("b", COPY)]
    shuffled = rows[:]
    random.Random(1).shuffle(shuffled)
    assert splits(rows) == splits(rows) == splits(shuffled)


def test_a_new_row_moves_no_other() -> None:
    rows = random_rows(60)
    before, after = splits(rows), splits([*rows, row("new", OTHER)])
    assert {id: after[id] for id in before} == before


def test_nothing_but_the_split_changes() -> None:
    rows = random_rows(5)
    for before, after in zip(rows, assign_splits(rows), strict=True):
        assert replace(after, split=None) == before and after.split


def test_shares_are_about_as_named() -> None:
    counts = Counter(splits(random_rows(1500)).values())
    for name, share in SHARES:
        assert counts[name] / 1500 == pytest.approx(share, abs=0.025)
    assert counts["train"] / 1500 == pytest.approx(0.8, abs=0.03)
