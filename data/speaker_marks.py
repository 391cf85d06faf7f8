"""Speaker marks in the text of a call (坐席：/来电人：, 【坐席】, A:/B:, [00:12] …): where they stand.

Everything here reads normalised text: half-width, simplified. ``speaker_turns`` decides what the marks divide.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from data.complaint import Speaker

_HAN = "\u4e00-\u9fff"
_AGENT_SURE = (
    r"(?:12345|人工|智能|在线|热线|语音|值班)?(?:坐席|座席|客服|话务|接线|接话|接听|热线)(?:人员|代表|专员|班长|员|人|机器人)?"
    r"|(?:语音|智能)?机器人|(?:语音|智能)助手|系统(?:提示音?|语音|播报)|IVR|12345|工号 ?\d{1,8}"
    r"|agent|operator|assistant|robot|staff"
)
_AGENT_LIKELY = "工作人员|服务人员|受理员|受理人员?|值班员|值班人员|接待员|接待人员?|接访人员?"
_CITIZEN_SURE = (
    "来电(?:人|者|群众)?|市民|诉求人|反映人|投诉人|举报人|咨询人|求助人|来访人|来访群众|信访人|citizen|caller|customer"
)
_CITIZEN_LIKELY = (
    rf"群众|用户|客户|居民|村民|业主|企业|家长|家属|商户|申请人|当事人|[{_HAN}]{{1,3}}(?:先生|女士|师傅|阿姨|大爷)"
)
_ANONYMOUS = (
    r"[a-d]|[甲乙]|(?:说话人|发言人|讲话人|角色|声道) ?\d{1,2}|[左右]声道|[男女][声士]?|主叫|被叫"
    r"|(?:speaker|spk)[ _]?\d{1,2}"
)
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


@cache
def _mark_pattern() -> re.Pattern[str]:
    """The pattern of a mark; compiling it takes longer than importing this package, so only once it is needed."""
    return re.compile(
        rf"(?P<cue>^(?:\d{{1,5}} {{0,3}}\n)?{_CLOCK} ?--> ?{_CLOCK} {{0,3}}$)"
        rf"|(?:{_LINE}|{_INSIDE})(?P<stamp>{_STAMP} {{0,3}}[-—|,]? {{0,3}})?"
        rf"(?:(?P<bracket>[\[【〔<])?[*_(“\"「《]{{0,3}}"
        rf"{_ROLE}(?: {{0,3}}{_RANGE})?[*_)”\"」》]{{0,3}}(?(bracket)[\]】〕>])"
        rf"(?: {{0,3}}{_STAMP})?{_END}"
        rf"|(?(stamp)(?:(?P<other>[^\s:,。!?;()\[\]【】]{{1,8}}):)?|(?!)))",
        re.IGNORECASE | re.MULTILINE,
    )


_LABEL_NAME = r"([^\s:,。!?;()\[\]【】]{1,6})"
_LABEL = re.compile(
    rf"^[ \t]{{0,20}}(?:{_STAMP} {{0,3}})?(?:(?!\d+:){_LABEL_NAME} ?[:∶]|[\[【]{_LABEL_NAME}[\]】] ?[:∶]?)",
    re.MULTILINE,
)
_AGENT_NAME = re.compile(rf"(?:{_AGENT_SURE}|{_AGENT_LIKELY})(?:{_TAIL}|[{_SURNAMES}][{_HAN}]{{1,2}})", re.IGNORECASE)
_CITIZEN_NAME = re.compile(rf"(?:{_CITIZEN_SURE}|{_CITIZEN_LIKELY}){_TAIL}", re.IGNORECASE)
_ANONYMOUS_NAME = re.compile(rf"(?:{_ANONYMOUS}|[0-9])", re.IGNORECASE)


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


def named_side(name: str) -> Speaker | None:
    """The side a speaker's (normalised) name stands for, None if the name alone does not tell."""
    if _AGENT_NAME.fullmatch(name.strip()):
        return Speaker.AGENT
    return Speaker.CITIZEN if _CITIZEN_NAME.fullmatch(name.strip()) else None


def is_anonymous(name: str) -> bool:
    """Whether ``name`` is a mere letter or number (A, 说话人1, speaker 2)."""
    return _ANONYMOUS_NAME.fullmatch(name) is not None


def find_marks(text: str) -> Iterator[Mark]:
    """All that looks like a mark, in order."""
    for match in _mark_pattern().finditer(text):
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


def find_labels(text: str) -> Iterator[Mark]:
    """Any short name that opens a line as a mark would (司机：, 【网格员】), known or not."""
    for match in _LABEL.finditer(text):
        yield Mark(start=match.start(), end=match.end(), name=(match[1] or match[2]).lower(), side=None)
