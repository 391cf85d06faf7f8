"""Speaker marks in the text of a call (坐席：/来电人：, 【坐席】, A:/B:, [00:12] …): where they stand and whose they are.

Everything here reads normalised text (half-width, simplified). A mark moves words from the citizen, who alleges, to the
agent, who does not; in doubt a text is therefore nobody's transcript but the citizen's own words.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from data.complaint import Speaker

_HAN = "\u4e00-\u9fff"
_AGENT_SURE = (
    r"(?:12345|人工|智能|在线|热线|语音|值班)?(?:坐席|座席|客服|话务|接线|接话|接听|热线)(?:人员|代表|专员|班长|员|人|机器人)?"
    r"|(?:语音|智能)?机器人|(?:语音|智能)助手|系统(?:提示音?|语音|播报)|IVR|12345|工号 ?\d{1,8}"
    r"|agent|operator|assistant|robot|staff"
)
_AGENT_LIKELY = "工作人员|服务人员|受理员|受理人员?|值班员|值班人员|接待员|接待人员?|接访人员?"
_CITIZEN_SURE = "来电(?:人|者|群众)?|市民|诉求人|反映人|投诉人|举报人|咨询人|求助人|来访人|来访群众|信访人|citizen|caller|customer"
_CITIZEN_LIKELY = (
    rf"群众|用户|客户|居民|村民|业主|企业|家长|家属|商户|申请人|当事人|[{_HAN}]{{1,3}}(?:先生|女士|师傅|阿姨|大爷)"
)
_ANONYMOUS = r"[a-d]|[甲乙]|(?:说话人|发言人|讲话人|角色|声道) ?\d{1,2}|[左右]声道|(?:speaker|spk)[ _]?\d{1,2}|[男女][声士]?|主叫|被叫"
_SURNAMES = "王李张刘陈杨赵黄吴徐孙胡朱林郭罗郑梁谢宋唐许韩冯邓曹彭曾萧蔡潘袁董余苏叶吕魏蒋杜"

_NUMBER = r"[-—_·/# ]{0,2}(?:no\.?)?\d{1,8}号?(?!\d|:\d\d(?!\d))"
_BRACKETS = r" ?[(\[【][^()\[\]【】\n]{1,12}[)\]】]"
_PERSON = rf"[-_·/ ]?(?:小[{_HAN}]|[{_HAN}]{{1,2}}(?:女士|先生|某某?|师傅)|[甲乙丙丁])|[-_·/][{_HAN}]{{1,4}}"
_TAIL = rf"(?:{_NUMBER}|{_PERSON})?(?:{_BRACKETS})?"
_ROLE = (
    rf"(?:(?P<agent>{_AGENT_SURE})(?:{_TAIL}|[{_SURNAMES}][{_HAN}]{{1,2}})|(?P<agent_likely>{_AGENT_LIKELY}){_TAIL}"
    rf"|(?P<citizen>{_CITIZEN_SURE}){_TAIL}|(?P<citizen_likely>{_CITIZEN_LIKELY}){_TAIL}|(?P<anonymous>{_ANONYMOUS}))"
)

_CLOCK = r"(?:\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?[ T]?)?(?:\d{1,2}:)?\d{1,2}:\d{2}(?:[.,]\d{1,3})?"
_RANGE = rf"{_CLOCK}(?: ?(?:-->|->|[-~—至]) ?{_CLOCK})?"
_BRACKETED = rf"[\[【(<](?:{_RANGE}|\d{{1,5}}(?:\.\d{{1,3}})?s)[\])】>]"
_STAMP = rf"(?:{_BRACKETED}|{_RANGE})"
_LINE = r"(?P<line>^)[ \t]{0,20}(?:[#>*•●■◆-]{1,3} |\d{1,3}[.、)] ?)?"
_INSIDE = r"(?<=[\s。!?;,.”\"」』)】\]~])|(?=[【\[〔<])"
_END = (
    r"(?:[*_]{0,2} {0,3}(?P<colon>[:∶])[*_]{0,2}|(?P<tab>\t)|(?P<alone> {0,3}$)|(?P<space>(?= ))|(?(bracket)|(?!)))"
    rf"(?: {{0,3}}{_BRACKETED})?"
)
_MARK = re.compile(
    rf"(?P<cue>^(?:\d{{1,5}} {{0,3}}\n)?{_CLOCK} ?--> ?{_CLOCK} {{0,3}}$)"
    rf"|(?:{_LINE}|{_INSIDE})(?P<stamp>{_STAMP} {{0,3}}[-—|,]? {{0,3}})?"
    rf"(?:(?P<bracket>[\[【〔<])?[*_(“\"「《]{{0,3}}{_ROLE}(?: {{0,3}}{_RANGE})?[*_)”\"」》]{{0,3}}(?(bracket)[\]】〕>])"
    rf"(?: {{0,3}}{_STAMP})?{_END}"
    rf"|(?(stamp)(?:(?P<other>[^\s:,。!?;()\[\]【】]{{1,8}}):)?|(?!)))",
    re.IGNORECASE | re.MULTILINE,
)
_LABEL = re.compile(
    rf"^[ \t]{{0,20}}(?:{_STAMP} {{0,3}})?(?:(?!\d+:)([^\s:,。!?;()\[\]【】]{{1,6}}) ?[:∶]|[\[【]([^\s:,。!?;()\[\]【】]{{1,6}})[\]】] ?[:∶]?)",
    re.MULTILINE,
)
_AGENT_NAME = re.compile(rf"(?:{_AGENT_SURE}|{_AGENT_LIKELY})(?:{_TAIL}|[{_SURNAMES}][{_HAN}]{{1,2}})", re.IGNORECASE)
_CITIZEN_NAME = re.compile(rf"(?:{_CITIZEN_SURE}|{_CITIZEN_LIKELY}){_TAIL}", re.IGNORECASE)
_ANONYMOUS_NAME = re.compile(rf"(?:{_ANONYMOUS}|[0-9])", re.IGNORECASE)

_SERVICE = re.compile(
    "请问有什么|很高兴为您|为您服务|[为帮给](?:您|你)(?:登记|转|记录|反映|查)|您贵姓|怎么称呼您|请您?留|工作日内|感谢您的来电"
    "|请稍等|还有其他|请讲|请说|您讲|您说|反映什么|什么诉求|热线.{0,2}您好|工号"
)
_GREETING = re.compile("您好")
_RETOLD = re.compile(r"^[ \t]{0,8}[“\"]?(?:我|本人|我方|我们|对方|他|她)[*_”\"]{0,2}[:∶]", re.MULTILINE)
_FORM_FIELD = re.compile(
    r"^[^:\n]{0,8}(?:电话|号码|住址|地址|地点|姓名|性别|年龄|时间|日期|内容|诉求|标题|主题|事由|事项|编号|单号|来源|方式|类型|类别|区域|单位"
    r"|被投诉人|被举报人|被反映人|附件|签名)[^:\n]{0,3}[:∶]",
    re.MULTILINE,
)
_PROSE = re.compile("[。!?,;]|[^\n]{41}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A speaker mark ``start``..``end`` of the normalised text. ``side`` is None for A:/B: and unknown names;
    ``name`` is empty for a mere time stamp. ``sure``: the word is no ordinary noun. ``line``: it opens a line."""

    start: int
    end: int
    name: str
    side: Speaker | None
    sure: bool = False
    line: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one speaker says: ``start``..``end`` of the normalised text, marks excluded, blanks included."""

    start: int
    end: int
    speaker: Speaker


def named_side(name: str) -> Speaker | None:
    """The side a speaker's (normalised) name stands for, None if the name alone does not tell."""
    if _AGENT_NAME.fullmatch(name.strip()):
        return Speaker.AGENT
    return Speaker.CITIZEN if _CITIZEN_NAME.fullmatch(name.strip()) else None


