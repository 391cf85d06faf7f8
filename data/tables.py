"""Rows of tables (CSV, XLSX, Parquet) as records of text, number and channel, one at a time.

openpyxl and pyarrow are imported where they are used: who reads only JSON does not wait for them.
"""

import csv
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from xml.etree.ElementTree import ParseError

from data.columns import HEADER_WITHIN, ColumnMap, Columns, find_columns, required
from data.complaint_json import channel_of
from data.decoding import open_text
from data.errors import InputError

DELIMITERS = (",", "\t", ";", "|")
LONGEST_RECORD = 1_000_000
LARGEST_WORKBOOK = 2**30
BATCH_ROWS = 256
_LONGEST_FIELD = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row. ``fields`` has the form ``complaint_from_json`` takes; ``headings`` names the fields as the file does.
    ``fault`` says why the row itself cannot be read."""

    row: int
    fields: dict[str, object]
    headings: dict[str, str]
    raw: str
    fault: InputError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    number: int
    cells: Sequence[object]
    raw: str
    fault: str = ""


def csv_records(path: Path, wanted: ColumnMap) -> Iterator[Record]:
    """Records of a delimited file; ``row`` counts records as a spreadsheet does, quoted line breaks within one row."""
    heads = {delimiter: _csv_head(path, delimiter) for delimiter in DELIMITERS}
    found = {delimiter: find_columns(head, wanted) for delimiter, head in heads.items()}
    delimiter = max(
        DELIMITERS, key=lambda d: (found[d] is not None, max((len(cells) for cells in heads[d]), default=0))
    )
    columns = required(found[delimiter], heads[delimiter], wanted, path.name)
    for row in _csv_rows(path, delimiter, len(columns.headings)):
        if row.number > columns.row and (row.fault or any(map(_string, row.cells))):
            yield _record(_joined(row, columns, delimiter), columns)


def xlsx_records(path: Path, wanted: ColumnMap) -> Iterator[Record]:
    """Records of the first sheet whose first rows hold a header; titles above it and empty rows are left out."""
    from openpyxl import load_workbook

    kinds = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, ParseError, EOFError, OSError)
    with _unreadable(path, kinds):
        _refuse_bomb(path)
        with closing(load_workbook(path, read_only=True, data_only=True)) as book:
            heads: list[Sequence[object]] = []
            for sheet in book.worksheets:
                sheet.reset_dimensions()
                head = list(islice(sheet.iter_rows(values_only=True), HEADER_WITHIN))
                heads += head
                columns = find_columns(head, wanted)
                if columns is not None:
                    break
            columns = required(columns if heads else None, heads, wanted, path.name)
            for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
                if number > columns.row and any(map(_string, cells)):
                    raw = "\t".join(str(_string(cell)) for cell in cells).rstrip()
                    yield _record(_Row(number=number, cells=cells, raw=raw), columns)


def parquet_records(path: Path, wanted: ColumnMap) -> Iterator[Record]:
    """Records of a Parquet file, batch by batch; ``row`` counts from 1."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    with _unreadable(path, (pyarrow.ArrowException, OSError)), ParquetFile(path) as file:
        names = file.schema_arrow.names
        columns = required(find_columns([names], wanted), [names], wanted, path.name)
        used = [names[index] for index in (columns.text, columns.id, columns.channel) if index is not None]
        number = 0
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=used):
            for values in batch.to_pylist():
                number += 1
                cells = [values.get(name) for name in names]
                raw = "\t".join(str(_string(values[name])) for name in used)
                yield _record(_Row(number=number, cells=cells, raw=raw), columns)


def pick(cells: Sequence[object], columns: Columns) -> dict[str, object]:
    """The fields of ``complaint_from_json``. A word in a guessed channel column that is no channel is left out."""
    text = _string(_cell(cells, columns.text))
    fields: dict[str, object] = {"turns" if isinstance(text, list) else "text": text}
    id, channel = _string(_cell(cells, columns.id)), _string(_cell(cells, columns.channel))
    if id:
        fields["id"] = str(id).strip().removeprefix('="').removesuffix('"')
    if channel and (columns.channel_said or channel_of(str(channel))):
        fields["channel"] = channel
    return fields


