"""The decision: one triage for each complaint, the same in any company, with evidence that stands in the text."""

from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.complaint import Complaint, Speaker
from data.policy_schema import Policy
from data.transcript import complaint_from_text, complaint_from_turns
from models.answer import Triage
from models.calibration import Fusion, TaskFusion
from models.evidence import Evidence
from models.triage import Triager
from models.windows import BATCH_TOKENS

TEXTS = [
    "我这个事几个部门踢皮球，跑了半个月没人管",
    "窗口工作人员故意刁难，让我回去补材料，补了三次还不行！态度也差。",
    "咨询一下医保怎么报销",
    "縣住建局收了５００元，不給發票",
    "楼下煤气泄漏，很多人头晕，快来人",
    "推" * 90,
    "，".join(["监管失职，执法随意"] * 40),
    "😀😀😀",
    "123456",
    "The office refused to accept my application, again.",
    "谢谢你们，办得很快",
]
TURNS = [
    (Speaker.AGENT, "您好，请问反映什么问题"),
    (Speaker.CITIZEN, "他们推诿扯皮，我去縣住建局也没人管"),
    (Speaker.CITIZEN, ""),
    (Speaker.AGENT, "是刁难吗"),
    (Speaker.CITIZEN, "窗口故意刁难人，收了红包才办"),
]


def complaints() -> list[Complaint]:
    written = [complaint_from_text(f"c{number}", text) for number, text in enumerate(TEXTS)]
    marked = complaint_from_text("marked", "坐席：您好\n市民：几个部门踢皮球，没人管\n坐席：记下了")
    return [*written, complaint_from_turns("turns", TURNS), marked]


def evidence_of(triage: Triage) -> list[Evidence]:
    tags = [*triage.misconduct, triage.department, triage.urgency]
    return [evidence for tag in tags for evidence in tag.evidence]


def check(complaint: Complaint, triage: Triage) -> None:
    """Everything that holds for any triage of any complaint."""
    assert triage.id == complaint.id
    for evidence in evidence_of(triage):
        source = complaint.text
        if complaint.from_turns:
            assert evidence.turn is not None
            span = complaint.utterances[evidence.turn].span
            source = source[span.start : span.end]
        assert 0 <= evidence.start < evidence.end <= len(source)
        assert source[evidence.start : evidence.end] == evidence.text
        assert complaint.from_turns == (evidence.turn is not None)
    likely = [tag.probability for tag in triage.misconduct]
    assert likely == sorted(likely, reverse=True) and len({tag.type for tag in triage.misconduct}) == len(likely)
    named = [p for _, p in triage.department.candidates]
    assert all(0 <= p <= 1 for p in [*likely, *named, triage.department.probability, triage.urgency.probability])
    assert len(named) == 2 and triage.department.probability >= named[0] >= named[1]
    others = [*triage.department.assisting, *(name for name, _ in triage.department.candidates)]
    assert triage.department.id not in others


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value


def task(labels: int, bias: float, threshold: Sequence[float] = (), **weights: float) -> TaskFusion:
    return TaskFusion(
        weights={name: np.full(labels, weight) for name, weight in weights.items()},
        bias=np.full(labels, bias),
        thresholds=np.array(threshold),
    )


def deciding(triager: Triager, **tasks: Any) -> Triager:
    """The triager with parts of its fusion replaced."""
    other = copy(triager)
    other.fusion = replace(triager.fusion, **tasks)
    return other


def test_one_triage_for_each_complaint_in_order(triager: Triager) -> None:
    found = triager.triage(complaints())
    for complaint, triage in zip(complaints(), found, strict=True):
        check(complaint, triage)
    assert any(triage.misconduct for triage in found) and len({t.department.id for t in found}) > 3
    assert triager.triage([]) == []


def test_together_is_as_one_by_one(triager: Triager) -> None:
    together = triager.triage(complaints())
    alone = [triager.triage([complaint])[0] for complaint in complaints()]
    backwards = triager.triage(complaints()[::-1])[::-1]
    assert rounded([asdict(t) for t in together]) == rounded([asdict(t) for t in alone])
    assert rounded([asdict(t) for t in together]) == rounded([asdict(t) for t in backwards])


def test_many_complaints_are_read_in_several_batches(triager: Triager) -> None:
    many = [complaint_from_text(f"n{n}", TEXTS[n % 6] + str(n)) for n in range(150)]
    assert sum(len(triager.bundle.tokenizer.tokenise(c)) for c in many) > BATCH_TOKENS
    found = triager.triage(many)
    assert [triage.id for triage in found] == [complaint.id for complaint in many]
    assert rounded(asdict(found[7])) == rounded(asdict(triager.triage([many[7]])[0]))


@pytest.mark.parametrize("text", ["。。。", "，，，！！！", "\u200b", "\n \n", "？"])
def test_from_nothing_follows_nothing(triager: Triager, text: str) -> None:
    (found,) = triager.triage([complaint_from_text("c", text)])
    assert (found.misconduct, found.department.id, found.urgency.card) == ((), "other", "blue")
    assert evidence_of(found) == [] and found.department.unit is None


@pytest.mark.parametrize("text", ["😀", "👨‍👩‍👧", "0", "13800000000", "ok", "¿Qué?", "ㄅㄆㄇ", "@#￥%", "的" * 3])
def test_texts_without_words_are_triaged(triager: Triager, text: str) -> None:
    complaint = complaint_from_text("c", text)
    check(complaint, triager.triage([complaint])[0])
    (reading,) = triager.read([complaint])
    assert reading.mentions == () and not any(reading.misconduct["strong"])


