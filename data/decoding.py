"""Bytes to text: which encoding a file has, and reading it line by line without holding it in memory."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from data.errors import InputError

_HEAD = 65536
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"))
_BOMS_16 = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_BINARIES = (
    (b"PK\x03\x04", "压缩包或 XLSX"),
    (b"\xd0\xcf\x11\xe0", "旧版 XLS 或加密的表格"),
    (b"%PDF", "PDF"),
    (b"\x89PNG", "PNG 图片"),
    (b"\xff\xd8\xff", "JPEG 图片"),
    (b"PAR1", "Parquet"),
    (b"\x1f\x8b", "GZIP 压缩包"),
    (b"Rar!", "RAR 压缩包"),
    (b"7z\xbc\xaf", "7Z 压缩包"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST = 0.9
_COMMON = 0.5
_ENOUGH = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """How an encoding fits the lines that are not plain ASCII."""

    lines: int
    damaged: int
    first_damaged: int
    han: int
    common: int

    @property
    def mostly(self) -> bool:
        return self.damaged <= (1 - _MOST) * self.lines

    @property
    def chinese(self) -> bool:
        """Real Chinese consists of GB2312's common characters; bytes of another encoding decode to rare ones."""
        return self.common >= _COMMON * self.han


def detect_encoding(path: Path) -> str:
    """The codec of a text file: a byte order mark, else UTF-8, else GB18030.

    A file with a few damaged lines (at most one in ten of those that are not ASCII) still has an encoding; the rows
    are refused one by one. Raises InputError file_binary or encoding_unknown.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    for mark, name in (*_BOMS, *_BOMS_16):
        if head.startswith(mark):
            return name
    _refuse_binary(head, path)
    utf8 = _fit(path, "utf-8")
    if utf8.mostly:
        return "utf-8"
    gb18030 = _fit(path, "gb18030")
    if gb18030.mostly and gb18030.chinese:
        return "gb18030"
    line = utf8.first_damaged
    zh = f"认不出文件的编码：第 {line} 行不是 UTF-8，全文也不像 GB18030（GBK）中文。请另存为 UTF-8 编码后再试。"
    raise InputError("encoding_unknown", zh, where=f"{path.name}, line {line}")


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[TextIO]:
    """Opens a text file in its detected ``encoding``; bytes that cannot be decoded become lone surrogates."""
    errors = "surrogateescape" if encoding in {"utf-8", "utf-8-sig", "gb18030"} else "replace"
    with path.open(encoding=encoding, errors=errors, newline="") as file:
        yield file


def undecodable(text: str) -> bool:
    """Whether ``text`` holds lone surrogates, the trace of bytes that could not be decoded."""
    return _SURROGATE.search(text) is not None


def _refuse_binary(head: bytes, path: Path) -> None:
    kind = next((kind for magic, kind in _BINARIES if head.startswith(magic)), None)
    if kind is None and head.count(0) > len(head) // 100:
        kind = "二进制数据"
    if kind is not None:
        zh = f"文件内容其实是{kind}，不是“{path.suffix}”应有的文本。请核对文件，或改用正确的扩展名。"
        raise InputError("file_binary", zh, where=path.name)


def _fit(path: Path, encoding: str) -> _Fit:
    lines = damaged = first = han = common = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.isascii():
                continue
            lines += 1
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError:
                damaged += 1
                first = first or number
                continue
            if encoding == "gb18030" and han < _ENOUGH:
                characters = [character for character in text if character > "\x7f"]
                han += len(characters)
                common += sum(map(_is_common, characters))
    return _Fit(lines=lines, damaged=damaged, first_damaged=first, han=han, common=common)


def _is_common(character: str) -> bool:
    """A character of GB2312's first level or its punctuation, or a full-width form."""
    code = character.encode("gb18030")
    return len(code) == 2 and code[1] >= 0xA1 and (0xB0 <= code[0] <= 0xD7 or code[0] in {0xA1, 0xA3})
