"""Which words stand behind a tag: the clause that carries it, its neighbours, rules and named units."""

from dataclasses import replace

import numpy as np
import pytest

from data.complaint import Complaint, Speaker, Utterance
from data.taxonomy import Taxonomy
from data.text import Span
from data.transcript import complaint_from_text, complaint_from_turns
from models.evidence import CLAIM_WEIGHT, LONGEST, NEIGHBOUR_GAP, Evidence, EvidenceFinder
from models.pooling import NEVER
from models.triage import Reading, Triager

TEXT = "一开始很好，窗口收了我两条烟，还骂人。后来没事"


@pytest.fixture
def finder(taxonomy: Taxonomy) -> EvidenceFinder:
    return EvidenceFinder(taxonomy)


def with_scores(triager: Triager, complaint: Complaint, *scores: float, part: str = "clause_misconduct") -> Reading:
    """A reading whose clauses have these scores for the first label."""
    (reading,) = triager.read([complaint])
    table = np.array(getattr(reading.logits, part))
    assert len(table) == len(scores), [c.span for c in reading.tokens.clauses]
    table[:] = 0
    table[:, 0] = scores
    logits = replace(reading.logits, **{part: table})
    return replace(reading, logits=logits, claimed=np.zeros_like(reading.claimed), matches=(), mentions=())


def first(finder: EvidenceFinder, reading: Reading) -> Evidence:
    found = finder.misconduct(reading, 0)
    assert [one.source for one in found] == ["model"]
    return found[0]


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ((-9, 3, -9, -9), "窗口收了我两条烟"),
        ((-9, 3, 2.9 - NEIGHBOUR_GAP, -9), "窗口收了我两条烟"),
        ((-9, 3, 3.1 - NEIGHBOUR_GAP, -9), "窗口收了我两条烟，还骂人"),
        ((2, 3, -9, -9), "一开始很好，窗口收了我两条烟"),
        ((-9, -9, 2, 2.5), "还骂人。后来没事"),
        ((-9, 3, 2, 2), "窗口收了我两条烟，还骂人。后来没事"),
        ((-1, -0.5, -9, -9), "一开始很好，窗口收了我两条烟"),
        ((5, -9, -9, 4), "一开始很好"),
    ],
)
def test_the_highest_clause_and_the_neighbours_nearly_as_high(
    triager: Triager, finder: EvidenceFinder, scores: tuple[float, ...], words: str
) -> None:
    found = first(finder, with_scores(triager, complaint_from_text("c", TEXT), *scores))
    assert found.text == words == TEXT[found.start : found.end] and found.turn is None


def test_a_neighbour_is_left_out_where_both_together_are_too_long(triager: Triager, finder: EvidenceFinder) -> None:
    long, short = "窗" * 25, "口" * (LONGEST - 25)
    found = first(finder, with_scores(triager, complaint_from_text("c", f"{long}，{short}"), 3, 3))
    assert found.text == long
    found = first(finder, with_scores(triager, complaint_from_text("c", f"{long}，{short[:-1]}"), 3, 3))
    assert len(found.text) == LONGEST


def test_a_neighbour_on_another_line_is_left_out(triager: Triager, finder: EvidenceFinder) -> None:
    found = first(finder, with_scores(triager, complaint_from_text("c", "收了烟\n还骂人"), 3, 2.9))
    assert found.text == "收了烟"


def test_a_neighbour_of_another_utterance_is_left_out(triager: Triager, finder: EvidenceFinder) -> None:
    text = "收了烟。市民：还骂人"
    spans = (Span(0, 4), Span(7, 10))
    utterances = tuple(Utterance(span=span, speaker=Speaker.CITIZEN) for span in spans)
    complaint = Complaint(id="c", text=text, utterances=utterances)
    assert first(finder, with_scores(triager, complaint, 3, 2.9)).text == "收了烟"


def test_words_are_those_of_the_original(triager: Triager, finder: EvidenceFinder) -> None:
    text = "５０㎡的店，窗口收了我兩條煙\u200b，還罵人"
    found = first(finder, with_scores(triager, complaint_from_text("c", text), -9, 3, 2))
    assert found.text == "窗口收了我兩條煙\u200b，還罵人" == text[found.start : found.end]


