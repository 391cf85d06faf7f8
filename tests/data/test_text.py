import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.text import LONGEST_CLAUSE, Span, clauses, normalise, sentences

MIXED = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60) | st.text(
    alphabet="ＡＢ１２㎡ﬁ①臺灣縣，。！？；;\r\n\t \u200b\u3000😀👨‍👩‍👧Ⅷ…", max_size=60
)


@pytest.mark.parametrize(
    ("original", "text"),
    [
        ("ＡＢ１２３", "AB123"),
        ("面積５０㎡", "面积50m2"),
        ("第①條", "第1条"),
        ("臺灣縣政府", "台湾县政府"),
        ("零\u200b宽", "零宽"),
        ("一\r\n二\r三", "一\n二\n三"),
        ("停水。", "停水。"),
        ("好😀", "好😀"),
        ("", ""),
    ],
)
def test_normal_form(original: str, text: str) -> None:
    assert normalise(original).text == text


def test_a_character_that_grows_maps_back_whole() -> None:
    text = normalise("有㎡的")
    assert text.text == "有m2的"
    assert text.original(Span(1, 2)) == text.original(Span(1, 3)) == Span(1, 2)
    assert text.normalised(Span(1, 2)) == Span(1, 3)


def test_a_dropped_character_lies_between() -> None:
    text = normalise("零\u200b宽")
    assert text.original(Span(0, 2)) == Span(0, 3)
    assert text.original(Span(1, 1)) == Span(2, 2)
    assert text.original(Span(2, 2)) == Span(3, 3)


@given(MIXED)
def test_every_character_has_its_origin_in_order(original: str) -> None:
    text = normalise(original)
    assert len(text.origins) == len(text.text)
    assert list(text.origins) == sorted(text.origins)
    assert all(0 <= origin < len(original) for origin in text.origins)


@given(MIXED, st.data())
def test_a_span_goes_to_the_original_and_comes_back_covering_itself(original: str, data: st.DataObject) -> None:
    text = normalise(original)
    start = data.draw(st.integers(0, len(text.text)))
    span = Span(start, data.draw(st.integers(start, len(text.text))))
    there = text.original(span)
    back = text.normalised(there)
    if len(span):
        assert back.start <= span.start and span.end <= back.end
        assert normalise(original[there.start : there.end]).text == text.text[back.start : back.end]
    else:
        assert len(there) == 0


@given(MIXED)
def test_normalising_twice_changes_nothing_more(original: str) -> None:
    once = normalise(original).text
    assert normalise(once).text == once


@given(MIXED)
def test_sentences_cover_the_text(original: str) -> None:
    text = normalise(original).text
    found = sentences(text)
    assert "".join(text[s.start : s.end] for s in found) == text


@given(MIXED)
def test_clauses_are_ordered_bare_and_short(original: str) -> None:
    text = normalise(original).text
    found = clauses(text)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert all(
        0 < len(c) <= LONGEST_CLAUSE and not {text[c.start], text[c.end - 1]} & set("，,。！!？?；; \t\n")
        for c in found
    )


def test_clauses_within_a_span_stay_within() -> None:
    text = "您好，请讲。\n窗口骂人，还推我。"
    assert [text[c.start : c.end] for c in clauses(text, Span(7, len(text)))] == ["窗口骂人", "还推我"]


def test_speech_without_punctuation_is_cut() -> None:
    text = "我" * 25 + " " + "你" * 90
    found = clauses(text)
    assert text[found[0].start : found[0].end] == "我" * 25
    assert sum(len(c) for c in found) == 115


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2)])
def test_no_span_runs_backwards(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="not a span"):
        Span(start, end)


def test_spans_that_touch_do_not_overlap() -> None:
    assert Span(0, 2).overlaps(Span(1, 3))
    assert not Span(0, 2).overlaps(Span(2, 3))


@pytest.mark.parametrize(
    ("loud", "calm"),
    [
        ("没人管！！！", "没人管。"),
        ("没人管!", "没人管。"),
        ("没人管。！", "没人管。"),
        ("谁管？！！", "谁管?"),
        ("！救命", "。救命"),
    ],
)
def test_exclamation_marks_are_one_full_stop(loud: str, calm: str) -> None:
    found = normalise(loud)
    assert found.text == calm
    assert found.original(Span(0, len(found.text))).start == 0


def test_words_behind_exclamation_marks_keep_their_place() -> None:
    text = "没人管！！！還罵人！"
    found = normalise(text)
    at = found.text.index("还骂人")
    span = found.original(Span(at, at + 3))
    assert text[span.start : span.end] == "還罵人"
