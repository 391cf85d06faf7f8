"""What the command line was given: files, complaints typed as arguments, or standard input."""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from data.complaint import Complaint
from data.decoding import detect_encoding, open_text
from data.errors import InputError
from data.reading import ColumnMap, Rejected, complaint_from_json, count_rows, read_complaints

STDIN = "-"
STDIN_REJECTS = Path("fenzhen.rejects.jsonl")
_SENTENCE_MARK = re.compile(r"[，。！？；：、“”\n]")
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of complaints, or one complaint as ``text``; ``rejects`` is where its bad rows go by default."""

    name: str
    path: Path | None = None
    text: str | None = None
    rejects: Path | None = None

    def read(self, columns: ColumnMap) -> Iterator[Complaint | Rejected]:
        """Complaints and rejected rows in order; raises InputError if the whole source cannot be read."""
        if self.path is not None:
            yield from read_complaints(self.path, columns)
        else:
            yield complaint_from_json({"text": self.text}, f"第 {self.name} 条", self.name)

    def rows(self) -> int | None:
        """About how many complaints there are, if that can be known."""
        return 1 if self.path is None else count_rows(self.path)


def source_of(argument: str, number: int) -> Source:
    """An existing file, or a complaint named ``number``. Raises InputError file_missing for the name of a file that is
    not there, so that a mistyped name is not taken for a complaint."""
    path = Path(argument)
    if _exists(path):
        return Source(name=path.name, path=path, rejects=path.with_name(f"{path.name}.rejects.jsonl"))
    if _looks_like_path(argument):
        zh = "没有这个文件。如果这就是投诉内容，请写成 --text '…'。"
        raise InputError("file_missing", zh, where=argument)
    return Source(name=str(number), text=argument)


@contextmanager
def gather(arguments: Sequence[str], text: str | None, stdin: BinaryIO) -> Iterator[list[Source]]:
    """The sources in the order given, ``text`` last; standard input if there is nothing else, or for ``-``."""
    wanted = arguments or ([] if text is not None else [STDIN])
    if wanted.count(STDIN) > 1:
        raise InputError("input_twice", "标准输入只能写一次。", where=STDIN)
    with TemporaryDirectory(prefix="fenzhen-") as folder:
        sources = [
            _spool(stdin, Path(folder)) if argument == STDIN else source_of(argument, number)
            for number, argument in enumerate(wanted, 1)
        ]
        if text is not None:
            sources.append(Source(name=str(len(sources) + 1), text=text))
        yield sources


def _spool(stdin: BinaryIO, folder: Path) -> Source:
    """Standard input as a source: JSON lines if the first line with anything on it begins an object, else one text.

    It goes to disk first: its encoding shows only in the whole, and a pipe cannot be read twice.
    """
    path = folder / "stdin.txt"
    with path.open("wb") as file:
        shutil.copyfileobj(stdin, file)
    if _begins_object(path):
        path = path.rename(path.with_suffix(".jsonl"))
        return Source(name="标准输入", path=path, rejects=STDIN_REJECTS)
    return Source(name="1", text=_whole_text(path))


def _whole_text(path: Path) -> str:
    with open_text(path, detect_encoding(path)) as file:
        text = file.read().strip()
    if not text:
        raise InputError("input_empty", "没有内容：应是一条投诉的文字，或每行一个 JSON 对象。", where="标准输入")
    return text


def _begins_object(path: Path) -> bool:
    with path.open("rb") as lines:
        first = next((line for line in lines if line.removeprefix(_BOM).strip()), b"").removeprefix(_BOM).strip()
    if re.match(rb'\{\s*"', first):
        return True
    try:
        return isinstance(json.loads(first), dict)
    except ValueError:
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _looks_like_path(argument: str) -> bool:
    if _SENTENCE_MARK.search(argument):
        return False
    return bool(_SUFFIX.search(argument)) or ("/" in argument and not re.search(r"\s", argument))


def check_outputs(sources: Sequence[Source], *outputs: Path | None) -> None:
    """Raises InputError output_is_input if something would be written over what is read, or twice to one file."""
    taken = {source.path.resolve(): source.name for source in sources if source.path}
    for output in filter(None, outputs):
        if output.resolve() in taken:
            zh = f"不能写到这里：与“{taken[output.resolve()]}”是同一个文件。"
            raise InputError("output_is_input", zh, where=str(output))
        taken[output.resolve()] = output.name
