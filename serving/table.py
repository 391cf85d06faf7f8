"""One triage as a person reads it in a terminal: card, what is alleged, whose duty it is, and the words behind it.

Text of a complaint is never read as markup, and characters that could steer a terminal are made visible.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from data.complaint import Complaint, Speaker
from data.policy_schema import Policy
from data.text import Span
from models.answer import DepartmentTag, MisconductTag, Review, Triage, UrgencyTag
from models.evidence import Evidence
from serving.words import LEVEL_ZH, REASON_ZH

CARD_STYLES = ("blue", "yellow", "red")
MISCONDUCT, DEPARTMENT, URGENCY = "bold magenta", "underline cyan", "bold red"
SHOWN_WHOLE = 1200
AROUND = 80
QUOTED = 30
SPEAKERS = {Speaker.CITIZEN: "市民：", Speaker.AGENT: "坐席："}
NOTHING_ALLEGED = "没有读出对工作人员作风或履职的反映（可能是咨询、求助、建议或表扬）"
_UNSEEN = [*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)]
_CONTROLS = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) != "\n"},
    **dict.fromkeys(_UNSEEN, "\ufffd"),
    ord("\t"): " ",
    ord("\r"): " ",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """A stretch of the original text, what it speaks for, and who found it."""

    span: Span
    tag: str
    style: str
    sources: tuple[str, ...]


def render_triage(complaint: Complaint, triage: Triage, policy: Policy) -> RenderableType:
    """A panel with the three tags, the original text with its evidence marked, and where each piece comes from."""
    card = next(card for card in policy.taxonomy.cards if card.id == triage.urgency.card)
    colour = CARD_STYLES[min(card.rank, len(CARD_STYLES) - 1)]
    marks = _marks(complaint, triage, policy)
    facts = Table.grid(padding=(0, 1))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    urgency = Text.assemble((f" {card.zh} ", f"bold reverse {colour}"), f" {_percent(triage.urgency.probability)}")
    facts.add_row("紧急程度", urgency)
    facts.add_row("反映问题", _misconduct(triage.misconduct, policy))
    facts.add_row("责任部门", _department(triage.department, policy))
    facts.add_row("复核", _review(triage.review))
    facts.add_row("原文", _original(complaint, marks))
    facts.add_row("证据", _legend(complaint, marks, policy))
    title = Text(f"投诉 {visible(triage.id)}", style="bold")
    return Panel(facts, title=title, title_align="left", border_style=colour)


def visible(text: str) -> str:
    """The text with control characters, direction overrides and half surrogates made visible, of the same length."""
    return text.translate(_CONTROLS)


def _percent(probability: float) -> str:
    return f"{probability:.0%}"


def _review(review: Review) -> RenderableType:
    why = "、".join(REASON_ZH[reason] for reason in review.reasons)
    return Text.assemble(LEVEL_ZH[review.level], (f"（{why}）" if why else "", "dim"))


def _misconduct(tags: Sequence[MisconductTag], policy: Policy) -> RenderableType:
    if not tags:
        return Text(NOTHING_ALLEGED, style="dim")
    rows: list[RenderableType] = []
    for tag in tags:
        kind = policy.taxonomy.misconduct_type(tag.type)
        family = policy.taxonomy.families[kind.family]
        rows.append(Text.assemble("反映 ", (kind.zh, MISCONDUCT), f"（{family}） {_percent(tag.probability)}"))
        clauses = Table.grid(padding=(0, 1))
        for clause in kind.basis:
            clauses.add_row("  依据", clause, policy.clauses[clause].zh, style="dim")
        rows.append(clauses)
    return Group(*rows)


def _department(tag: DepartmentTag, policy: Policy) -> RenderableType:
    def name(department: str) -> str:
        return policy.taxonomy.department(department).zh

    lines = [Text.assemble((name(tag.id), DEPARTMENT), f" {_percent(tag.probability)}")]
    if tag.unit:
        lines.append(Text(f"  具体单位 {policy.units[tag.unit].zh}"))
    if tag.assisting:
        lines.append(Text(f"  协办 {'、'.join(map(name, tag.assisting))}"))
    if tag.candidates:
        others = "、".join(f"{name(id)} {_percent(probability)}" for id, probability in tag.candidates)
        lines.append(Text(f"  其次可能 {others}", style="dim"))
    return Group(*lines)


def _marks(complaint: Complaint, triage: Triage, policy: Policy) -> list[_Mark]:
    found = [
        (policy.taxonomy.misconduct_type(tag.type).zh, MISCONDUCT, evidence)
        for tag in triage.misconduct
        for evidence in tag.evidence
    ]
    department, urgency = triage.department, triage.urgency
    found += [(policy.taxonomy.department(department.id).zh, DEPARTMENT, one) for one in department.evidence]
    found += [(_card_name(urgency, policy), URGENCY, one) for one in urgency.evidence]
    sources: dict[tuple[str, str, Span], list[str]] = {}
    for tag, style, evidence in found:
        sources.setdefault((tag, style, _absolute(complaint, evidence)), []).append(evidence.source)
    return [
        _Mark(span=span, tag=tag, style=style, sources=tuple(dict.fromkeys(names)))
        for (tag, style, span), names in sources.items()
    ]


def _card_name(tag: UrgencyTag, policy: Policy) -> str:
    return next(card.zh for card in policy.taxonomy.cards if card.id == tag.card)


def _absolute(complaint: Complaint, evidence: Evidence) -> Span:
    base = 0 if evidence.turn is None else complaint.utterances[evidence.turn].span.start
    return Span(base + evidence.start, base + evidence.end)


def _original(complaint: Complaint, marks: Sequence[_Mark]) -> Text:
    text = Text(visible(complaint.text))
    for mark in marks:
        text.stylize(mark.style, mark.span.start, mark.span.end)
    speakers = {u.span.start: SPEAKERS[u.speaker] for u in complaint.utterances} if complaint.from_turns else {}
    shown, last = Text(), 0
    for piece in _pieces(complaint, marks):
        if piece.start > last + 1:
            shown.append(_left_out(piece.start - last), style="dim")
        if piece.start in speakers:
            shown.append(f"\n{speakers[piece.start]}" if last else speakers[piece.start], style="dim")
        shown.append_text(text[piece.start : piece.end])
        last = piece.end
    if last < len(text):
        shown.append(_left_out(len(text) - last), style="dim")
    return shown


def _left_out(characters: int) -> str:
    return f" ……（略 {characters} 字）…… "


def _pieces(complaint: Complaint, marks: Sequence[_Mark]) -> Iterator[Span]:
    """What is shown: all of a short text, of a long one the beginning and the surroundings of marks."""
    whole = Span(0, len(complaint.text))
    parts = [utterance.span for utterance in complaint.utterances] if complaint.from_turns else [whole]
    if len(whole) <= SHOWN_WHOLE:
        yield from parts
        return
    around = (Span(max(0, mark.span.start - AROUND), mark.span.end + AROUND) for mark in marks)
    wanted = _joined([Span(0, 2 * AROUND), *sorted(around, key=lambda span: span.start)])
    for part in parts:
        for span in wanted:
            if span.overlaps(part):
                yield Span(max(span.start, part.start), min(span.end, part.end))


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Spans in order of their start, those that touch made one."""
    joined = [spans[0]]
    for span in spans[1:]:
        if span.start <= joined[-1].end + 1:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def _legend(complaint: Complaint, marks: Sequence[_Mark], policy: Policy) -> RenderableType:
    if not marks:
        return Text("无（没有哪几个字特别指向上述判断）", style="dim")
    lines = []
    for mark in marks:
        words = visible(complaint.text[mark.span.start : mark.span.end]).replace("\n", " ")
        quote = words if len(words) <= QUOTED else f"{words[: QUOTED - 1]}…"
        found_by = "、".join(_source(source, policy) for source in mark.sources)
        lines.append(Text.assemble((f"「{quote}」", mark.style), f" {mark.tag}", (f" · {found_by}", "dim")))
    return Group(*lines)


def _source(source: str, policy: Policy) -> str:
    """``model``, ``rule:ID`` and ``rule:unit:ID`` in words."""
    kind, _, id = source.partition(":")
    if kind == "model":
        return "模型"
    unit = id.removeprefix("unit:")
    return f"单位名录 {policy.units[unit].zh}" if unit != id else f"规则 {id}"
