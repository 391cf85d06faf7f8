"""Rows of workbooks and Parquet files, one at a time.

openpyxl and pyarrow are imported where they are used: who reads only JSON does not wait for them.
"""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from xml.etree.ElementTree import ParseError

from data.columns import HEADER_WITHIN, ColumnMap, Columns, find_columns, required
from data.errors import InputError
from data.records import Record, Row, cell_text, record_of

LARGEST_WORKBOOK = 2**30
BATCH_ROWS = 256


def xlsx_records(path: Path, wanted: ColumnMap) -> Iterator[Record]:
    """Records of the first sheet whose first rows hold a header; titles above it and empty rows are left out."""
    from openpyxl import load_workbook

    kinds = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, ParseError, EOFError, OSError)
    with _unreadable(path, kinds):
        _refuse_bomb(path)
        with closing(load_workbook(path, read_only=True, data_only=True)) as book:
            heads: list[Sequence[object]] = []
            columns: Columns | None = None
            for sheet in book.worksheets:
                sheet.reset_dimensions()
                head = list(islice(sheet.iter_rows(values_only=True), HEADER_WITHIN))
                heads += head
                columns = find_columns(head, wanted)
                if columns is not None:
                    break
            columns = required(columns, heads, wanted, path.name)
            for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
                if number > columns.row and any(map(cell_text, cells)):
                    raw = "\t".join(str(cell_text(cell)) for cell in cells).rstrip()
                    yield record_of(Row(number=number, cells=cells, raw=raw), columns)


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
                raw = "\t".join(str(cell_text(values[name])) for name in used)
                yield record_of(Row(number=number, cells=cells, raw=raw), columns)


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
