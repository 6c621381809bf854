"""Image files that take more time or memory than they seem to, or are damaged in a way that decoders must notice.

Sources: ITU-T T.81 (JPEG), annex B; CIPA DC-007 (MPF); W3C PNG specification, third edition.
"""

import functools
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image
from support.fake_engine import GREY
from support.images import saved
from support.live import picture

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREYSCALE, COLOUR, PALETTE, COLOUR_AND_ALPHA = 0, 2, 3, 6
CHANNELS = {GREYSCALE: 1, COLOUR: 3, PALETTE: 1, 4: 2, COLOUR_AND_ALPHA: 4}
# The largest file that a client can put into a message of 1 MB beside another image, before base64.
LARGEST_FILE = 600_000


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def png(
    size: tuple[int, int] = (256, 256),
    colour: int = COLOUR_AND_ALPHA,
    bits: int = 8,
    interlace: int = 0,
    before: bytes = b"",
    after: bytes = b"",
    idat: bytes | None = None,
) -> bytes:
    """A PNG whose pixels are all 0, with chunks before and after its data; `idat` replaces the chunks of the data."""
    width, height = size
    if idat is None:
        row = bytes(1 + (width * CHANNELS[colour] * bits + 7) // 8)
        idat = chunk(b"IDAT", zlib.compress(row * height, 9))
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, colour, 0, 0, interlace))
    palette = chunk(b"PLTE", bytes(768)) if colour == PALETTE else b""
    return PNG_SIGNATURE + header + palette + before + idat + after + chunk(b"IEND")


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def scans_jpeg(count: int, px: int = 1024, *, is_mpo: bool = True) -> bytes:
    """A JPEG of many empty scans; with a directory of several pictures, which makes Pillow call it an MPO."""
    file = saved(Image.new("RGB", (px, px), GREY), "JPEG")
    begin = file.index(b"\xff\xda")
    scans = b"".join(segment(0xDA, bytes([1, 1 + n % 3, 0x00 if n % 3 == 0 else 0x11, 0, 63, 0])) for n in range(count))
    return file[:2] + (pictures_directory() if is_mpo else b"") + file[2:begin] + scans + b"\xff\xd9"


def pictures_directory() -> bytes:
    """The MPF segment of a file with two pictures."""
    entries = b"".join(struct.pack("<LLLHH", 0x030000 if n == 0 else 0, 100, 0, 0, 0) for n in range(2))
    fields = struct.pack("<HHL4s", 0xB000, 7, 4, b"0100") + struct.pack("<HHLL", 0xB001, 4, 1, 2)
    fields += struct.pack("<HHLL", 0xB002, 7, len(entries), 8 + 2 + 3 * 12 + 4)
    body = b"II*\0" + struct.pack("<L", 8) + struct.pack("<H", 3) + fields + struct.pack("<L", 0) + entries
    return segment(0xE2, b"MPF\0" + body)


def progressive_jpeg(px: int = 1024) -> bytes:
    """A whole progressive JPEG."""
    noise = np.random.default_rng(0).integers(0, 256, (px, px), dtype=np.uint8)
    return saved(Image.fromarray(noise), "JPEG", quality=10, progressive=True)


def largest_jpeg() -> bytes:
    """The most expensive file that is allowed: noise, 640 × 480."""
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    return saved(Image.fromarray(noise), "JPEG", quality=90)


def _texts(kind: bytes, count: int, head: bytes = b"\0\0") -> bytes:
    packed = zlib.compress(bytes(1_000_000), 9)
    return b"".join(chunk(kind, b"k%d" % number + head + packed) for number in range(count))


def _pieces(data: bytes, size: int) -> bytes:
    return b"".join(chunk(b"IDAT", data[at : at + size]) for at in range(0, len(data), size))


def _directory() -> bytes:
    return b"II*\0\x08\0\0\0\xff\xff" + b"\x1a\x01\x05\0\xff\xff\0\0\0\0\0\0" * 30_000


def _too_much_data() -> bytes:
    """IDAT that unpacks to 100 MB."""
    packer = zlib.compressobj(9)
    return chunk(b"IDAT", b"".join(packer.compress(bytes(10_000_000)) for _ in range(10)) + packer.flush())


