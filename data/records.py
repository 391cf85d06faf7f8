"""One row of a file as the fields that ``complaint_from_json`` takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from data.columns import Columns
from data.complaint_json import channel_of
from data.errors import InputError


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
class Row:
    """Cells of one row, ``number`` from 1, or why they cannot be told apart."""

    number: int
    cells: Sequence[object]
    raw: str
    fault: str = ""


def pick(cells: Sequence[object], columns: Columns) -> dict[str, object]:
    """The fields of ``complaint_from_json``. A word in a guessed channel column that is no channel is left out."""
    text = cell_text(_cell(cells, columns.text))
    fields: dict[str, object] = {"turns" if isinstance(text, list) else "text": text}
    id, channel = cell_text(_cell(cells, columns.id)), cell_text(_cell(cells, columns.channel))
    if id:
        fields["id"] = str(id).strip().removeprefix('="').removesuffix('"')
    if channel and (columns.channel_said or channel_of(str(channel))):
        fields["channel"] = channel
    return fields


def record_of(row: Row, columns: Columns) -> Record:
    """A row below the header, its cells taken to their fields."""
    heading = columns.headings[columns.text].strip()
    headings = {"text": heading, "turns": heading}
    headings |= {"id": columns.headings[columns.id].strip()} if columns.id is not None else {}
    headings |= {"channel": columns.headings[columns.channel].strip()} if columns.channel is not None else {}
    fault = InputError("row_broken", row.fault) if row.fault else None
    fields = {} if fault else pick(row.cells, columns)
    return Record(row=row.number, fields=fields, headings=headings, raw=row.raw, fault=fault)


def _cell(cells: Sequence[object], index: int | None) -> object:
    return cells[index] if index is not None and index < len(cells) else None


def cell_text(value: object) -> str | list[object]:
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
