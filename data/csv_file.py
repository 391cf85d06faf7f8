"""Delimited files, record by record; a row whose quotes swallow the next ones is told from these."""

import csv
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from data.columns import HEADER_WITHIN, ColumnMap, Columns, find_columns, required
from data.decoding import detect_encoding, open_text
from data.records import Record, Row, cell_text, record_of

DELIMITERS = (",", "\t", ";", "|")
LONGEST_RECORD = 1_000_000
_LONGEST_FIELD = 2**31 - 1


def csv_records(path: Path, wanted: ColumnMap) -> Iterator[Record]:
    """Records of a delimited file; ``row`` counts records as a spreadsheet does, quoted line breaks within one row."""
    csv.field_size_limit(_LONGEST_FIELD)
    encoding = detect_encoding(path)
    heads = {delimiter: _csv_head(path, encoding, delimiter) for delimiter in DELIMITERS}
    found = {delimiter: find_columns(head, wanted) for delimiter, head in heads.items()}
    widths = {d: len(columns.headings) if columns else 0 for d, columns in found.items()}
    if not any(widths.values()):
        widths = {d: max((len(cells) for cells in head), default=0) for d, head in heads.items()}
    delimiter = max(DELIMITERS, key=lambda d: widths[d])
    columns = required(found[delimiter], heads[delimiter], wanted, path.name)
    for row in _csv_rows(path, encoding, delimiter, len(columns.headings)):
        if row.number > columns.row and (row.fault or any(map(cell_text, row.cells))):
            yield record_of(_joined(row, columns, delimiter), columns)


def _joined(row: Row, columns: Columns, delimiter: str) -> Row:
    """A row with more cells than the header is broken, but in a file of one column the delimiter is mere text."""
    width, count = len(columns.headings), len(row.cells)
    if width == 1 and count > 1:
        return Row(number=row.number, cells=[delimiter.join(map(str, row.cells))], raw=row.raw)
    fault = row.fault
    if not fault and any(map(cell_text, row.cells[width:])):
        fault = f"这一行有 {count} 列，表头只有 {width} 列：可能内容里的“{delimiter}”没有用双引号括起来。"
    if not fault and count <= columns.text:
        fault = f"这一行只有 {count} 列，文本应在第 {columns.text + 1} 列。"
    return Row(number=row.number, cells=row.cells, raw=row.raw, fault=fault)


class _Lines:
    """Lines of a file for csv.reader, remembering those of the record being read so that they can be read again."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: deque[str] = deque()
        self.record: list[str] = []
        self.size = 0
        self.unclosed = False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines, "")
        if line and self.size > LONGEST_RECORD:
            self._again.appendleft(line)
            line = ""
        if not line:
            self.unclosed = bool(self.record)
            raise StopIteration
        self.record.append(line)
        self.size += len(line)
        return line

    def begin(self) -> None:
        self.record, self.size, self.unclosed = [], 0, False

    def read_again(self) -> str:
        """Puts all lines of the record but the first back, and returns the first."""
        self._again.extendleft(reversed(self.record[1:]))
        return self.record[0]


def _csv_rows(path: Path, encoding: str, delimiter: str, width: int | None = None) -> Generator[Row]:
    """Rows; one whose quotes swallow the following rows is broken, and these are read on their own."""
    with open_text(path, encoding) as file:
        lines = _Lines(file)
        number = 0
        while True:
            lines.begin()
            cells = next(csv.reader(lines, delimiter=delimiter), None)
            if cells is None:
                return
            number += 1
            if lines.unclosed or _swallows(lines.record, cells, delimiter, width):
                fault = "双引号没有成对，后面的行会被当成这一行的内容。"
                yield Row(number=number, cells=(), raw=lines.read_again().rstrip("\r\n"), fault=fault)
            else:
                yield Row(number=number, cells=cells, raw="".join(lines.record).rstrip("\r\n"))


def _swallows(record: Sequence[str], cells: Sequence[str], delimiter: str, width: int | None) -> bool:
    """Whether a record of several lines took in following rows: its quotes do not pair, or it is too wide and its
    second line looks like a row of its own."""
    if len(record) < 2:
        return False
    try:
        next(csv.reader(record, delimiter=delimiter, strict=True))
    except csv.Error:
        return True
    if width is None or width == 1 or len(cells) <= width:
        return False
    return len(next(csv.reader([record[1]], delimiter=delimiter), [])) == width


def _csv_head(path: Path, encoding: str, delimiter: str) -> list[Sequence[object]]:
    with closing(_csv_rows(path, encoding, delimiter)) as rows:
        return [row.cells for row in islice(rows, HEADER_WITHIN)]
