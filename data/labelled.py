"""Labelled complaints in JSON lines: the project's own corpus and any file of the same form."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data.complaint import LabelledComplaint, Labels
from data.complaint_json import complaint_from_json
from data.errors import InputError
from data.taxonomy import Taxonomy

CORPUS = Path(__file__).parent / "corpus"
SENTENCES = CORPUS / "sentences"
READINGS = CORPUS / "readings"


def read_labelled(path: Path, taxonomy: Taxonomy) -> Iterator[LabelledComplaint]:
    """Rows of one file; raises InputError naming file, row and field.

    Fields: ``id``; ``text`` or ``turns``; ``misconduct``, ``department``, ``urgency`` (a missing one is unlabelled);
    optional ``evidence``, ``sure``, ``channel``, ``group``, ``split``, ``kind``, ``assisting``, ``unit``.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                where = f"{path}, row {number}"
                try:
                    row = json.loads(line.decode("utf-8"))
                    yield _labelled(row, taxonomy, where)
                except UnicodeDecodeError as error:
                    raise InputError("encoding_invalid", "不是 UTF-8 编码。", where=where) from error
                except json.JSONDecodeError as error:
                    raise InputError("json_invalid", f"不是有效的 JSON：{error}", where=where) from error
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    raise InputError("row_invalid", f"字段有误：{error}", where=where) from error


def read_corpus(taxonomy: Taxonomy, folder: Path = CORPUS) -> list[LabelledComplaint]:
    """Every row of the project's own corpus, files in order of name."""
    return [row for path in sorted(folder.glob("*.jsonl")) for row in read_labelled(path, taxonomy)]


def _labelled(row: dict[str, Any], taxonomy: Taxonomy, where: str) -> LabelledComplaint:
    complaint = complaint_from_json(row, where, labelled=True)
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
        assisting=tuple(row["assisting"]) if "assisting" in row else None,
        unit=row.get("unit"),
    )


def _known(field: str, values: Iterable[str], ids: tuple[str, ...]) -> None:
    for value in values:
        if value not in ids:
            raise ValueError(f"{field}: {value!r} is not in the taxonomy")


def is_authored(row: LabelledComplaint) -> bool:
    """Whether a row is of the project's own corpus, whose mix of labels is flat on purpose."""
    return row.complaint.id.startswith("fz-")
