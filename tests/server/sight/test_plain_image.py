"""Files reduced to their picture: the dropped bytes change no pixel, and expensive files are refused at once."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from support.images import encoded

from server.sight.plain_image import MOST_PARTS, MOST_SCANS, UnusualImageError, plain_image


def pixels(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)))


def saved(kind: str, mode: str = "RGB", **options) -> bytes:
    """A file with noise in it."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def png(before: bytes = b"", after: bytes = b"", idat: bytes | None = None, header: bytes | None = None) -> bytes:
    """A grey PNG of 64 × 48 with chunks before and after its data."""
    data = zlib.compress((b"\0" + bytes(64)) * 48) if idat is None else idat
    header = struct.pack(">LLBBBBB", 64, 48, 8, 0, 0, 0, 0) if header is None else header
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", data) + after + chunk(b"IEND")


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg_with(extra: bytes, at: int = 2) -> bytes:
    file = saved("JPEG")
    return file[:at] + extra + file[at:]


def empty_scans(count: int) -> bytes:
    file = encoded()
    begin = file.index(b"\xff\xda")
    return file[:begin] + segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") * count + b"\xff\xd9"


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"subsampling": 2, "quality": 20}),
        ("JPEG", "RGB", {"restart_marker_blocks": 1}),
        ("JPEG", "RGB", {"optimize": True}),
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "L", {}),
        ("PNG", "LA", {}),
        ("PNG", "P", {}),
        ("PNG", "1", {}),
        ("PNG", "P", {"transparency": 0}),
    ],
)
def test_the_picture_stays_as_it_is(kind, mode, options):
    file = saved(kind, mode, **options)
    plain = plain_image(file)
    assert plain[:3] == (kind, 64, 48)
    np.testing.assert_array_equal(pixels(plain.file), pixels(file))
    assert len(plain.file) <= len(file)


@pytest.mark.parametrize(
    "file",
    [
        jpeg_with(segment(0xE1, b"Exif\0\0" + bytes(5000)) + segment(0xFE, b"comment") + segment(0xE2, b"MPF\0")),
        saved("JPEG") + bytes(1000),  # behind its end
        png(before=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000))) * 60),
        png(after=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000)))),
        png(before=chunk(b"acTL", bytes(8)) + chunk(b"eXIf", bytes(5000))),
    ],
    ids=["segments of a JPEG", "data behind a JPEG", "texts", "a profile", "an animation"],
)
def test_parts_that_the_picture_does_not_need_are_dropped(file):
    plain = plain_image(file)
    np.testing.assert_array_equal(pixels(plain.file), pixels(file))
    for part in (b"Exif", b"comment", b"MPF", b"zTXt", b"iCCP", b"acTL", b"eXIf"):
        assert part not in plain.file
    assert plain_image(plain.file) == plain


def test_fill_bytes_before_a_marker_are_passed_over():
    file = saved("JPEG")
    filled = file[:2] + bytes([0xFF] * 5) + file[2:-2] + bytes([0xFF] * 5) + file[-2:]
    np.testing.assert_array_equal(pixels(plain_image(filled).file), pixels(file))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"", "expected a JPEG or PNG"),
        (b"RIFF\0\0\0\0WEBPVP8 ", r"got a file that begins with b'RIFF"),
        (saved("GIF"), "expected a JPEG or PNG"),
        (saved("JPEG", progressive=True), "a baseline JPEG of one frame, got a frame of type 2"),
        (empty_scans(MOST_SCANS + 1), "at most 4 scans after its frame, got scan 5"),
        (empty_scans(0), "a JPEG with a picture, got one without"),
        (jpeg_with(segment(0xFE, b"") * MOST_PARTS), "at most 256 segments"),
        (jpeg_with(b"\xff\xcc\0\2"), "a segment of type 0xcc"),
        (jpeg_with(b"\xff\xd8"), "a whole JPEG"),
        (jpeg_with(b"\xff\xe1\0\1"), "a whole JPEG, got a segment that ends"),
        (saved("JPEG")[:-400], "a whole JPEG, got one without an end"),
        (saved("JPEG")[:300], "a whole"),
        (b"\xff\xd8", "a whole JPEG, got no marker"),
        (b"\xff\xd8\xff\xff\xff", "a whole JPEG, got no marker"),
        (b"\xff\xd8\xff\xc0\0\x11", "a whole JPEG, got a segment that ends"),
        (saved("PNG")[:-20], "a whole"),
        (saved("PNG")[:20], "a whole PNG, got a chunk that ends"),
        (b"\x89PNG\r\n\x1a\n", "a whole image, got a file cut off"),
        (png(before=chunk(b"IHDR", bytes(13))), "whose first chunk is its only header"),
        (png(before=chunk(b"abCd") * MOST_PARTS), "at most 256 chunks"),
        (png(before=chunk(b"ABCD")), "one with a chunk b'ABCD'"),
        (png(header=bytes(12)), "a PNG header of 13 bytes, got 12"),
        (png(header=struct.pack(">LLBBBBB", 64, 48, 16, 0, 0, 0, 0)), "8 bits a channel, got 16"),
        (png(header=struct.pack(">LLBBBBB", 64, 48, 8, 0, 0, 0, 1)), "that is not interlaced"),
    ],
)
def test_a_file_that_no_camera_sends_is_refused(file, message):
    with pytest.raises(UnusualImageError, match=message):
        plain_image(file)


def test_any_cut_and_any_flipped_byte_gives_a_picture_or_is_refused():
    rng = np.random.default_rng(0)
    for file in (saved("JPEG"), saved("PNG")):
        for _ in range(300):
            broken = bytearray(file[: int(rng.integers(len(file)))] if rng.random() < 0.5 else file)
            if broken:
                broken[int(rng.integers(len(broken)))] ^= 1 << int(rng.integers(8))
            try:
                plain = plain_image(bytes(broken))
            except UnusualImageError:
                continue
            assert plain.kind in ("JPEG", "PNG")