def _record(row: _Row, columns: Columns) -> Record:
    heading = columns.headings[columns.text].strip()
    headings = {"text": heading, "turns": heading}
    headings |= {"id": columns.headings[columns.id].strip()} if columns.id is not None else {}
    headings |= {"channel": columns.headings[columns.channel].strip()} if columns.channel is not None else {}
    fault = InputError("row_broken", row.fault) if row.fault else None
    fields = {} if fault else pick(row.cells, columns)
    return Record(row=row.number, fields=fields, headings=headings, raw=row.raw, fault=fault)


def _cell(cells: Sequence[object], index: int | None) -> object:
    return cells[index] if index is not None and index < len(cells) else None


def _string(value: object) -> str | list[object]:
    """A cell as the text a person sees; turns stay a list."""
    if isinstance(value, str):
        return value.replace("_x000D_", "").strip("\ufeff") if value.strip() else ""
    if value is None:
        return ""
    if isinstance(value, list):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


def _joined(row: _Row, columns: Columns, delimiter: str) -> _Row:
    """A row with more cells than the header is broken, but in a file of one column the delimiter is mere text."""
    width, count = len(columns.headings), len(row.cells)
    if width == 1 and count > 1:
        return _Row(number=row.number, cells=[delimiter.join(map(str, row.cells))], raw=row.raw)
    fault = row.fault
    if not fault and any(map(_string, row.cells[width:])):
        fault = f"这一行有 {count} 列，表头只有 {width} 列：可能内容里的“{delimiter}”没有用双引号括起来。"
    if not fault and count <= columns.text:
        fault = f"这一行只有 {count} 列，文本应在第 {columns.text + 1} 列。"
    return _Row(number=row.number, cells=row.cells, raw=row.raw, fault=fault)


class _Lines:
    """Lines of a file for csv.reader, remembering those of the record being read so that they can be read again."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: deque[str] = deque()
        self.record: list[str] = []
        self.unclosed = False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines, "")
        if line and sum(map(len, self.record)) > LONGEST_RECORD:
            self._again.appendleft(line)
            line = ""
        if not line:
            self.unclosed = bool(self.record)
            raise StopIteration
        self.record.append(line)
        return line

    def begin(self) -> None:
        self.record, self.unclosed = [], False

    def read_again(self) -> str:
        """Puts all lines of the record but the first back, and returns the first."""
        self._again.extendleft(reversed(self.record[1:]))
        return self.record[0]


def _csv_rows(path: Path, delimiter: str, width: int | None = None) -> Iterator[_Row]:
    """Rows; one whose quotes swallow the following rows is broken, and these are read on their own."""
    csv.field_size_limit(_LONGEST_FIELD)
    with open_text(path) as file:
        lines = _Lines(file)
        number = 0
        while True:
            lines.begin()
            cells = next(reader := csv.reader(lines, delimiter=delimiter), None)
            del reader
            if cells is None:
                return
            number += 1
            if lines.unclosed or _swallows(lines.record, cells, delimiter, width):
                fault = "双引号没有成对，后面的行会被当成这一行的内容。"
                yield _Row(number=number, cells=(), raw=lines.read_again().rstrip("\r\n"), fault=fault)
            else:
                yield _Row(number=number, cells=cells, raw="".join(lines.record).rstrip("\r\n"))


def _swallows(record: Sequence[str], cells: Sequence[str], delimiter: str, width: int | None) -> bool:
    """Whether a record of several lines is too wide and its second line looks like a row of its own."""
    if width is None or width == 1 or len(record) < 2 or len(cells) <= width:
        return False
    return len(next(csv.reader([record[1]], delimiter=delimiter), [])) == width


def _csv_head(path: Path, delimiter: str) -> list[Sequence[object]]:
    return [row.cells for row in islice(_csv_rows(path, delimiter), HEADER_WITHIN)]


def _refuse_bomb(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > LARGEST_WORKBOOK:
        zh = f"表格解压后有 {size / 2**30:.1f} GiB，上限是 1 GiB。请拆成几个文件，或另存为 CSV。"
        raise InputError("file_too_large", zh, where=path.name)


@contextmanager
def _unreadable(path: Path, kinds: tuple[type[Exception], ...]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        zh = f"文件打不开或已损坏（{type(error).__name__}），应是完好的 {path.suffix} 文件。"
        raise InputError("file_unreadable", zh, where=path.name) from error
