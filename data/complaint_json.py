"""A JSON object as a complaint: the one form that JSON lines, the command line and HTTP share."""

import re
import unicodedata
from collections.abc import Mapping

from data.complaint import Channel, Complaint
from data.errors import InputError
from data.transcript import complaint_from_text, complaint_from_turns, speakers_of

MAX_CHARACTERS = 20_000
LONGEST_ID = 200
FIELDS = ("id", "text", "turns", "channel")
LABEL_FIELDS = frozenset(
    ("misconduct", "department", "urgency", "evidence", "sure", "group", "split", "kind", "assisting", "unit")
)
_CHANNEL_WORDS = {
    Channel.HOTLINE: "热线 热线电话 12345 12345热线 电话 来电 电话来电 电话受理 政务热线 政务服务热线 便民热线",
    Channel.WINDOW: "窗口 大厅 办事大厅 政务大厅 服务窗口 办不成事窗口 “办不成事”窗口 办不成事反映窗口",
    Channel.QR: "扫码 二维码 扫二维码 监督码 扫码反映 扫码评价 微信扫码 码上反映",
    Channel.LETTER: "来信 信件 书信 写信 信函 群众来信 邮寄",
    Channel.WEB: "网络 网站 网上 互联网 网民留言 留言板 网上信访 网上留言 门户网站 微信 微信公众号 公众号 小程序 app"
    " 邮箱 领导信箱 县长信箱 市长信箱",
    Channel.VISIT: "来访 走访 上访 接访 当面 现场 群众来访 接访日",
    Channel.OTHER: "其他 其它",
}
_CHANNELS = {word: channel for channel, words in _CHANNEL_WORDS.items() for word in (channel.value, *words.split())}
_SURROGATE = re.compile("[\ud800-\udfff]")
_INVISIBLE = "\u115f\u1160\u2800\u3164\uffa0"


class FieldError(InputError):
    """A field of a row cannot be taken; ``where`` names the field too."""

    def __init__(self, code: str, zh: str, *, where: str, field: str) -> None:
        self.field = field
        super().__init__(code, zh, where=", ".join(filter(None, (where, f"field {field}"))))


def check_text(text: str, where: str = "") -> str:
    """``text`` itself, if it can be triaged; raises InputError text_empty, text_too_long or text_binary."""
    if len(text) > MAX_CHARACTERS:
        zh = f"文本有 {len(text):,} 个字，上限是 {MAX_CHARACTERS:,} 个字。请拆成几条，或只留诉求部分。"
        raise InputError("text_too_long", zh, where=where)
    broken = 0 if _is_plain(text) else sum(map(_is_broken, text))
    if "\0" in text or _SURROGATE.search(text) or broken > len(text) / 10:
        zh = f"不是可读的文字：{len(text)} 个字符里有 {broken} 个控制符或乱码。请核对编码（应为 UTF-8 或 GB18030）。"
        raise InputError("text_binary", zh, where=where)
    if all(map(_is_invisible, text)):
        raise InputError("text_empty", "没有内容：文本为空，或只有空白和不可见字符。", where=where)
    return text


def _is_plain(text: str) -> bool:
    """A quick answer for nearly every text: nothing in it but printable characters and blanks."""
    return "\ufffd" not in text and all(map(str.isprintable, text.split()))


def _is_broken(character: str) -> bool:
    kind = unicodedata.category(character)
    return (kind == "Cc" and character not in "\n\r\t") or kind in {"Cs", "Co", "Cn"} or character == "\ufffd"


def _is_invisible(character: str) -> bool:
    blank = character.isspace() or character in _INVISIBLE
    return blank or unicodedata.category(character) in {"Cc", "Cf", "Mn"}


def channel_of(word: str) -> Channel | None:
    """The channel an id (``hotline``) or a usual Chinese word (热线) stands for."""
    return _CHANNELS.get(unicodedata.normalize("NFKC", word).strip().lower())


