"""Who says what in a transcript: whether speaker marks divide a text between an agent and a citizen, and how.

A mark moves words from the citizen, who alleges, to the agent, who does not. In doubt a text is therefore no transcript
but the citizen's own words: forms, lists, timelines and talk that a citizen retells use the same words.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from data.complaint import Speaker
from data.speaker_marks import Mark, find_labels, find_marks, is_anonymous

_SERVICE = re.compile(
    "请问有什么|很高兴为您|为您服务|[为帮给](?:您|你)(?:登记|转|记录|反映|查)|您贵姓|怎么称呼您|请您?留|工作日内|感谢您的来电"
    "|请稍等|还有其他|请讲|请说|您讲|您说|反映什么|什么诉求|热线.{0,2}您好|工号"
)
_GREETING = re.compile("您好")
_RETOLD = re.compile(r"^[ \t]{0,8}[“\"]?(?:我|本人|我方|我们|对方|他|她)[*_”\"]{0,2}[:∶]", re.MULTILINE)
_FORM_FIELD = re.compile(
    r"^[^:\n]{0,8}(?:电话|号码|住址|地址|地点|姓名|性别|年龄|时间|日期|内容|诉求(?!人)|标题|主题|事由|事项|编号|单号|来源|方式|类型|类别|区域|单位"
    r"|被投诉人|被举报人|被反映人|附件|签名)[^:\n]{0,3}[:∶]",
    re.MULTILINE,
)
_PROSE = re.compile("[。!?,;]|[^\n]{41}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one speaker says: ``start``..``end`` of the normalised text, marks excluded, blanks included."""

    start: int
    end: int
    speaker: Speaker


def told_sides(said: Mapping[str, str], agent_known: bool) -> dict[str, Speaker]:
    """Sides of speakers whose names do not tell, from all that each has ``said``: the agent is who speaks an agent's
    phrases most; between A and B without phrases, who says less. With a known agent all are citizens."""
    scores = {name: (_count(_SERVICE, text), _count(_GREETING, text), -len(text)) for name, text in said.items()}
    agent = None
    if scores and not agent_known:
        best = max(scores, key=lambda name: scores[name])
        two = len(scores) > 1 and all(is_anonymous(name) for name in scores)
        agent = best if two or scores[best][0] else None
    return {name: Speaker.AGENT if name == agent else Speaker.CITIZEN for name in said}


def turns(text: str) -> list[Turn]:
    """The turns of a transcript, in order; empty if ``text`` is none. Words before the first mark are the citizen's."""
    if _RETOLD.search(text):
        return []
    marks = _without_retold(text, list(find_marks(text)))
    marks = sorted([*marks, *_adopted(text, marks)], key=lambda mark: mark.start)
    named = [mark for mark in marks if mark.name]
    if not (_is_call(text, named) or (not named and _is_stamped(text, marks))):
        return []
    return list(_turns(text, marks))


def _without_retold(text: str, marks: Sequence[Mark]) -> list[Mark]:
    """Leaves out marks inside a line that are rather somebody's words retold (…他们 客服：不归我管，我就…)."""
    opened = [mark for mark in marks if mark.line and mark.name]
    at_once = bool(opened) and not text[: opened[0].start].strip()
    anonymous = {mark.name for mark in opened if mark.side is None and at_once}
    strange = len(anonymous) > 1
    kept = []
    for index, mark in enumerate(marks):
        if not mark.line and text[mark.start - 1] == "," and (len(opened) > 1 or not mark.sure):
            continue
        if not mark.line and mark.side is None and (not anonymous or (strange and mark.name not in anonymous)):
            continue
        if not mark.line and mark.side is Speaker.AGENT and _retells(mark, marks, index):
            continue
        kept.append(mark)
    return kept


