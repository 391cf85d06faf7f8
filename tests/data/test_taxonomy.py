"""The taxonomy's digest, order and look-ups."""

from dataclasses import replace

import pytest

from data.taxonomy import OTHER_DEPARTMENT, Taxonomy


def test_the_digest_is_of_ids_and_their_order_alone(taxonomy: Taxonomy) -> None:
    reworded = replace(
        taxonomy,
        version=taxonomy.version + 1,
        misconduct=tuple(replace(kind, zh=f"{kind.zh}（新）", means="另一种说法") for kind in taxonomy.misconduct),
        departments=tuple(replace(body, aliases=("别名",)) for body in taxonomy.departments),
    )
    assert reworded.digest == taxonomy.digest
    assert replace(taxonomy, misconduct=taxonomy.misconduct[::-1]).digest != taxonomy.digest
    assert replace(taxonomy, departments=taxonomy.departments[:-1]).digest != taxonomy.digest
    renamed = (replace(taxonomy.cards[0], id="green"), *taxonomy.cards[1:])
    assert replace(taxonomy, cards=renamed).digest != taxonomy.digest


def test_the_label_names_version_and_digest(taxonomy: Taxonomy) -> None:
    assert taxonomy.label == f"{taxonomy.version}-{taxonomy.digest[:12]}"
    assert len(taxonomy.digest) == 64


def test_labels_are_found_by_id(taxonomy: Taxonomy) -> None:
    for kind in taxonomy.misconduct:
        assert taxonomy.misconduct_type(kind.id) is kind
    for body in taxonomy.departments:
        assert taxonomy.department(body.id) is body
    assert taxonomy.department(OTHER_DEPARTMENT).id == OTHER_DEPARTMENT
    with pytest.raises(KeyError):
        taxonomy.misconduct_type("arson")
    with pytest.raises(KeyError):
        taxonomy.department("arson")


def test_the_discipline_channel_takes_the_graver_types(taxonomy: Taxonomy) -> None:
    assert {kind.id for kind in taxonomy.misconduct if kind.discipline} == {
        "designated_intermediary", "soliciting_benefits", "bid_rigging_meddling", "favouritism", "embezzlement",
        "retaliation",
    }  # fmt: skip


def test_every_type_has_family_wording_and_basis(taxonomy: Taxonomy) -> None:
    assert list(taxonomy.families) == ["inaction", "abuse", "delay", "bad_faith", "conduct"]
    for kind in taxonomy.misconduct:
        assert kind.family in taxonomy.families and kind.zh and kind.means and kind.basis
    assert [card.rank for card in taxonomy.cards] == [0, 1, 2]
