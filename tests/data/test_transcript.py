import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.complaint import Speaker
from data.transcript import complaint_from_text, complaint_from_turns, speaker_of, speakers_of

TALK = [("agent", "您好"), ("citizen", "停水了")]


def said(text: str) -> list[tuple[str, str]]:
    complaint = complaint_from_text("1", text)
    return [(u.speaker.value, text[u.span.start : u.span.end]) for u in complaint.utterances]


@pytest.mark.parametrize(
    "text",
    [
        "坐席：您好\n来电人：停水了",
        "坐席:您好\n来电:停水了",
        "客服 ： 您好\n市民 ： 停水了",
        "話務員：您好\r\n來電人：停水了",
        "\u200b坐席：您好\n\u200b市民：停水了",
        "坐席(0823)：您好\n来电人（张女士）：停水了",
        "坐席0823：您好\n市民1：停水了",
        "坐席——0823：您好\n市民甲：停水了",
        "客服小李：您好\n市民王先生：停水了",
        "客服李敏：您好\n市民-王：停水了",
        "工号0823：您好\n女士：停水了",
        "12345：您好\n诉求人：停水了",
        "【坐席】您好\n【市民】停水了",
        "【坐席3号】：您好\n【来电】：停水了",
        "［坐席］您好\n［市民］停水了",
        "<坐席>您好<市民>停水了",
        "**坐席**：您好\n**市民**：停水了",
        "**坐席：** 您好\n**市民：** 停水了",
        "- 坐席：您好\n- 市民：停水了",
        "1. 坐席：您好\n2. 市民：停水了",
        "“坐席”：您好\n“市民”：停水了",
        "坐席\t您好\n市民\t停水了",
        "[00:12] 坐席：您好\n[00:15] 市民：停水了",
        "[00:05]坐席：您好\n[00:07]来电人：停水了",
        "00:00:12 坐席 您好\n00:00:15 来电人 停水了",
        "00:00:12 坐席\n您好\n00:00:15 来电人\n停水了",
        "坐席 2024-03-05 09:12:33\n您好\n来电人 2024-03-05 09:12:40\n停水了",
        "坐席00:12：您好\n市民00:15：停水了",
        "坐席：[00:12] 您好\n市民：[00:15] 停水了",
        "【坐席 00:12】您好\n【市民 00:15】停水了",
        "[客服-小李 00:00:12]：您好\n[市民 00:00:15]：停水了",
        "1\n00:00:01,000 --> 00:00:04,000\n坐席：您好\n\n2\n00:00:05,000 --> 00:00:09,000\n来电人：停水了\n",
        "坐席：您好 来电人：停水了",
        "【坐席】您好【来电人】停水了",
        "A：您好\nB：停水了",
        "说话人1：您好\n说话人2：停水了",
        "女声：您好\n男声：停水了",
        "[坐席] 您好\n[司机] 停水了",
    ],
)
def test_marks_of_many_forms_are_read_and_left_out(text: str) -> None:
    assert said(text) == TALK


def test_several_marks_in_one_line() -> None:
    text = "坐席：您好，来电人：窗口骂人，坐席：请讲，来电人：就是他"
    expected = [("agent", "您好，"), ("citizen", "窗口骂人，"), ("agent", "请讲，"), ("citizen", "就是他")]
    assert said(text) == expected
    assert [who for who, _ in said("A：您好请讲 B：停水了 A：好的")] == ["agent", "citizen", "agent"]


def test_a_turn_of_several_lines_stays_one() -> None:
    assert said("坐席：您好\n市民：两件事\n第一：停水\n第二：停电\n坐席：好的")[1] == (
        "citizen",
        "两件事\n第一：停水\n第二：停电",
    )


def test_a_time_stamp_alone_continues_the_speaker() -> None:
    text = "[00:03] 坐席：您好\n[00:07] 来电人：停水了\n[00:20] 还停电"
    assert said(text) == [*TALK, ("citizen", "还停电")]


def test_time_stamps_without_names_tell_the_agent_by_its_phrases() -> None:
    assert said("[00:12] 您好，请讲\n[00:15] 我家停水") == [("agent", "您好，请讲"), ("citizen", "我家停水")]


def test_names_of_persons_are_told_apart_by_what_they_say() -> None:
    text = "[00:12] 李敏：您好，很高兴为您服务\n[00:15] 王强：我家停水"
    assert [who for who, _ in said(text)] == ["agent", "citizen"]


def test_the_agent_may_be_the_second_letter() -> None:
    text = "A：喂，窗口的人收了我的钱不办事，我等了三个月\nB：请讲\nA：就是这样\nB：为您登记"
    assert [who for who, _ in said(text)] == ["citizen", "agent", "citizen", "agent"]


def test_a_caller_with_an_unusual_name_still_alleges() -> None:
    text = "司机：喂\n坐席：请讲\n司机：过磅没超还要钱\n坐席：好的"
    assert said(text)[2] == ("citizen", "过磅没超还要钱")


def test_words_before_the_first_mark_are_kept_as_the_citizens() -> None:
    assert said("来电编号：123\n通话内容：\n坐席：您好\n来电人：停水了") == [
        ("citizen", "来电编号：123\n通话内容："),
        *TALK,
    ]


