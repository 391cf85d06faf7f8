"""The table a person reads: everything decided is there, and no complaint can steer the terminal."""

import io

import pytest
from rich.console import Console

from data.complaint import Complaint, Speaker
from data.policy_schema import Policy
from data.transcript import complaint_from_text, complaint_from_turns
from models.answer import DepartmentTag, MisconductTag, Review, TaskReview, Triage, UrgencyTag, Versions
from models.assurance import Level, Reason
from models.evidence import Evidence
from serving.table import NOTHING_ALLEGED, SHOWN_WHOLE, render_triage, visible

TEXT = "办证窗口和市监局互相推诿，孩子等着上学。"
VERSIONS = Versions(bundle="b", taxonomy="t", rules="r")


def evidence(complaint: Complaint, words: str, source: str, turn: int | None = None) -> Evidence:
    text = complaint.text
    base = 0 if turn is None else complaint.utterances[turn].span.start
    start = text.index(words, base) - base
    return Evidence(start=start, end=start + len(words), text=words, source=source, turn=turn)


def reviewed(level: Level, *reasons: Reason) -> Review:
    task = TaskReview(confidence=0.5, level=level, plausible=())
    return Review(level=level, reasons=reasons, misconduct=task, department=task, urgency=task)


def triage(
    misconduct: tuple[Evidence, ...] | None = None,
    department: tuple[Evidence, ...] = (),
    urgency: tuple[Evidence, ...] = (),
    card: str = "yellow",
    id: str = "17",
    review: Review | None = None,
) -> Triage:
    tags = () if misconduct is None else (MisconductTag(type="buck_passing", probability=0.93, evidence=misconduct),)
    return Triage(
        id=id,
        misconduct=tags,
        department=DepartmentTag(
            id="market_regulation",
            probability=0.81,
            evidence=department,
            unit="county_market_bureau",
            assisting=("education",),
            candidates=(("government_services", 0.11), ("township", 0.04)),
        ),
        alleged=0.9,
        urgency=UrgencyTag(card=card, probability=0.77, evidence=urgency),
        review=review or reviewed(Level.PRESELECTED, Reason.LOW_CONFIDENCE, Reason.MIXED_COMPLAINT),
        versions=VERSIONS,
    )


def shown(complaint: Complaint, answer: Triage, policy: Policy, colour: bool = False, width: int = 300) -> str:
    file = io.StringIO()
    system = "truecolor" if colour else None
    console = Console(file=file, width=width, force_terminal=colour, color_system=system, legacy_windows=False)
    console.print(render_triage(complaint, answer, policy))
    return file.getvalue()


def test_everything_decided_is_shown_in_chinese(policy: Policy) -> None:
    complaint = complaint_from_text("17", TEXT)
    found = triage((evidence(complaint, "互相推诿", "model"),), (evidence(complaint, "市监局", "rule:mr-001"),))
    text = shown(complaint, found, policy)
    clause = policy.taxonomy.misconduct_type("buck_passing").basis[0]
    for expected in (
        "投诉 17",
        "黄牌",
        "77%",
        "反映 推诿扯皮（不作为） 93%",
        policy.clauses[clause].zh,
        "市场监督管理局 81%",
        f"具体单位 {policy.units['county_market_bureau'].zh}",
        "协办 教育",
        "11%",
        TEXT,
    ):
        assert expected in text
    assert clause in text
    assert "buck_passing" not in text


def test_legend_says_model_rule_or_directory_once_for_each_stretch(policy: Policy) -> None:
    complaint = complaint_from_text("17", TEXT)
    misconduct = (evidence(complaint, "互相推诿", "model"), evidence(complaint, "互相推诿", "rule:bp-001"))
    department = (evidence(complaint, "市监局", "rule:unit:county_market_bureau"),)
    text = shown(complaint, triage(misconduct, department), policy)
    assert "「互相推诿」 推诿扯皮 · 模型、规则 bp-001" in text
    assert f"「市监局」 市场监督管理局 · 单位名录 {policy.units['county_market_bureau'].zh}" in text
    assert text.count("「互相推诿」") == 1


