"""Files of complaints in: CSV, XLSX, JSON lines, Parquet and plain text, one row at a time.

Good rows come out as complaints, the others as ``Rejected`` with the reason; a file that cannot be read at all is an
InputError. What the fields mean is said in ``complaint_json``, how columns are found in ``columns``.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from data.columns import ColumnMap
from data.complaint import Complaint
from data.complaint_json import MAX_CHARACTERS, FieldError, check_text, complaint_from_json
from data.csv_file import csv_records
from data.decoding import detect_encoding, undecodable
from data.errors import InputError
from data.plain_files import json_records, text_records
from data.records import Record
from data.tables import parquet_records, xlsx_records

__all__ = [
    "MAX_CHARACTERS",
    "ColumnMap",
    "Rejected",
    "RejectsFile",
    "check_text",
    "complaint_from_json",
    "count_rows",
    "detect_encoding",
    "read_complaints",
]
GUESSED = ColumnMap()
LONGEST_RAW = 2_000
_OTHER_FORMATS = {
    ".xls": "旧版 Excel 文件，请另存为 .xlsx。",
    ".et": "WPS 表格文件，请另存为 .xlsx。",
    ".ods": "请另存为 .xlsx。",
    ".json": "请存为每行一个对象的 .jsonl。",
    ".doc": "请另存为 .txt。",
    ".docx": "请另存为 .txt。",
    ".wps": "请另存为 .txt。",
    ".pdf": "请先转成文字，存为 .txt。",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A row that is no complaint: which (``row`` from 1), what ``field`` as the file names it, why,
    and what stood there."""

    where: str
    row: int
    field: str
    code: str
    zh: str
    raw: str


def read_complaints(path: Path, columns: ColumnMap = GUESSED) -> Iterator[Complaint | Rejected]:
    """Complaints and rejected rows in the file's order.

    Faults of the whole file raise InputError at once, not at the first row: file_missing, file_suffix, file_binary,
    file_empty, file_unreadable, file_too_large, encoding_unknown, header_unmatched, column_missing, json_array.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        zh = f"不支持“{suffix or path.name}”：{_OTHER_FORMATS.get(suffix, '')}可读的是 {'、'.join(_READERS)}。"
        raise InputError("file_suffix", zh, where=path.name)
    if not path.is_file():
        raise InputError("file_missing", f"没有这个文件：{path}。", where=path.name)
    try:
        if path.stat().st_size == 0:
            raise InputError("file_empty", "文件是空的（0 字节）。", where=path.name)
        rows = (_complaint(record, path) for record in _READERS[suffix](path, columns))
        first = next(rows, None)
    except OSError as error:
        raise InputError("file_unreadable", f"文件打不开：{error.strerror}。", where=path.name) from error
    if first is None:
        raise InputError("file_empty", "文件里没有一条诉求：只有表头或空行。", where=path.name)
    return chain((first,), rows)


def count_rows(path: Path) -> int | None:
    """About how many rows there are, for a progress bar; None where counting would mean reading the file."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        from pyarrow.parquet import read_metadata

        return int(read_metadata(path).num_rows)
    if suffix not in {".csv", ".tsv", ".jsonl", ".ndjson"}:
        return None
    with path.open("rb") as file:
        lines, last = 0, b"\n"
        while chunk := file.read(1 << 20):
            lines, last = lines + chunk.count(b"\n"), chunk[-1:]
    lines += last != b"\n"
    return max(lines - 1, 0) if suffix in {".csv", ".tsv"} else lines


class RejectsFile:
    """Writes rejected rows as JSON lines (where, row, field, code, reason, raw); no rejects, no file.

    A file left by an earlier run is replaced unless ``append``. It holds what citizens wrote: keep it as the input.
    """

    def __init__(self, path: Path, *, append: bool = False) -> None:
        self.path, self.append, self.count = path, append, 0
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        if not self.append:
            self.path.unlink(missing_ok=True)
        return self

    def add(self, rejected: Rejected) -> None:
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8", errors="backslashreplace")
        row = asdict(rejected)
        row["reason"] = row.pop("zh")
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _complaint(record: Record, path: Path) -> Complaint | Rejected:
    where = f"{path.name}, row {record.row}"
    try:
        if record.fault is not None:
            raise record.fault
        if undecodable(record.raw):
            raise InputError("text_undecodable", "这一行有不能解码的字节，应是 UTF-8 或 GB18030。", where=where)
        return complaint_from_json(record.fields, where, f"{path.stem}-{record.row}", labelled=True)
    except InputError as error:
        name = error.field if isinstance(error, FieldError) else ""
        field = record.headings.get(name, name)
        raw = record.raw
        if len(raw) > LONGEST_RAW:
            raw = f"{raw[:LONGEST_RAW]}…（共 {len(raw):,} 字）"
        return Rejected(where=where, row=record.row, field=field, code=error.code, zh=error.zh, raw=raw)


_READERS: dict[str, Callable[[Path, ColumnMap], Iterator[Record]]] = {
    ".csv": csv_records,
    ".tsv": csv_records,
    ".xlsx": xlsx_records,
    ".xlsm": xlsx_records,
    ".jsonl": json_records,
    ".ndjson": json_records,
    ".parquet": parquet_records,
    ".txt": text_records,
}
