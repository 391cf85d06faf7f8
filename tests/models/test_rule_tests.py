"""Trying out rules: what passes, what fails and why, and precision on labelled rows."""

from dataclasses import replace

import pytest

from data.complaint import LabelledComplaint, Labels
from data.policy_schema import Guard, GuardExamples, Policy, Rule, RuleExamples, Supports
from data.transcript import complaint_from_text
from models.rule_tests import Expectation, RuleHits, count_hits, run_examples

MATCH = ("窗口和民政踢皮球", "镇里几个部门踢皮球")
NO_MATCH = ("孩子在公园玩", "窗口态度很好")


def rule(
    id: str = "aa-001", match: tuple[str, ...] = MATCH, no_match: tuple[str, ...] = NO_MATCH, **fields: object
) -> Rule:
    given = {"supports": Supports(misconduct="buck_passing"), "strength": "strong", "terms": ("踢皮球",), **fields}
    return Rule.model_validate({"id": id, "examples": RuleExamples(match=match, no_match=no_match), **given})


def guard(guarded: tuple[str, ...] = (), not_guarded: tuple[str, ...] = (), **fields: object) -> Guard:
    given = {"id": "negation", "kind": "negation", "cues": ("没有",), "where": "before", "reach": "clause", **fields}
    return Guard.model_validate({**given, "examples": GuardExamples(guarded=guarded, not_guarded=not_guarded)})


def with_rules(policy: Policy, *rules: Rule, guards: tuple[Guard, ...] = ()) -> Policy:
    return replace(policy, rules=rules, guards=guards)


def why(policy: Policy, expectation: Expectation) -> str:
    (failure,) = run_examples(policy).failures
    assert failure.expectation is expectation
    return failure.why


def test_rows_that_keep_their_promise_do_not_fail(policy: Policy) -> None:
    sound = guard(guarded=("他们没有踢皮球",), not_guarded=("没有办法，他们踢皮球",))
    report = run_examples(with_rules(policy, rule(), guards=(sound,)))
    assert report.rows == 6
    assert report.failures == ()


def test_match_must_be_by_that_very_rule(policy: Policy) -> None:
    other = rule("aa-002", match=("互相推诿不办", *MATCH), terms=("互相推诿",))
    report = run_examples(with_rules(policy, rule(), other))
    assert [(failure.owner, failure.text) for failure in report.failures] == [("aa-002", text) for text in MATCH]


def test_silence_without_the_words(policy: Policy) -> None:
    assert "terms" in why(with_rules(policy, rule(match=(MATCH[0], "窗口不办"))), Expectation.MATCH)


def test_silence_for_want_of_context(policy: Policy) -> None:
    found = why(with_rules(policy, rule(match=(*MATCH, "他们踢皮球"), context=("窗口", "部门"))), Expectation.MATCH)
    assert "context" in found


def test_silence_by_an_unless_word_names_the_word(policy: Policy) -> None:
    found = why(with_rules(policy, rule(match=(*MATCH, "公园里踢皮球"), unless=("足球", "公园"))), Expectation.MATCH)
    assert "unless" in found and "公园" in found and "足球" not in found


def test_silence_by_a_guard_names_the_guard(policy: Policy) -> None:
    idle = guard(id="praise", kind="praise", cues=("感谢",))
    found = why(with_rules(policy, rule(match=(*MATCH, "他们没有踢皮球")), guards=(idle, guard())), Expectation.MATCH)
    assert "guard negation" in found and "praise" not in found


def test_no_match_that_fires_quotes_the_words(policy: Policy) -> None:
    found = why(with_rules(policy, rule(no_match=(NO_MATCH[0], "孩子踢皮球"))), Expectation.NO_MATCH)
    assert "aa-001「踢皮球」" in found


def test_guarded_row_that_fires_names_the_rules(policy: Policy) -> None:
    leaky = guard(guarded=("没有的事，他们踢皮球",))
    assert "aa-001「踢皮球」" in why(with_rules(policy, rule(), guards=(leaky,)), Expectation.GUARDED)


def test_guarded_row_may_fire_department_and_urgency_rules(policy: Policy) -> None:
    department = rule("aa-002", supports=Supports(department="tax"))
    sound = guard(guarded=("他们没有踢皮球",))
    assert run_examples(with_rules(policy, rule(), department, guards=(sound,))).failures == ()


def test_not_guarded_row_held_back_names_rule_and_guard(policy: Policy) -> None:
    strict = guard(not_guarded=("没有人来，窗口踢皮球", "没有踢皮球才怪"))
    found = why(with_rules(policy, rule(), guards=(strict,)), Expectation.NOT_GUARDED)
    assert "aa-001" in found and "guard negation" in found


def test_not_guarded_row_without_any_rule(policy: Policy) -> None:
    bare = guard(not_guarded=("今天天气好",))
    assert "没有任何 misconduct 规则" in why(with_rules(policy, rule(), guards=(bare,)), Expectation.NOT_GUARDED)


def labelled(text: str, assisting: tuple[str, ...] = (), **labels: object) -> LabelledComplaint:
    complaint = complaint_from_text("x", text)
    return LabelledComplaint(complaint=complaint, labels=Labels(**labels), group="x", assisting=assisting)


def test_hits_and_precision_by_dimension(policy: Policy) -> None:
    rules = (
        rule("aa-001"),
        rule("aa-002", supports=Supports(department="tax"), terms=("税务",)),
        rule("aa-003", supports=Supports(urgency="red"), terms=("着火",)),
        rule("aa-004", terms=("从不出现",)),
    )
    rows = [
        labelled("踢皮球，又踢皮球", misconduct=frozenset({"buck_passing", "extortion"})),
        labelled("踢皮球", misconduct=frozenset()),
        labelled("踢皮球", department="tax"),
        labelled("税务", department="finance", assisting=("tax",)),
        labelled("税务", department="finance"),
        labelled("着火", urgency="red"),
    ]
    hits = count_hits(with_rules(policy, *rules), rows)
    assert [(one.rule, one.hits, one.correct, one.precision) for one in hits] == [
        ("aa-001", 2, 1, 0.5),
        ("aa-002", 2, 1, 0.5),
        ("aa-003", 1, 1, 1.0),
        ("aa-004", 0, 0, None),
    ]
    assert [(one.dimension, one.label) for one in hits[:2]] == [("misconduct", "buck_passing"), ("department", "tax")]


@pytest.mark.parametrize(("hits", "correct", "precision"), [(0, 0, None), (4, 3, 0.75)])
def test_precision(hits: int, correct: int, precision: float | None) -> None:
    assert RuleHits(rule="a", dimension="urgency", label="red", hits=hits, correct=correct).precision == precision


def test_shipped_rules_are_all_tried(policy: Policy) -> None:
    rows = sum(len(r.examples.match) + len(r.examples.no_match) for r in policy.rules)
    rows += sum(len(g.examples.guarded) + len(g.examples.not_guarded) for g in policy.guards)
    report = run_examples(policy)
    assert report.rows == rows
    assert [f"{one.owner} {one.expectation}: {one.text} ({one.why})" for one in report.failures] == []