def told_sides(said: Mapping[str, str], agent_known: bool) -> dict[str, Speaker]:
    """Sides of speakers whose names do not tell, from all that each has ``said``: the agent is who speaks an agent's
    phrases most; between A and B without phrases, who says less. With a known agent all are citizens."""
    scores = {name: (len(_SERVICE.findall(text)), len(_GREETING.findall(text)), -len(text)) for name, text in said.items()}
    agent = None
    if scores and not agent_known:
        best = max(scores, key=lambda name: scores[name])
        two = len(scores) > 1 and all(_ANONYMOUS_NAME.fullmatch(name) for name in scores)
        agent = best if two or scores[best][0] else None
    return {name: Speaker.AGENT if name == agent else Speaker.CITIZEN for name in said}


def turns(text: str) -> list[Turn]:
    """The turns of a transcript, in order; empty if ``text`` is none. Words before the first mark are the citizen's."""
    if _RETOLD.search(text):
        return []
    marks = _without_retold(text, list(_marks(text)))
    marks = sorted([*marks, *_adopted(text, marks)], key=lambda mark: mark.start)
    named = [mark for mark in marks if mark.name]
    if not (_is_call(text, named) or (not named and _is_stamped(text, marks))):
        return []
    return list(_turns(text, marks))


def _marks(text: str) -> Iterator[Mark]:
    for match in _MARK.finditer(text):
        mark = _mark(match)
        if mark is not None:
            yield mark


