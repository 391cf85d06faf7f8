"""Single-label files of another scheme, such as a contest's classes: ``{"text", "label"}`` in JSON lines.

They teach the encoder as a further task; what is learned of the labels themselves is not part of a bundle.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import jieba

from data.complaint import LabelledComplaint, Labels
from data.errors import InputError
from data.taxonomy import Taxonomy
from data.transcript import complaint_from_text


def read_topics(path: Path, without: Path | None = None, split: str = "train") -> list[LabelledComplaint]:
    """Rows whose only label is their topic; copies of the messages of ``without`` are left out.

    Raises InputError naming file, row and field.
    """
    try:
        raw = drop_copies(path, without) if without else [json.loads(x) for x in path.read_text("utf-8").splitlines()]
        return [_topic_row(row, str(row.get("id", f"{path.stem}-{n}")), split) for n, row in enumerate(raw, 1)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError("row_invalid", f"每行应有 text 与 label 两个字段：{error}", where=str(path)) from error


def _topic_row(row: dict[str, str], identifier: str, split: str) -> LabelledComplaint:
    complaint = complaint_from_text(identifier, _joined(row["text"]))
    return LabelledComplaint(complaint=complaint, labels=Labels(topic=row["label"]), group=identifier, split=split)


def drop_copies(train: Path, data: Path) -> list[dict[str, str]]:
    """The rows of ``train`` that share less than half of their words with every row of ``data``.

    Contest files repeat held-out messages with stop words removed; words that ``train`` lacks are not compared.
    """
    jieba.setLogLevel("ERROR")
    rows = [json.loads(line) for line in train.read_text(encoding="utf-8").splitlines()]
    words = [frozenset(row["text"].split()) for row in rows]
    known = frozenset().union(*words)
    holders: dict[str, list[int]] = defaultdict(list)
    for index, own in enumerate(words):
        for word in own:
            holders[word].append(index)
    copies: set[int] = set()
    for line in data.read_text(encoding="utf-8").splitlines():
        held = known & set(jieba.lcut(json.loads(line)["text"]))
        shared = Counter(index for word in held for index in holders[word])
        copies |= {i for i, count in shared.items() if 2 * count >= max(len(held), len(words[i]))}
    return [row for index, row in enumerate(rows) if index not in copies]


def _joined(text: str) -> str:
    """Words set apart by blanks, as Chinese is written."""
    return "".join(text.split(" "))


def read_ids(paths: Iterable[Path]) -> frozenset[str]:
    """The ids of all rows of these JSON lines."""
    lines = (line for path in paths for line in path.read_text(encoding="utf-8").splitlines())
    return frozenset(str(json.loads(line)["id"]) for line in lines)


def topic_names(rows: Sequence[LabelledComplaint]) -> list[str]:
    """Every topic that occurs, in order."""
    return sorted({row.labels.topic for row in rows if row.labels.topic})


def read_single_task(path: Path, task: str, taxonomy: Taxonomy) -> list[LabelledComplaint]:
    """Rows ``{"text", "label"}`` in which the label is of one task of the taxonomy; of misconduct, a list of types.

    Raises InputError naming file, row and field.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path}, row {number}"
        try:
            row = json.loads(line)
            label, text = row["label"], row["text"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("row_invalid", f"应有 text 与 label 两个字段：{error}", where=where) from error
        named = label if task == "misconduct" else [label]
        if not isinstance(named, list) or any(name not in taxonomy.ids[task] for name in named):
            raise InputError("label_unknown", f"标签 {label!r} 不在 {task} 之中。", where=f"{where}, field label")
        identifier = str(row.get("id", f"{path.stem}-{number}"))
        labels = Labels(
            misconduct=frozenset(named) if task == "misconduct" else None,
            department=label if task == "department" else None,
            urgency=label if task == "urgency" else None,
        )
        rows.append(LabelledComplaint(complaint=complaint_from_text(identifier, text), labels=labels, group=identifier))
    return rows