def test_what_only_the_agent_says_alleges_nothing(triager: Triager) -> None:
    said = complaint_from_turns("c", [(Speaker.AGENT, "他们推诿扯皮，故意刁难，收红包吗")])
    deaf = deciding(triager, misconduct=replace(triager.fusion.misconduct, bias=np.full(25, 5.0)))
    (found,) = deaf.triage([said])
    assert found.misconduct == ()


@pytest.mark.parametrize("unit", ["几个部门踢皮球，没人管。", "推诿扯皮" * 3 + " ", "😀，"])
def test_twenty_thousand_characters(triager: Triager, unit: str) -> None:
    complaint = complaint_from_text("c", (unit * 20_000)[:20_000])
    (found,) = triager.triage([complaint])
    check(complaint, found)
    assert found.department.evidence


@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=120))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_evidence_stands_in_any_text(triager: Triager, text: str) -> None:
    complaint = complaint_from_text("c", text)
    check(complaint, triager.triage([complaint])[0])


@given(
    turns=st.lists(
        st.tuples(st.sampled_from(Speaker), st.text("窗口，。收钱\r\n㎡ﬁ\u200b１兩a ", max_size=20)),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_evidence_stands_in_its_turn(triager: Triager, turns: list[tuple[Speaker, str]]) -> None:
    complaint = complaint_from_turns("c", turns)
    check(complaint, triager.triage([complaint])[0])


def test_who_decided_is_named(triager: Triager, policy: Policy) -> None:
    (found,) = triager.triage([complaint_from_text("c", "推诿")])
    assert found.versions.bundle == triager.bundle.version
    assert found.versions.taxonomy == policy.taxonomy.label
    assert policy.rules_digest.startswith(found.versions.rules) and len(found.versions.rules) == 12


def test_thresholds_decide_the_types(triager: Triager) -> None:
    for threshold, count in ((0.0, 25), (1.1, 0)):
        fusion = replace(triager.fusion.misconduct, thresholds=np.full(25, threshold))
        (found,) = deciding(triager, misconduct=fusion).triage([complaint_from_text("c", TEXTS[0])])
        assert len(found.misconduct) == count


@pytest.mark.parametrize(
    ("thresholds", "card"), [((2, 2), "blue"), ((0, 2), "yellow"), ((0, 0), "red"), ((2, 0), "red")]
)
def test_the_highest_step_reached_decides_the_card(
    triager: Triager, thresholds: tuple[float, float], card: str
) -> None:
    fusion = replace(triager.fusion.urgency, thresholds=np.array(thresholds))
    (found,) = deciding(triager, urgency=fusion).triage([complaint_from_text("c", TEXTS[0])])
    assert found.urgency.card == card
    assert bool(found.urgency.evidence) == (card != "blue")


def test_cards_share_one_probability(triager: Triager) -> None:
    shares = []
    for thresholds in ((2, 2), (0, 2), (0, 0)):
        fusion = replace(triager.fusion.urgency, thresholds=np.array(thresholds))
        shares.append(
            deciding(triager, urgency=fusion).triage([complaint_from_text("c", TEXTS[1])])[0].urgency.probability
        )
    assert sum(shares) == pytest.approx(1)


def test_a_named_unit_decides_where_the_model_is_not_asked(triager: Triager) -> None:
    by_rules = deciding(triager, department=task(37, 0.0, strong=10.0))
    (found,) = by_rules.triage([complaint_from_text("c", "我去縣住建局问过")])
    assert (found.department.id, found.department.unit) == ("housing_construction", "county_housing_bureau")
    assert found.department.assisting == ()
    (two,) = by_rules.triage([complaint_from_text("c", "县住建局和县税务局都去了")])
    assert {two.department.id, *two.department.assisting} == {"housing_construction", "tax"}
    assert two.department.unit in {"county_housing_bureau", "county_tax_bureau"}


def test_a_rule_raises_what_it_speaks_for(triager: Triager) -> None:
    (reading,) = triager.read([complaint_from_text("c", TEXTS[0])])
    kind = triager.taxonomy.misconduct_ids.index("buck_passing")
    fired = sum(reading.misconduct[strength][kind] for strength in ("strong", "medium", "weak"))
    assert fired >= 1
    ruled = deciding(triager, misconduct=task(25, -1.0, [0.5] * 25, strong=3.0, medium=3.0, weak=3.0))
    assert "buck_passing" in {tag.type for tag in ruled.decide(reading).misconduct}
    (quiet,) = ruled.triage([complaint_from_text("c", "推诿扯皮的情况没有")])
    assert quiet.misconduct == ()


def test_the_fusion_of_the_bundle_is_the_default(triager: Triager, policy: Policy) -> None:
    again = Triager(policy, triager.bundle)
    assert again.fusion is triager.bundle.fusion
    empty = Fusion(
        misconduct=task(25, -9.0, [0.5] * 25),
        alleged=task(1, 0.0, [0.0, 1.0]),
        department=task(37, 0.0),
        urgency=task(2, -9.0, [0.5] * 2),
        assisting=1.0,
    )
    (found,) = Triager(policy, triager.bundle, empty).triage([complaint_from_text("c", TEXTS[0])])
    assert (found.misconduct, found.urgency.card) == ((), "blue")
    assert found.department.probability == pytest.approx(1 / 37)
