"""Which column holds the text, the number and the channel: guessed from the usual headings, or said by the caller."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data.errors import InputError

HEADER_WITHIN = 10
_TEXT = """
诉求内容 投诉内容 举报内容 反映内容 来电内容 工单内容 通话内容 留言详情 留言内容 留言正文 信件内容 来信内容 信访内容
诉求详情 投诉详情 工单详情 诉求描述 投诉描述 问题描述 事项描述 事件描述 情况描述 内容描述 事项内容 问题内容 诉求正文
反映问题 反映情况 诉求事项 具体内容 详细内容 主要内容 通话文本 通话转写 通话记录 录音文本 录音转写 转写文本
正文 内容 文本 原文 详情 描述 text content body complaint description message transcript turns
"""
_ID = """
工单编号 工单号 诉求编号 投诉编号 留言编号 信件编号 信访编号 受理编号 登记编号 案件编号 事项编号 业务编号 来电编号
流水号 工单流水号 受理号 登记号 编号 单号 id complaint_id ticket_id case_id
"""
_CHANNEL = """
渠道 来源渠道 诉求渠道 受理渠道 反映渠道 来源 诉求来源 工单来源 信息来源 受理方式 来电方式 反映方式 诉求方式
channel source
"""
TEXT_HEADINGS, ID_HEADINGS, CHANNEL_HEADINGS = tuple(_TEXT.split()), tuple(_ID.split()), tuple(_CHANNEL.split())
_NOTES = re.compile(r"\(.*?\)|\[.*?\]|【.*?】|[\s*:]")
_LONGEST_HEADING = 20
_TELLING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMap:
    """Headings said by the caller; None is guessed."""

    text: str | None = None
    id: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Where the header stands (``row``, from 1), its headings, and the columns (from 0) of interest."""

    row: int
    headings: tuple[str, ...]
    text: int
    id: int | None
    channel: int | None
    channel_said: bool


def find_columns(rows: Iterable[Sequence[object]], wanted: ColumnMap) -> Columns | None:
    """The header among the first rows: an exact heading anywhere goes before one that merely contains it."""
    headers = [tuple("" if cell is None else str(cell) for cell in row) for row in rows]
    for exact in (True,) if wanted.text else (True, False):
        for number, headings in enumerate(headers, 1):
            text = _index(headings, wanted.text, TEXT_HEADINGS, exact=exact)
            if text is not None:
                return Columns(
                    row=number,
                    headings=headings,
                    text=text,
                    id=_index(headings, wanted.id, ID_HEADINGS),
                    channel=_index(headings, wanted.channel, CHANNEL_HEADINGS),
                    channel_said=wanted.channel is not None,
                )
    return None


def required(columns: Columns | None, rows: Iterable[Sequence[object]], wanted: ColumnMap, where: str) -> Columns:
    """``columns``, or InputError header_unmatched or column_missing listing what was found and what was expected."""
    if columns is None:
        found = max(([str(c) for c in row if _fold(c)] for row in rows), key=len, default=[])
        if wanted.text:
            raise _missing(wanted.text, found, where)
        zh = (
            f"前 {HEADER_WITHIN} 行里没有认得的表头。找到的列：{_listed(found)}。"
            f"认得的文本列名：{_listed(TEXT_HEADINGS)}。请把文本列改成其中一个名字，或指定哪一列是文本。"
        )
        raise InputError("header_unmatched", zh, where=where)
    for name, index in ((wanted.id, columns.id), (wanted.channel, columns.channel)):
        if name and index is None:
            raise _missing(name, columns.headings, where)
    return columns


def _missing(name: str, found: Sequence[str], where: str) -> InputError:
    return InputError("column_missing", f"没有指定的列“{name}”。找到的列：{_listed(found)}。", where=where)


def _listed(names: Sequence[str]) -> str:
    return "、".join(name.strip()[:40] for name in names[:60] if name.strip()) or "（无）"


def _fold(heading: object) -> str:
    """``诉求内容（必填）：`` → ``诉求内容``."""
    text = unicodedata.normalize("NFKC", "" if heading is None else str(heading)).strip().lower()
    return _NOTES.sub("", text) or text


def _index(headings: Sequence[str], wanted: str | None, known: Sequence[str], *, exact: bool = True) -> int | None:
    folded = [_fold(heading) for heading in headings]
    if wanted is not None:
        return next((i for i, heading in enumerate(folded) if heading == _fold(wanted)), None)
    if exact:
        return next((folded.index(name) for name in known if name in folded), None)
    telling = [name for name in known if len(name) >= _TELLING and not name.isascii()]
    short = {index: heading for index, heading in enumerate(folded) if len(heading) <= _LONGEST_HEADING}
    fitting = (index for name in telling for index, heading in short.items() if name in heading)
    return next(fitting, None) if sum(map(bool, folded)) > 1 else None