_EXPENSIVE: dict[str, Callable[[], bytes]] = {
    "43,000 empty scans, called an MPO": lambda: scans_jpeg(43_000),
    "43,000 empty scans": lambda: scans_jpeg(43_000, is_mpo=False),
    "a progressive JPEG": progressive_jpeg,
    "noise of 640 × 480": largest_jpeg,
    "60,000 comments in a JPEG": lambda: b"\xff\xd8" + segment(0xFE, b"") * 60_000 + scans_jpeg(1)[2:],
    "62 zTXt before the data": lambda: png(before=_texts(b"zTXt", 62)),
    "62 zTXt behind the data": lambda: png(after=_texts(b"zTXt", 62)),
    "400 zTXt": lambda: png(before=_texts(b"zTXt", 400)),
    "62 iTXt": lambda: png(before=_texts(b"iTXt", 62, b"\0\1\0\0\0")),
    "unknown chunks before the data": lambda: png(before=chunk(b"abCd") * 49_000),
    "unknown chunks behind the data": lambda: png(after=chunk(b"abCd") * 49_000),
    "unknown critical chunks": lambda: png(before=chunk(b"ABCD") * 49_000),
    "empty texts": lambda: png(before=chunk(b"tEXt", b"k\0") * 42_000),
    "gammas": lambda: png(before=chunk(b"gAMA", b"\0\0\0\1") * 37_000),
    "colour spaces": lambda: png(before=chunk(b"sRGB", b"\0") * 46_000),
    "chromaticities": lambda: png(before=chunk(b"cHRM", bytes(32)) * 13_000),
    "animation controls": lambda: png(before=chunk(b"acTL", struct.pack(">LL", 1000, 0)) * 29_000),
    "IDAT of one byte each": lambda: png(idat=_pieces(zlib.compress(bytes(1 + 1024) * 256, 0)[:46_000], 1)),
    "empty IDAT": lambda: png(idat=chunk(b"IDAT") * 49_000),
    "16 bits a channel": lambda: png((1024, 1024), bits=16),
    "16 bits a channel, interlaced": lambda: png((1024, 1024), bits=16, interlace=1),
    "a large palette": lambda: png((640, 480), PALETTE),
    "900 million pixels": lambda: png((30_000, 30_000), GREYSCALE, bits=1, idat=chunk(b"IDAT", b"x")),
    "1108 × 277": lambda: png((1108, 277)),
    "data of 100 MB": lambda: png((640, 480), idat=_too_much_data()),
    "two profiles": lambda: png(before=_texts(b"iCCP", 2)),
    "a profile of 100 MB": lambda: png(before=chunk(b"iCCP", b"a\0\0" + _too_much_data()[8:-4])),
    "a long directory": lambda: png(before=chunk(b"eXIf", _directory())),
    "no data": lambda: png(idat=b""),
}


@functools.cache
def expensive_images() -> dict[str, bytes]:
    """Expensive images by name; they show black and grey only."""
    return {name: make() for name, make in _EXPENSIVE.items()}


@functools.cache
def plain_images() -> dict[str, bytes]:
    """Small whole files without any colour, from which others are made."""
    noise = Image.fromarray(np.random.default_rng(0).integers(90, 160, (64, 64), dtype=np.uint8))
    return {
        "jpeg": saved(noise, "JPEG"),
        "restarts": saved(noise, "JPEG", restart_marker_blocks=1),
        "png": saved(noise, "PNG"),
        "bits": saved(noise.convert("1"), "PNG"),
    }


def mutated(file: bytes, rng: random.Random) -> bytes:
    """A file with some damage."""
    data = bytearray(file)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.choice((1, 2, 10, 1000))]
            case 2:
                data[at:at] = rng.randbytes(rng.choice((1, 2, 10, 1000)))
            case 3:
                data[at:at] = data[max(0, at - rng.choice((2, 20, 500))) : at]
            case 4 if len(data) > 10:
                del data[at:]
    return bytes(data)


def hero_image(rng: random.Random) -> bytes:
    """A file that shows the hero, damaged more often than not."""
    file = saved(Image.fromarray(picture()), "JPEG")
    return mutated(file, rng) if rng.random() < 0.7 else file
