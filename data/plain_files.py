"""JSON lines and plain text, record by record."""

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from data.columns import ColumnMap, find_columns, required
from data.complaint_json import LABEL_FIELDS, MAX_CHARACTERS
from data.decoding import detect_encoding, open_text
from data.errors import InputError
from data.records import Record, pick
from data.transcript import complaint_from_text

_LONGEST_READ = 10_000_000


def json_records(path: Path, wanted: ColumnMap) -> Iterator[Record]:
    """One record for each line that is not blank; ``row`` is the line."""
    with open_text(path, detect_encoding(path)) as file:
        empty_so_far = True
        for number, line in enumerate(file, 1):
            raw = line.strip("\ufeff \t\r\n")
            if not raw:
                continue
            if empty_so_far and raw.startswith("["):
                zh = "文件是一个 JSON 数组，应是每行一个 JSON 对象（JSON Lines）。"
                raise InputError("json_array", zh, where=f"{path.name}, row {number}")
            empty_so_far = False
            yield _json_record(number, raw, wanted, path)


def _json_record(number: int, raw: str, wanted: ColumnMap, path: Path) -> Record:
    fault, fields = None, {}
    try:
        row = json.loads(raw)
        if not isinstance(row, dict):
            raise InputError("json_invalid", "这一行应是一个 JSON 对象 {…}。")
        fields = _chosen(row, wanted, path.name)
    except InputError as error:
        fault = error
    except json.JSONDecodeError as error:
        fault = InputError("json_invalid", f"不是有效的 JSON：第 {error.colno} 个字符处，{error.msg}。")
    except (ValueError, RecursionError) as error:
        fault = InputError("json_invalid", f"不是可用的 JSON：{type(error).__name__}。")
    return Record(row=number, fields=fields, headings={}, raw=raw, fault=fault)


def _chosen(row: Mapping[str, object], wanted: ColumnMap, where: str) -> dict[str, object]:
    """The row as it is, or, where other names are said or its own are those of a table's headings, what these hold."""
    if wanted == ColumnMap() and ({"text", "turns"} & set(row)):
        return dict(row)
    names = list(row)
    columns = find_columns([names], wanted)
    if columns is None and wanted.text is None:
        return dict(row)
    columns = required(columns, [names], wanted, where)
    labels = {name: row[name] for name in names if name in LABEL_FIELDS}
    return labels | pick([row[name] for name in names], columns)


def text_records(path: Path, wanted: ColumnMap) -> Iterator[Record]:
    """A transcript is one complaint; else each paragraph if blank lines divide the text, else each line."""
    encoding = detect_encoding(path)
    with open_text(path, encoding) as file:
        head = file.read(MAX_CHARACTERS + 1)
        if complaint_from_text("", head).is_transcript:
            text = (head + file.read(_LONGEST_READ)).strip()
            yield Record(row=1, fields={"text": text}, headings={}, raw=text)
            return
    for number, text in _blocks(path, encoding, by_paragraph=_has_paragraphs(path, encoding)):
        yield Record(row=number, fields={"text": text}, headings={}, raw=text)


def _has_paragraphs(path: Path, encoding: str) -> bool:
    with open_text(path, encoding) as file:
        begun = blank = False
        for line in file:
            filled = bool(line.strip())
            if filled and blank:
                return True
            begun, blank = begun or filled, begun and not filled
    return False


def _blocks(path: Path, encoding: str, by_paragraph: bool) -> Iterator[tuple[int, str]]:
    """First line's number and text of each block of lines."""
    with open_text(path, encoding) as file:
        lines: list[str] = []
        begin = 1
        for number, line in enumerate(chain(file, ("",)), 1):
            if lines and not (by_paragraph and line.strip()):
                yield begin, "\n".join(lines)
                lines = []
            if line.strip():
                begin = begin if lines else number
                lines.append(line.strip("\r\n"))
