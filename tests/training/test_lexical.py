"""Fitting the n-gram model."""

import numpy as np
import pytest

from data.complaint import LabelledComplaint, Labels, Speaker
from data.taxonomy import Taxonomy
from data.text import normalise
from data.transcript import complaint_from_text, complaint_from_turns
from models.lexical import BUCKETS, LexicalScorer, claims
from training.lexical import ABSENT, fit_claims, fit_lexical

SAID = [
    ("窗口收了红包才办", {"soliciting_benefits"}, "tax", "yellow"),
    ("办事员收红包还要烟", {"soliciting_benefits"}, "tax", "yellow"),
    ("没送红包就不给盖章", {"soliciting_benefits", "refusal_to_act"}, "tax", "blue"),
    ("收了红包拖着不办", {"soliciting_benefits", "undue_delay"}, "tax", "blue"),
    ("医生说话难听", {"rude_attitude"}, "health", "blue"),
    ("医院挂号排队太久", set(), "health", "blue"),
    ("医院楼道起火了", set(), "health", "red"),
    ("咨询医保报销比例", set(), "health", "blue"),
]


def rows() -> list[LabelledComplaint]:
    return [
        LabelledComplaint(
            complaint=complaint_from_text(str(number), text),
            labels=Labels(misconduct=frozenset(types), department=department, urgency=card),
            group=str(number),
        )
        for number, (text, types, department, card) in enumerate(SAID)
    ]


@pytest.fixture(scope="module")
def scorer(taxonomy: Taxonomy) -> LexicalScorer:
    return fit_lexical(rows(), taxonomy)


def column(taxonomy: Taxonomy, name: str) -> int:
    return (*taxonomy.misconduct_ids, "alleged", *taxonomy.department_ids, "above blue", "above yellow").index(name)


def test_shapes(scorer: LexicalScorer) -> None:
    assert scorer.weights.shape == (BUCKETS, 65) and scorer.weights.dtype == np.float16
    assert scorer.idf.shape == (BUCKETS,) and scorer.bias.shape == (65,)


def test_it_learns_which_words_speak_for_a_label(scorer: LexicalScorer, taxonomy: Taxonomy) -> None:
    red_envelope, hospital = scorer.scores("他们要收红包"), scorer.scores("医院的事")
    for name in ("soliciting_benefits", "tax"):
        assert red_envelope[column(taxonomy, name)] > 0 > hospital[column(taxonomy, name)]
    assert hospital[column(taxonomy, "health")] > 0 > red_envelope[column(taxonomy, "health")]


def test_labels_that_tell_nothing_are_absent(scorer: LexicalScorer, taxonomy: Taxonomy) -> None:
    for name in ("embezzlement", "courts"):
        assert scorer.scores("窗口收了红包")[column(taxonomy, name)] == ABSENT
        assert not scorer.weights[:, column(taxonomy, name)].any()


def test_the_higher_step_is_learned_from_rows_that_reach_it(taxonomy: Taxonomy) -> None:
    scorer = fit_lexical(rows(), taxonomy)
    assert scorer.scores("楼道起火了")[column(taxonomy, "above yellow")] > 0
    assert scorer.scores("窗口收了红包")[column(taxonomy, "above yellow")] < 0


def test_unlabelled_rows_are_left_out_of_their_task(scorer: LexicalScorer, taxonomy: Taxonomy) -> None:
    silent = [
        LabelledComplaint(complaint=complaint_from_text(f"x{n}", text), labels=Labels(urgency="blue"), group=f"x{n}")
        for n, text in enumerate(["收红包", "要收红包", "又收红包"])
    ]
    more = fit_lexical(rows() + silent, taxonomy)
    assert more.scores("他们要收红包")[column(taxonomy, "soliciting_benefits")] > 0
    as_negative = [
        LabelledComplaint(
            complaint=one.complaint, labels=Labels(misconduct=frozenset(), urgency="blue"), group=one.group
        )
        for one in silent
    ]
    fewer = fit_lexical(rows() + as_negative, taxonomy)
    at = column(taxonomy, "soliciting_benefits")
    assert fewer.scores("他们要收红包")[at] < more.scores("他们要收红包")[at]


def test_the_agents_words_teach_nothing(taxonomy: Taxonomy) -> None:
    spoken = [
        LabelledComplaint(
            complaint=complaint_from_turns("t", [(Speaker.AGENT, "鲲鹏展翅"), (Speaker.CITIZEN, text)]),
            labels=Labels(misconduct=frozenset(types), department=department, urgency=card),
            group="t",
        )
        for text, types, department, card in SAID
    ]
    assert (
        fit_lexical(spoken, taxonomy).scores("鲲鹏").tolist() == fit_lexical(rows(), taxonomy).scores("鲲鹏").tolist()
    )


def test_quotes_teach_which_pair_of_clauses_alleges(taxonomy: Taxonomy) -> None:
    quoted = [
        LabelledComplaint(
            complaint=complaint_from_text(str(n), f"我去办证，{quote}，回家天黑了，路上没灯"),
            labels=Labels(misconduct=frozenset({"soliciting_benefits"}), evidence={"soliciting_benefits": quote}),
            group=str(n),
        )
        for n, quote in enumerate(["窗口收了红包", "办事员要两条烟", "没送红包不给盖章", "科长伸手要红包"])
    ]
    calm = [
        LabelledComplaint(
            complaint=complaint_from_text(f"c{n}", text), labels=Labels(misconduct=frozenset()), group=f"c{n}"
        )
        for n, text in enumerate(["我去办证，回家天黑了", "路上没灯，请修一修", "孩子上学，问问名额"])
    ]
    scorer = fit_claims([*quoted, *calm], taxonomy)
    kind = taxonomy.misconduct_ids.index("soliciting_benefits")
    accusing, harmless = scorer.all_scores(["主任收了红包", "回家天黑了，路上没灯"])
    assert accusing[kind] > harmless[kind] and accusing[-1] > harmless[-1]
    assert (scorer.bias[[i for i in range(25) if i != kind]] == ABSENT).all()
    assert scorer.all_scores([]).shape == (0, 26)


def test_a_claim_is_a_clause_with_the_next_of_the_same_speaker() -> None:
    turns = [(Speaker.CITIZEN, "一，二。三"), (Speaker.AGENT, "四"), (Speaker.CITIZEN, "五")]
    spoken = complaint_from_turns("c", turns)
    text = normalise(spoken.text)
    assert [text.text[s.start : s.end] for s in claims(spoken, text)] == ["一,二", "二。三", "三", "五"]
    only_agent = complaint_from_turns("c", [(Speaker.AGENT, "收了红包")])
    assert claims(only_agent, normalise(only_agent.text)) == []