def test_nothing_alleged_is_said_without_accusing(policy: Policy) -> None:
    text = shown(complaint_from_text("17", "请问几点上班"), triage(card="blue"), policy)
    assert NOTHING_ALLEGED in text
    assert "无（没有哪几个字" in text


@pytest.mark.parametrize(("card", "code"), [("blue", "34"), ("yellow", "33"), ("red", "31")])
def test_card_colours_the_frame(policy: Policy, card: str, code: str) -> None:
    text = shown(complaint_from_text("17", TEXT), triage(card=card), policy, colour=True)
    assert text.startswith(f"\x1b[{code}m╭")


def test_evidence_is_highlighted_by_dimension_in_the_text(policy: Policy) -> None:
    complaint = complaint_from_text("17", TEXT)
    found = triage(
        (evidence(complaint, "互相推诿", "model"),),
        (evidence(complaint, "市监局", "model"),),
        (evidence(complaint, "等着上学", "model"),),
    )
    text = shown(complaint, found, policy, colour=True)
    for words, style in (("互相推诿", "1;35"), ("市监局", "4;36"), ("等着上学", "1;31")):
        assert f"\x1b[{style}m{words}\x1b[0m" in text


def test_turns_are_shown_with_their_speakers_and_evidence_within_the_turn(policy: Policy) -> None:
    turns = [(Speaker.AGENT, "您好，请讲"), (Speaker.CITIZEN, "他们互相推诿"), (Speaker.AGENT, "好的")]
    complaint = complaint_from_turns("17", turns)
    found = triage((evidence(complaint, "互相推诿", "model", turn=1),))
    lines = [line.strip("│ \n") for line in shown(complaint, found, policy).splitlines()]
    at = next(i for i, line in enumerate(lines) if "坐席：您好，请讲" in line)
    assert lines[at + 1 : at + 3] == ["市民：他们互相推诿", "坐席：好的"]
    assert "\x1b[1;35m互相推诿\x1b[0m" in shown(complaint, found, policy, colour=True)


def test_long_text_shows_the_beginning_and_what_surrounds_the_evidence(policy: Policy) -> None:
    text = "开头" + "甲" * 3000 + "他们互相推诿" + "乙" * 3000
    complaint = complaint_from_text("17", text)
    found = shown(complaint, triage((evidence(complaint, "互相推诿", "model"),)), policy)
    assert "开头" in found and "他们互相推诿" in found
    kept = found.count("甲") + found.count("乙")
    assert kept < SHOWN_WHOLE
    left_out = [int(part.split(" ")[0]) for part in found.split("略 ")[1:]]
    assert sum(left_out) + kept == 6000


def test_long_turns_keep_their_speakers(policy: Policy) -> None:
    turns = [(Speaker.AGENT, "请讲" * 400), (Speaker.CITIZEN, "啊" * 800 + "互相推诿"), (Speaker.AGENT, "好" * 50)]
    complaint = complaint_from_turns("17", turns)
    text = shown(complaint, triage((evidence(complaint, "互相推诿", "model", turn=1),)), policy)
    assert "坐席：请讲请讲" in text and "略 " in text and "坐席：好" in text


def test_markup_and_escapes_of_a_complaint_are_text(policy: Policy) -> None:
    hostile = "[red]红[/red] \x1b[2J清屏\x07\u202e反向"
    text = shown(complaint_from_text("1", hostile), triage(id="[bold]\x1b]0;x\x07"), policy, colour=True)
    assert "[red]红[/red]" in text and "[bold]" in text
    assert "\x1b[2J" not in text and "\x1b]0" not in text and "\x07" not in text and "\u202e" not in text


def test_visible_keeps_the_length_so_that_spans_hold() -> None:
    text = "".join(map(chr, range(0x250))) + "\u2028\u202a\u2066\ud800😀"
    assert len(visible(text)) == len(text)
    assert visible("一\r\n二\t三😀") == "一 \n二 三😀"


def test_whether_a_person_must_look_is_said_with_its_reasons(policy: Policy) -> None:
    complaint = complaint_from_text("17", TEXT)
    assert "已预选，请确认（把握不足、涉及不止一个部门）" in shown(complaint, triage(), policy)
    alone = shown(complaint, triage(review=reviewed(Level.AUTO)), policy)
    assert "可自动采用" in alone and "可自动采用（" not in alone
