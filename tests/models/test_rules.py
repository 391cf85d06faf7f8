"""How keyword rules match: on small policies written here, and on the shipped one."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.complaint import Complaint, Speaker
from data.policy_schema import Guard, Policy, Rule, RuleExamples, Supports
from data.text import normalise
from data.transcript import complaint_from_text, complaint_from_turns
from models.rules import RuleEngine, RuleMatch

ROWS = RuleExamples(match=("甲", "乙"), no_match=("丙", "丁"))


def rule(*terms: str, id: str = "ru-001", **more: Any) -> Rule:
    """A misconduct rule, unless ``more`` says otherwise."""
    supports = more.pop("supports", {"misconduct": "buck_passing"})
    return Rule(id=id, supports=Supports(**supports), strength="strong", terms=terms, examples=ROWS, **more)


def guard(
    where: str, *cues: str, reach: str = "clause", kind: str = "negation", exceptions: Sequence[str] = ()
) -> Guard:
    return Guard.model_validate(
        {"id": f"g-{where}-{kind}", "kind": kind, "cues": cues, "where": where, "reach": reach, "except": exceptions}
    )


class Small:
    """A small policy, tried on texts."""

    def __init__(self, policy: Policy, rules: Sequence[Rule], guards: Sequence[Guard] = ()) -> None:
        self.engine = RuleEngine(replace(policy, rules=tuple(rules), guards=tuple(guards), dictionary=()))

    def match(self, complaint: Complaint) -> list[RuleMatch]:
        return self.engine.match(complaint, normalise(complaint.text))

    def hits(self, text: str) -> list[str]:
        """The words of the original text that rules matched."""
        normalised = normalise(text)
        spans = [normalised.original(m.span) for m in self.engine.match(complaint_from_text("c", text), normalised)]
        return [text[span.start : span.end] for span in spans]


def test_a_term_is_found_wherever_it_stands(policy: Policy) -> None:
    small = Small(policy, [rule("踢皮球", "推来推去")])
    assert small.hits("几个部门踢皮球，窗口之间推来推去。又踢皮球") == ["踢皮球", "推来推去", "踢皮球"]
    assert small.hits("一切正常") == [] and small.hits("") == []


def test_full_width_traditional_and_capital_letters_need_no_variants(policy: Policy) -> None:
    small = Small(policy, [rule("刷vip卡", "乱收费", "12345不通")])
    assert small.hits("只能刷ＶＩＰ卡。又刷Vip卡") == ["刷ＶＩＰ卡", "刷Vip卡"]
    assert small.hits("學校亂收費") == ["亂收費"]
    assert small.hits("我打１２３４５不通") == ["１２３４５不通"]
    assert Small(policy, [rule("亂收費", "刷ＶＩＰ卡")]).hits("乱收费，刷vip卡") == ["乱收费", "刷vip卡"]


def test_invisible_characters_do_not_hide_a_term(policy: Policy) -> None:
    small = Small(policy, [rule("踢皮球")])
    text = "面积50㎡的店，部门踢\u200b皮\u00ad球"
    assert small.hits(text) == ["踢\u200b皮\u00ad球"]


def test_spans_are_of_the_normalised_text(policy: Policy) -> None:
    small = Small(policy, [rule("踢皮球")])
    (found,) = small.match(complaint_from_text("c", "５０㎡，踢皮球"))
    assert normalise("５０㎡，踢皮球").text[found.span.start : found.span.end] == "踢皮球"
    assert found.span.start == len("50m2，")


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("他收红包", ["收红包"]),
        ("他收了我两个红包", ["收了我两个红包"]),
        ("收一二三四五六七八红包", ["收一二三四五六七八红包"]),
        ("收一二三四五六七八九红包", []),
        ("收了，红包", []),
        ("收了。红包", []),
        ("收了\n红包", []),
        ("收了；红包", []),
        ("收收收红包", ["收收收红包"]),
        ("红包收了", []),
    ],
)
def test_the_gap_mark_is_up_to_eight_characters_of_one_clause(policy: Policy, text: str, hits: list[str]) -> None:
    assert Small(policy, [rule("收…红包")]).hits(text) == hits


def test_a_term_may_hold_two_gaps(policy: Policy) -> None:
    small = Small(policy, [rule("让我找…又让…找")])
    assert small.hits("三号窗口让我找七号又让我去找三号") == ["让我找七号又让我去找"]
    assert small.hits("让我找七号，又让我找三号") == []


@pytest.mark.parametrize(("reach", "hits"), [("clause", 1), ("sentence", 2), ("text", 3)])
def test_context_must_stand_within_reach(policy: Policy, reach: str, hits: int) -> None:
    small = Small(policy, [rule("踢皮球", context=["部门", "窗…口"], reach=reach)])
    texts = ["这个部门踢皮球", "去过部门，踢皮球", "去过部门。踢皮球", "孩子踢皮球"]
    assert sum(bool(small.hits(text)) for text in texts) == hits
    assert small.hits("窗子的口，踢皮球") == (["踢皮球"] if reach != "clause" else [])


@pytest.mark.parametrize(("reach", "hits"), [("clause", 3), ("sentence", 2), ("text", 1)])
def test_unless_must_not_stand_within_reach(policy: Policy, reach: str, hits: int) -> None:
    small = Small(policy, [rule("踢皮球", unless=["孩子"], reach=reach)])
    texts = ["孩子踢皮球", "孩子呢，踢皮球", "有个孩子。踢皮球", "部门踢皮球"]
    assert sum(bool(small.hits(text)) for text in texts) == hits


@pytest.fixture(scope="module")
def short(policy: Policy) -> Small:
    return Small(
        policy,
        [
            rule("推诿", "卡", supports={"department": "tax"}),
            rule("打…人", supports={"department": "tax"}, id="ru-002"),
        ],
    )


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("部门之间推诿", ["推诿"]),
        ("办事的时候卡 住了", ["卡"]),
        ("换了身份证和银行卡", []),
        ("他在卡拉OK上班", []),
        ("动手打老人", ["打老人"]),
    ],
)
def test_terms_of_one_or_two_characters_are_words_of_their_own(short: Small, text: str, hits: list[str]) -> None:
    assert short.hits(text) == hits


@given(text=st.text("部门推诿收银行卡拉不打，。 a1-😀", min_size=1, max_size=40))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_words_are_those_of_the_whole_text(short: Small, text: str) -> None:
    """They are looked up stretch by stretch, which must make no difference."""
    normalised = normalise(text)
    edges = short.engine.dictionary.boundaries(normalised.text)
    words = [(m.start(), m.end()) for m in re.finditer("推诿|卡", normalised.text) if {m.start(), m.end()} <= edges]
    matches = short.engine.match(complaint_from_text("c", text), normalised)
    assert [(m.span.start, m.span.end) for m in matches if m.rule.id == "ru-001"] == words


@pytest.mark.parametrize(
    ("where", "reach", "guarded", "counts"),
    [
        (
            "before", "clause",
            ["没有踢皮球", "他们没有再踢皮球"],
            ["没有人管，踢皮球", "没有。踢皮球", "踢皮球没有", "没有一二三四五六七八九十一二踢皮球"],
        ),
        (
            "before", "sentence",
            ["没有踢皮球", "没有的事，踢皮球", "没有一二三四五六七八九十一二踢皮球"],
            ["没有。踢皮球", "没有\n踢皮球", "踢皮球没有", "没有" + "一" * 40 + "踢皮球"],
        ),
        ("after", "clause", ["踢皮球没有", "踢皮球这种事没有"], ["踢皮球，没有人管", "没有踢皮球", "踢皮球" + "一" * 12 + "没有"]),
        ("after", "sentence", ["踢皮球，没有这种事"], ["踢皮球。没有这种事", "没有踢皮球"]),
        ("around", "clause", ["没有踢皮球", "踢皮球没有"], ["没有，踢皮球，没有"]),
        ("around", "sentence", ["没有，踢皮球", "踢皮球，没有"], ["没有。踢皮球。没有"]),
    ],
)  # fmt: skip
def test_a_guard_looks_in_its_direction_as_far_as_it_reaches(
    policy: Policy, where: str, reach: str, guarded: list[str], counts: list[str]
) -> None:
    small = Small(policy, [rule("踢皮球")], [guard(where, "没有", reach=reach)])
    assert [text for text in guarded if small.hits(text)] == []
    assert [text for text in counts if not small.hits(text)] == []


def test_an_exception_that_holds_the_cue_lifts_the_guard(policy: Policy) -> None:
    small = Small(policy, [rule("踢皮球")], [guard("before", "没有", "不…再", exceptions=["没有人管", "有没有"])])
    assert small.hits("没有人管只踢皮球") == ["踢皮球"]
    assert small.hits("有没有踢皮球") == ["踢皮球"]
    assert small.hits("没有人管也没有踢皮球") == []
    assert small.hits("不会再踢皮球") == []


def test_a_cue_inside_the_matched_words_does_not_count(policy: Policy) -> None:
    small = Small(policy, [rule("没有人管", "一直…没有")], [guard("around", "没有")])
    assert small.hits("路坏了没有人管") == ["没有人管"]
    assert small.hits("一直都没有") == ["一直都没有"]
    assert small.hits("没有没有人管") == []


@pytest.mark.parametrize("kind", ["negation", "hearsay", "quotation", "question", "praise", "third_party"])
def test_an_unguarded_kind_is_not_heeded(policy: Policy, kind: str) -> None:
    guards = [
        guard("before", "这里", kind=kind),
        guard("after", "那里", kind="praise" if kind != "praise" else "question"),
    ]
    bold = rule("踢皮球", id="ru-001", unguarded=[kind])
    shy = rule("踢皮球", id="ru-002")
    matched = {m.rule.id for m in Small(policy, [bold, shy], guards).match(complaint_from_text("c", "这里踢皮球"))}
    assert matched == {"ru-001"}
    assert Small(policy, [bold, shy], guards).hits("踢皮球那里") == []


def test_guards_hold_back_urgency_but_not_department(policy: Policy) -> None:
    rules = [
        rule("煤气泄漏", id="ru-001", supports={"urgency": "red"}),
        rule("煤气泄漏", id="ru-002", supports={"department": "utilities"}),
    ]
    small = Small(policy, rules, [guard("before", "没有")])
    found = {m.rule.id for m in small.match(complaint_from_text("c", "没有煤气泄漏"))}
    assert found == {"ru-002"}
    assert len(small.hits("楼下煤气泄漏")) == 2


def test_in_a_transcript_only_the_citizen_alleges(policy: Policy) -> None:
    rules = [
        rule("踢皮球", id="ru-001"),
        rule("煤气泄漏", id="ru-002", supports={"urgency": "red"}),
        rule("税务局", id="ru-003", supports={"department": "tax"}),
    ]
    small = Small(policy, rules)
    said = "税务局踢皮球还煤气泄漏"
    by_agent = complaint_from_turns("c", [(Speaker.AGENT, said), (Speaker.CITIZEN, "对")])
    by_citizen = complaint_from_turns("c", [(Speaker.AGENT, "您好"), (Speaker.CITIZEN, said)])
    assert [m.rule.id for m in small.match(by_agent)] == ["ru-003"]
    assert [m.rule.id for m in small.match(by_citizen)] == ["ru-001", "ru-002", "ru-003"]
    marked = "坐席：是说税务局踢皮球吗？\n市民：是的，天天踢皮球"
    assert small.hits(marked) == ["踢皮球", "税务局"]


def test_context_in_the_mouth_of_the_agent_counts(policy: Policy) -> None:
    small = Small(policy, [rule("踢皮球", context=["部门"], reach="text")])
    turns = [(Speaker.AGENT, "哪个部门"), (Speaker.CITIZEN, "几家踢皮球")]
    assert len(small.match(complaint_from_turns("c", turns))) == 1


def test_overlapping_matches_of_one_rule_count_once(policy: Policy) -> None:
    small = Small(policy, [rule("踢皮球", "互相踢皮球", "皮球来回", id="ru-001"), rule("皮球来回", id="ru-002")])
    found = small.match(complaint_from_text("c", "互相踢皮球来回。踢皮球"))
    assert [m.rule.id for m in found] == ["ru-001", "ru-001", "ru-002"]
    spans = [m.span for m in found[:2]]
    assert not spans[0].overlaps(spans[1]) and spans[0].start < spans[1].start


def test_a_guarded_match_leaves_room_for_one_that_counts(policy: Policy) -> None:
    small = Small(policy, [rule("踢皮球", "皮球踢来踢去")], [guard("before", "没有")])
    assert small.hits("没有踢皮球。把皮球踢来踢去") == ["皮球踢来踢去"]


def test_no_rules_match_nothing(policy: Policy) -> None:
    assert Small(policy, []).hits("几个部门踢皮球") == []


def test_the_shipped_rules_on_a_long_text(policy: Policy) -> None:
    engine = RuleEngine(policy)
    text = "今天天气很好，" * 2_800 + "几个部门踢皮球，跑了半个月"
    found = engine.match(complaint_from_text("c", text), normalise(text))
    assert "buck_passing" in {m.rule.supports.misconduct for m in found}
    assert all(0 <= m.span.start < m.span.end <= len(text) for m in found)