def _adopted(text: str, marks: Sequence[Mark]) -> list[Mark]:
    """Other names that open lines of a call whose agent is marked (司机：, 【网格员】). Beside a marked citizen only
    names that come back count; the rest may be headings of what is said."""
    if not any(mark.side is Speaker.AGENT and mark.sure and mark.line for mark in marks):
        return []
    opened = {mark.start for mark in marks if mark.line}
    labels = [m for m in find_labels(text) if m.start not in opened and not _FORM_FIELD.match(text, m.start)]
    times = Counter(label.name for label in labels)
    least = 2 if any(mark.side is Speaker.CITIZEN for mark in marks) else 1
    return [label for label in labels if times[label.name] >= least]


def _retells(mark: Mark, marks: Sequence[Mark], index: int) -> bool:
    other_agent = any(m.side is Speaker.AGENT and m.name != mark.name and (m.sure or m.line) for m in marks)
    following = next((m for m in marks[index + 1 :] if m.name), None)
    agent_follows = following is not None and following.line and following.side is Speaker.AGENT
    return (other_agent and not mark.sure) or agent_follows


def _is_call(text: str, marks: Sequence[Mark]) -> bool:
    """Whether the named marks divide a talk between an agent and a citizen."""
    if len(marks) < 2:
        return False
    agents = [mark for mark in marks if mark.side is Speaker.AGENT]
    repeated = max(Counter(mark.name for mark in marks).values()) > 1
    if not repeated and _FORM_FIELD.search(text, marks[0].start):
        return False
    if len(agents) == len(marks):
        return all(mark.sure and mark.line for mark in agents) and len(agents) == _lines(text)
    served = bool(_SERVICE.search(text))
    if any(mark.sure for mark in agents):
        citizen = any(mark.side is Speaker.CITIZEN for mark in marks)
        return (citizen or repeated or served or bool(_GREETING.search(text))) and (marks[0].line or len(marks) > 2)
    if _told_before(text[: marks[0].start]) or not marks[0].line:
        return False
    return (repeated or served) if agents else _is_anonymous_call(text, marks, served)


def _is_anonymous_call(text: str, marks: Sequence[Mark], served: bool) -> bool:
    """A:/B: or unknown names: an agent's phrase tells a call from a list, between letters also many turns."""
    unnamed = [mark.name for mark in marks if mark.side is None]
    if not unnamed or len({mark.name for mark in marks}) < 2:
        return False
    many = len(marks) > 3 and len(marks) > len({mark.name for mark in marks}) and all(map(is_anonymous, unnamed))
    return served or many or bool(_GREETING.match(text[marks[0].end :].lstrip()))


def _told_before(preamble: str) -> bool:
    """Whether sentences, and no form, stand before the first mark."""
    return bool(_PROSE.search(preamble.strip())) and not _FORM_FIELD.search(preamble)


def _is_stamped(text: str, marks: Sequence[Mark]) -> bool:
    return len(marks) > 1 and 2 * len(marks) >= _lines(text)


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in pattern.finditer(text))


def _lines(text: str) -> int:
    return sum(1 for line in text.split("\n") if line.strip())


def _turns(text: str, marks: Sequence[Mark]) -> Iterator[Turn]:
    yield Turn(start=0, end=marks[0].start, speaker=Speaker.CITIZEN)
    ends = [*(mark.start for mark in marks[1:]), len(text)]
    sides = _sides(text, marks, ends)
    speaker = None
    for mark, end in zip(marks, ends, strict=True):
        if mark.name:
            speaker = mark.side or sides[mark.name]
        served = speaker is None and _SERVICE.search(text, mark.end, end)
        yield Turn(start=mark.end, end=end, speaker=Speaker.AGENT if served else speaker or Speaker.CITIZEN)


def _sides(text: str, marks: Sequence[Mark], ends: Sequence[int]) -> dict[str, Speaker]:
    said: dict[str, str] = {}
    for mark, end in zip(marks, ends, strict=True):
        if mark.name and mark.side is None:
            said[mark.name] = said.get(mark.name, "") + text[mark.end : end]
    return told_sides(said, agent_known=any(mark.side is Speaker.AGENT for mark in marks))
