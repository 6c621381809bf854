"""Reduce an image file to the parts that a camera image needs, before any decoder sees it.

Image files may hold other parts: previews, colour profiles, compressed texts, further pictures, empty scans. Decoders
read these parts, and some cost a thousand times as much as the picture. This module walks over a JPEG's markers or a
PNG's chunks in a time proportional to the file's length. It keeps the parts that the picture needs, and refuses files
of a kind that no camera sends.

Sources: ITU-T T.81 (JPEG), annex B; W3C PNG specification, third edition, sections 5 and 11.
"""

import re
import struct
from typing import NamedTuple

import numpy as np

# A baseline JPEG has one scan, or one for each of up to four channels.
MOST_SCANS = 4
# Most segments of a JPEG, and most chunks of a PNG. Encoders write some ten; QuadSim's PNGs have a chunk for each 8 kB.
MOST_PARTS = 256

_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_BASELINE = (0xC0, 0xC1)  # sequential, Huffman: 8 bits, and up to 12
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Quantisation tables, Huffman tables and restart interval; Adobe's segment, which tells the colour transform.
_TABLES, _ADOBE = (0xDB, 0xC4, 0xDD), 0xEE
_APPLICATION_OR_COMMENT = (*range(0xE0, 0xF0), 0xFE)
_FILL = re.compile(rb"\xff*")
# Bytes that may follow 0xFF within a scan: 0 (the 0xFF is data), a restart marker, and 0xFF (the first is a fill byte).
_WITHIN_SCAN = np.isin(np.arange(256), (0x00, *range(0xD0, 0xD8), 0xFF))

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


class UnusualImageError(ValueError):
    """A file that no camera sends: what was expected, what was received."""

    def __init__(self, expected: str, received: str) -> None:
        self.expected, self.received = expected, received
        super().__init__(f"expected {expected}, got {received}")


class PlainImage(NamedTuple):
    """An image file that holds only the picture; its size is that in its header."""

    kind: str
    width_px: int
    height_px: int
    file: bytes


def plain_image(file: bytes) -> PlainImage:
    """Reduce a file to its picture.

    Args:
        file: a JPEG or PNG.

    Raises:
        UnusualImageError: if it is neither, is cut off, or is of a kind that no camera sends.
    """
    if file.startswith(b"\xff\xd8"):
        return _plain_jpeg(file)
    if file.startswith(_PNG_SIGNATURE):
        return _plain_png(file)
    raise UnusualImageError("a JPEG or PNG", f"a file that begins with {file[:12]!r}")


def _plain_jpeg(file: bytes) -> PlainImage:
    kept, at, parts, scans, size = [file[:2]], 2, 0, 0, None
    while True:
        parts += 1
        if parts > MOST_PARTS:
            raise UnusualImageError(f"a JPEG of at most {MOST_PARTS} segments", "more")
        marker, at = _next_marker(file, at)
        if marker == _END_OF_IMAGE:
            break
        end = at + _unsigned(file, at, 2)
        if end < at + 2 or end > len(file):
            raise UnusualImageError("a whole JPEG", f"a segment that ends at byte {end} of {len(file)}")
        is_kept = marker in (*_TABLES, _ADOBE)
        if marker in _FRAMES:
            if size is not None or marker not in _BASELINE:
                kind = "a second frame" if size is not None else f"a frame of type {marker - 0xC0}, such as progressive"
                raise UnusualImageError("a baseline JPEG of one frame", kind)
            size, is_kept = (_unsigned(file, at + 5, 2), _unsigned(file, at + 3, 2)), True
        elif marker == _START_OF_SCAN:
            scans += 1
            if scans > MOST_SCANS or size is None:
                raise UnusualImageError(f"a JPEG of at most {MOST_SCANS} scans after its frame", f"scan {scans}")
            end, is_kept = _end_of_scan(file, end), True
        elif not is_kept and marker not in _APPLICATION_OR_COMMENT:
            raise UnusualImageError("a baseline JPEG", f"one with a segment of type {marker:#x}")
        if is_kept:
            kept.append(b"\xff" + bytes([marker]) + file[at:end])
        at = end
    if size is None or scans == 0:
        raise UnusualImageError("a JPEG with a picture", "one without")
    return PlainImage("JPEG", *size, b"".join([*kept, b"\xff\xd9"]))


def _next_marker(file: bytes, at: int) -> tuple[int, int]:
    """The marker at an offset, after any fill bytes, and the offset after the marker."""
    begin = at
    if fill := _FILL.match(file, at):  # always matches
        at = fill.end()
    if at == begin or at >= len(file):
        raise UnusualImageError("a whole JPEG", f"no marker at byte {begin} of {len(file)}")
    return file[at], at + 1


def _end_of_scan(file: bytes, at: int) -> int:
    """The offset of the marker that ends a scan whose data begins at `at`."""
    # Uses numpy, because a loop in Python takes 0.3 s for a message that is full of 0xFF.
    data = np.frombuffer(file, np.uint8)[at:]
    marks = np.flatnonzero(data[:-1] == 0xFF)
    ends = marks[~_WITHIN_SCAN[data[marks + 1]]]
    if not len(ends):
        raise UnusualImageError("a whole JPEG", "one without an end")
    return at + int(ends[0])


def _plain_png(file: bytes) -> PlainImage:
    kept, at, size = [_PNG_SIGNATURE], len(_PNG_SIGNATURE), None
    for _ in range(MOST_PARTS):
        length, kind = _unsigned(file, at, 4), file[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(file):
            raise UnusualImageError("a whole PNG", f"a chunk that ends at byte {end} of {len(file)}")
        if (size is None) != (kind == b"IHDR"):
            raise UnusualImageError("a PNG whose first chunk is its only header", f"{kind!r}")
        if kind == b"IHDR":
            size = _png_size(file[at + 8 : at + 8 + length])
        elif kind[:1].isupper() and kind not in _PNG_KEPT:
            raise UnusualImageError("a PNG", f"one with a chunk {kind!r}")
        if kind in _PNG_KEPT:
            kept.append(file[at:end])
        if kind == b"IEND":
            assert size is not None
            return PlainImage("PNG", *size, b"".join(kept))
        at = end
    raise UnusualImageError(f"a PNG of at most {MOST_PARTS} chunks", "more")


def _png_size(header: bytes) -> tuple[int, int]:
    if len(header) != 13:
        raise UnusualImageError("a PNG header of 13 bytes", f"{len(header)}")
    width, height, bits, _, _, _, interlace = struct.unpack(">IIBBBBB", header)
    if bits > 8:
        raise UnusualImageError("8 bits a channel", f"{bits}")
    if interlace:
        raise UnusualImageError("a PNG that is not interlaced", "an interlaced one")
    return width, height


def _unsigned(file: bytes, at: int, size: int) -> int:
    """The big-endian unsigned integer of `size` bytes at an offset."""
    part = file[at : at + size]
    if len(part) < size:
        raise UnusualImageError("a whole image", f"a file cut off at byte {len(file)}")
    return int.from_bytes(part)
