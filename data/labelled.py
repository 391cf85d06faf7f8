"""Labelled complaints in JSON lines: the project's own corpus and any file of the same form."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data.complaint import Channel, Complaint, LabelledComplaint, Labels, Speaker
from data.errors import InputError
from data.taxonomy import Taxonomy
from data.transcript import complaint_from_text, complaint_from_turns

CORPUS = Path(__file__).parent / "corpus"


def read_labelled(path: Path, taxonomy: Taxonomy) -> Iterator[LabelledComplaint]:
    """Rows of one file; raises InputError naming file, row and field.

    Fields: ``id``; ``text`` or ``turns``; ``misconduct``, ``department``, ``urgency`` (a missing one is unlabelled);
    optional ``evidence``, ``sure``, ``channel``, ``group``, ``split``, ``kind``, ``assisting``, ``unit``.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield _labelled(json.loads(line), taxonomy)
                except json.JSONDecodeError as error:
                    raise InputError("json_invalid", f"不是有效的 JSON：{error}", where=f"{path}, row {number}") from error
                except (KeyError, TypeError, ValueError) as error:
                    raise InputError("row_invalid", f"字段有误：{error}", where=f"{path}, row {number}") from error


def read_corpus(taxonomy: Taxonomy, folder: Path = CORPUS) -> list[LabelledComplaint]:
    """Every row of the project's own corpus, files in order of name."""
    return [row for path in sorted(folder.glob("*.jsonl")) for row in read_labelled(path, taxonomy)]


def _labelled(row: dict[str, Any], taxonomy: Taxonomy) -> LabelledComplaint:
    complaint = _complaint(row)
    misconduct = row.get("misconduct")
    evidence = row.get("evidence", {})
    _known("misconduct", [*(misconduct or []), *evidence], taxonomy.misconduct_ids)
    _known("department", [*filter(None, [row.get("department")]), *row.get("assisting", [])], taxonomy.department_ids)
    _known("urgency", filter(None, [row.get("urgency")]), taxonomy.card_ids)
    for kind, quote in evidence.items():
        if quote not in complaint.text:
            raise ValueError(f"evidence.{kind}: the quote does not stand in the text")
    labels = Labels(
        misconduct=None if misconduct is None else frozenset(misconduct),
        department=row.get("department"),
        urgency=row.get("urgency"),
        evidence=evidence,
        sure=row.get("sure", True),
    )
    return LabelledComplaint(
        complaint=complaint,
        labels=labels,
        group=str(row.get("group", row["id"])),
        split=row.get("split"),
        kind=tuple(row.get("kind", ())),
        assisting=tuple(row.get("assisting", ())),
        unit=row.get("unit"),
    )


def _complaint(row: dict[str, Any]) -> Complaint:
    channel = Channel(row.get("channel", Channel.OTHER))
    if ("text" in row) == ("turns" in row):
        raise ValueError("exactly one of text and turns is expected")
    if "turns" in row:
        turns = [(Speaker(turn["speaker"]), str(turn["text"])) for turn in row["turns"]]
        return complaint_from_turns(str(row["id"]), turns, channel)
    return complaint_from_text(str(row["id"]), row["text"], channel)


def _known(field: str, values: Iterable[str], ids: tuple[str, ...]) -> None:
    for value in values:
        if value not in ids:
            raise ValueError(f"{field}: {value!r} is not in the taxonomy")