def _mark(match: re.Match[str]) -> Mark | None:
    line = match["line"] is not None or match["cue"] is not None
    agent, citizen = match["agent"] or match["agent_likely"], match["citizen"] or match["citizen_likely"]
    name = (agent or citizen or match["anonymous"] or match["other"] or "").lower()
    sure = bool(match["agent"] or match["citizen"])
    stamped = match["stamp"] is not None and match["stamp"][0] in "[【(<"
    if not name or match["other"]:
        admitted = match["cue"] is not None or (line and stamped)
    elif match["colon"] is not None:
        admitted = True
    elif match["bracket"] is not None:
        admitted = match["anonymous"] is None
    else:
        loose = match["alone"] is not None and match["stamp"] is not None
        admitted = line and (loose or sure) and (match["space"] is None or match["stamp"] is not None)
    if not admitted:
        return None
    side = Speaker.AGENT if agent else Speaker.CITIZEN if citizen else None
    return Mark(start=match.start(), end=match.end(), name=name, side=side, sure=sure, line=line)


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


def _adopted(text: str, marks: Sequence[Mark]) -> Iterator[Mark]:
    """Other names that open lines of a call whose agent is marked (司机：, 【网格员】). Beside a marked citizen only
    names that come back count; the rest may be headings of what is said."""
    opened = {mark.start for mark in marks if mark.line}
    if not any(mark.side is Speaker.AGENT and mark.sure and mark.line for mark in marks):
        return
    found = [m for m in _LABEL.finditer(text) if m.start() not in opened and not _FORM_FIELD.match(text, m.start())]
    times = Counter(match[1] or match[2] for match in found)
    least = 2 if any(mark.side is Speaker.CITIZEN for mark in marks) else 1
    for match in found:
        name = match[1] or match[2]
        if times[name] >= least:
            yield Mark(start=match.start(), end=match.end(), name=name.lower(), side=None)


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
    unnamed = [mark for mark in marks if mark.side is None]
    repeated = max(Counter(mark.name for mark in marks).values()) > 1
    prose_before = bool(_PROSE.search(text[: marks[0].start].strip())) and not _FORM_FIELD.search(text[: marks[0].start])
    if not repeated and _FORM_FIELD.search(text, marks[0].start):
        return False
    phrases = bool(_SERVICE.search(text))
    if agents and len(agents) == len(marks):
        return all(mark.sure and mark.line for mark in agents) and len(agents) == _lines(text)
    if any(mark.sure for mark in agents):
        known = any(mark.side is Speaker.CITIZEN for mark in marks) or repeated or phrases or _GREETING.search(text)
        return bool(known) and (marks[0].line or len(marks) > 2)
    if not agents and not unnamed or prose_before or not marks[0].line:
        return False
    if agents:
        return repeated or phrases
    letters = all(_ANONYMOUS_NAME.fullmatch(mark.name) for mark in unnamed)
    greeted = phrases or bool(_GREETING.match(text, marks[0].end))
    return len({mark.name for mark in marks}) > 1 and (greeted or (letters and repeated and len(marks) > 3))


def _is_stamped(text: str, marks: Sequence[Mark]) -> bool:
    return len(marks) > 1 and 2 * len(marks) >= _lines(text)


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