def complaint_from_json(
    row: Mapping[str, object], where: str = "", default_id: str = "", *, labelled: bool = False
) -> Complaint:
    """A complaint from ``{"id", "text" or "turns", "channel"}``; a turn is ``{"speaker", "text"}``.

    ``labelled``: the label fields of labelled files may be there too and are ignored. Raises InputError with code
    field_unknown, field_missing, field_conflict, field_type, channel_unknown, turn_invalid or one of ``check_text``.
    """
    allowed = {*FIELDS, *(LABEL_FIELDS if labelled else ())}
    for name in row:
        if name not in allowed:
            zh = f"不认识的字段“{name}”，可用的字段是 {'、'.join(FIELDS)}。"
            raise FieldError("field_unknown", zh, where=where, field=str(name))
    text, turns = row.get("text"), row.get("turns")
    if text is None and turns is None:
        raise FieldError("field_missing", "缺少内容：text 与 turns 应有其一。", where=where, field="text")
    if text is not None and turns is not None:
        raise FieldError("field_conflict", "text 与 turns 只能有其一。", where=where, field="turns")
    id, channel = _id(row.get("id"), where, default_id), _channel(row.get("channel"), where)
    if turns is not None:
        return _from_turns(id, turns, channel or Channel.HOTLINE, where)
    if not isinstance(text, str):
        raise _wrong_type("text", "字符串", text, where)
    return complaint_from_text(id, _checked(text, where, "text"), channel or Channel.OTHER)


def _id(value: object, where: str, default: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise _wrong_type("id", "字符串或整数", value, where)
    id = "" if value is None else str(value).strip()
    if len(id) > LONGEST_ID or any(unicodedata.category(c) in {"Cc", "Cs"} for c in id):
        zh = f"编号应在 {LONGEST_ID} 个字以内，且不含控制符。"
        raise FieldError("id_invalid", zh, where=where, field="id")
    if not (id or default):
        raise FieldError("field_missing", "缺少编号 id。", where=where, field="id")
    return id or default


def _channel(value: object, where: str) -> Channel | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong_type("channel", "字符串", value, where)
    channel = channel_of(value)
    if channel is None:
        zh = f"不认识的渠道“{value[:40]}”，可用的是 {'、'.join(Channel)}，或热线、窗口、扫码、来信、网络、来访。"
        raise FieldError("channel_unknown", zh, where=where, field="channel")
    return channel


def _from_turns(id: str, turns: object, channel: Channel, where: str) -> Complaint:
    if not isinstance(turns, list | tuple):
        raise _wrong_type("turns", "数组", turns, where)
    named = [_turn(turn, where, f"turns[{index}]") for index, turn in enumerate(turns)]
    _checked("\n".join(text for _, text in named), where, "turns")
    said = list(zip(speakers_of(named), (text for _, text in named), strict=True))
    return complaint_from_turns(id, said, channel)


def _turn(turn: object, where: str, field: str) -> tuple[str, str]:
    if not isinstance(turn, Mapping) or set(turn) != {"speaker", "text"}:
        zh = f"{field} 应是只含 speaker 和 text 的对象。"
        raise FieldError("turn_invalid", zh, where=where, field=field)
    speaker, text = turn["speaker"], turn["text"]
    if not isinstance(speaker, str) or not isinstance(text, str) or not speaker.strip():
        zh = f"{field} 的 speaker 与 text 都应是字符串，speaker 不能为空。"
        raise FieldError("turn_invalid", zh, where=where, field=field)
    return speaker, text


def _checked(text: str, where: str, field: str) -> str:
    try:
        return check_text(text)
    except InputError as error:
        raise FieldError(error.code, error.zh, where=where, field=field) from None


def _wrong_type(field: str, expected: str, value: object, where: str) -> FieldError:
    return FieldError(
        "field_type", f"{field} 应是{expected}，而不是 {type(value).__name__}。", where=where, field=field
    )
