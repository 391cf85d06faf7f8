"""Labels that come without their text: ``python -m training.annotations --labels L --texts T --out O``.

`data/annotations` holds what annotators said of messages that are not ours to publish: ids, labels, and where in the
text the quotes stand. Whoever has the messages joins the two into a file for ``--corpus``.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import InputError


def texts_by_id(path: Path) -> dict[str, str]:
    """Text of every row; rows without an id are named after file and line, and words set apart by blanks are joined."""
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        own = "id" in row
        found[str(row["id"]) if own else f"{path.stem}-{number}"] = (
            row["text"] if own else "".join(row["text"].split(" "))
        )
    return found


def joined(labels: Path, texts: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The annotations with text and quotes; raises InputError naming file, row and id where a text is missing."""
    for number, line in enumerate(labels.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        if row["id"] not in texts:
            raise InputError("text_missing", f"没有编号为 {row['id']} 的原文。", where=f"{labels}, row {number}")
        text = texts[row["id"]]
        evidence = {kind: text[start:end] for kind, (start, end) in row["evidence"].items()}
        yield {**row, "text": text, "evidence": evidence}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = list(joined(options.labels, texts_by_id(options.texts)))
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    options.out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(f"{options.out}: {len(rows)} labelled messages")


if __name__ == "__main__":
    main()