def test_the_agent_carries_no_allegation(triager: Triager, finder: EvidenceFinder) -> None:
    turns = complaint_from_turns("c", [(Speaker.AGENT, "他收了烟吗，骂人吗"), (Speaker.CITIZEN, "是的，收了")])
    (reading,) = triager.read([turns])
    assert (reading.logits.clause_misconduct[:2] == NEVER).all()
    for index in range(25):
        found = finder.misconduct(reading, index)[0]
        assert found.turn == 1


def test_offsets_of_turns_are_within_the_turn(triager: Triager, finder: EvidenceFinder) -> None:
    said = [
        (Speaker.AGENT, "您好"),
        (Speaker.CITIZEN, ""),
        (Speaker.CITIZEN, "　窗口收了烟，還罵人"),
        (Speaker.AGENT, "好"),
    ]
    reading = with_scores(triager, complaint_from_turns("c", said), -9, 2, 3, -9)
    found = first(finder, reading)
    assert (found.turn, found.text) == (2, "窗口收了烟，還罵人")
    assert said[2][1][found.start : found.end] == found.text


def test_offsets_of_a_marked_transcript_are_of_the_whole_text(triager: Triager, finder: EvidenceFinder) -> None:
    text = "坐席：您好\n市民：窗口收了烟\n坐席：好的"
    found = first(finder, with_scores(triager, complaint_from_text("c", text), NEVER, 3, NEVER))
    assert (found.turn, found.text) == (None, "窗口收了烟") and text[found.start : found.end] == found.text


def test_rules_stand_beside_the_model(triager: Triager, finder: EvidenceFinder, taxonomy: Taxonomy) -> None:
    text = "我這個事幾個部門踢皮球，跑了半個月"
    (reading,) = triager.read([complaint_from_text("c", text)])
    found = finder.misconduct(reading, taxonomy.misconduct_ids.index("buck_passing"))
    by_rule = [one for one in found if one.source.startswith("rule:bp-")]
    assert by_rule and all("踢皮球" in one.text and text[one.start : one.end] == one.text for one in by_rule)
    other = finder.misconduct(reading, taxonomy.misconduct_ids.index("embezzlement"))
    assert [one.source for one in other] == ["model"]


def test_a_named_unit_stands_behind_its_department(
    triager: Triager, finder: EvidenceFinder, taxonomy: Taxonomy
) -> None:
    (reading,) = triager.read([complaint_from_text("c", "去縣住建局问过，没人管")])
    found = finder.department(reading, taxonomy.department_ids.index("housing_construction"))
    (unit,) = [one for one in found if one.source == "rule:unit:county_housing_bureau"]
    assert unit.text == "縣住建局"
    other = finder.department(reading, taxonomy.department_ids.index("tax"))
    assert not [one for one in other if one.source.startswith("rule:unit")]


def test_the_department_is_spoken_for_by_the_clause_that_prefers_it(triager: Triager, finder: EvidenceFinder) -> None:
    (reading,) = triager.read([complaint_from_text("c", TEXT)])
    table = np.zeros_like(reading.logits.clause_department)
    table[0], table[2, 0] = 5, 1
    reading = replace(reading, logits=replace(reading.logits, clause_department=table), matches=(), mentions=())
    assert finder.department(reading, 0)[0].text == "还骂人"


def test_the_card_is_backed_by_what_raised_it(triager: Triager, finder: EvidenceFinder) -> None:
    reading = with_scores(triager, complaint_from_text("c", TEXT), -9, -9, 4, -9, part="clause_urgency")
    assert finder.urgency(reading, 0) == ()
    assert [one.text for one in finder.urgency(reading, 1)] == ["还骂人"]


def test_a_text_without_clauses_has_no_evidence(triager: Triager, finder: EvidenceFinder) -> None:
    (reading,) = triager.read([complaint_from_text("c", "。。。！")])
    assert finder.misconduct(reading, 0) == finder.department(reading, 0) == finder.urgency(reading, 2) == ()


def test_pairs_of_clauses_lift_the_clauses_in_them(triager: Triager, finder: EvidenceFinder) -> None:
    reading = with_scores(triager, complaint_from_text("c", TEXT), -9, 0, -9, 0)
    claimed = np.zeros_like(reading.claimed)
    claimed[3, 0] = 4 / CLAIM_WEIGHT
    assert first(finder, replace(reading, claimed=claimed)).text == "后来没事"
    assert first(finder, reading).text == "窗口收了我两条烟"