def test_an_agent_alone_alleges_nothing() -> None:
    assert {who for who, _ in said("坐席：您好？听得到吗\n坐席：我先挂断了。")} == {"agent"}


def test_an_agent_retold_by_the_citizen_stays_the_citizens() -> None:
    text = "坐席：您好\n市民：我去办证，工作人员：明天来。我说不行\n坐席：好"
    assert said(text)[1] == ("citizen", "我去办证，工作人员：明天来。我说不行")
    text = "市民：我上次打电话 客服：不归我管 我就火了\n客服：嗯\n市民：就是"
    assert said(text)[0] == ("citizen", "我上次打电话 客服：不归我管 我就火了")


@pytest.mark.parametrize(
    "text",
    [
        "我去窗口办事。工作人员：材料不齐。我只好回去。",
        "我打电话问，客服说：不归我们管。\n市民反映：停水",
        "受影响的有：\n居民：三百户\n企业：二十家\n群众：很多",
        "投诉人：张三\n电话：13800000000\n当事人：李四\n工作人员：王五\n投诉内容：他骂人还推我",
        "工作人员：你材料不齐\n我：哪里不齐\n工作人员：自己看\n居民：就是",
        "客服：您好\n我：要退款\n客服：不退",
        "问题：\nA：噪音大\nB：油烟重\nC：没人管",
        "A：张三拿了两万\nB：李四拿了三万",
        "09:30 我到窗口\n10:15 工作人员：明天来\n11:00 居民：都在等",
        "去年我去所里要求办理，被推了三次。\n工作人员：你再来\n居民：凭什么\n工作人员：就凭这个",
        "我昨天去办证。工作人员：不行！居民：为什么？工作人员：没有为什么。",
        "客服：400-123\n地址：城关\n投诉人：张三",
        "坐席解释：已转\n市民表示：不满意",
        "甲方：县政府\n乙方：我公司",
        "市民：停水三天",
        "男：3人\n女：5人",
        "客服：说话难听\n司机：开车猛",
        "【工作人员】态度差【居民】都有意见",
        "",
        "：：：\n【】\n[00:12]",
    ],
)
def test_false_friends_are_the_citizens_own_words(text: str) -> None:
    complaint = complaint_from_text("1", text)
    assert not complaint.is_transcript
    assert said(text) == [("citizen", text)]


PIECES = [
    *("坐席：", "来电人：", "【市民】", "[00:12]", "A：", "B:", "客服", "工作人员：", "電話：", "1\n", "**"),
    *("停水了", "您好", "，", "。", "\n", "\r\n", " ", "\t", "㎡", "\u200b"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_utterances_are_spans_in_order_without_blanks_at_their_ends(text: str) -> None:
    complaint = complaint_from_text("1", text)
    spans = [u.span for u in complaint.utterances]
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans)) and spans[-1].end <= len(text)
    assert said(text) == [("citizen", text)] or all(words == words.strip() != "" for _, words in said(text))


@pytest.mark.parametrize(
    "piece", [" ", "\n", "坐席：", "a:", "00:00 ", "【", "*_(", "坐席", "1\n", "[00:12]", "，张女"]
)
def test_repetition_does_not_slow_reading_down(piece: str) -> None:
    text = (piece * 20_000)[:20_000]
    assert sum(len(words) for _, words in said(text)) <= len(text)


def test_turns_are_joined_and_keep_their_offsets() -> None:
    turns = [(Speaker.AGENT, "您好"), (Speaker.CITIZEN, ""), (Speaker.CITIZEN, "停水了")]
    complaint = complaint_from_turns("1", turns)
    assert complaint.text == "您好\n\n停水了"
    assert [complaint.text[u.span.start : u.span.end] for u in complaint.utterances] == ["您好", "", "停水了"]
    assert complaint.from_turns and complaint.is_transcript


@pytest.mark.parametrize(
    "name", ["坐席", "客服小李", "坐席(0823)", "Agent", "agent 2", "工作人员", "工号 0823", "話務員", "机器人"]
)
def test_names_of_agents(name: str) -> None:
    assert speaker_of(name) is Speaker.AGENT


@pytest.mark.parametrize("name", ["市民", "来电人（女）", "张女士", "司机", "caller", "被投诉人", "客服态度"])
def test_everybody_else_is_a_citizen(name: str) -> None:
    assert speaker_of(name) is Speaker.CITIZEN


def test_speakers_without_telling_names() -> None:
    agent, citizen = Speaker.AGENT, Speaker.CITIZEN
    assert speakers_of([("A", "您好，请讲"), ("B", "停水了"), ("A", "好的")]) == [agent, citizen, agent]
    assert speakers_of([("1", "窗口的人骂我，还推我"), ("0", "嗯")]) == [citizen, agent]
    assert speakers_of([("李敏", "很高兴为您服务"), ("王强", "停水了")]) == [agent, citizen]
    assert speakers_of([("李敏", "他骂我"), ("王强", "也骂我")]) == [citizen, citizen]
    assert speakers_of([("坐席", "嗯"), ("A", "请讲一下，您好"), ("a", "停水")]) == [agent, citizen, citizen]
