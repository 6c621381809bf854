"""The records of an MCAP file, in its order and within bounds, also of a file that was cut off.

A file may come from anybody: large parts of it are refused before they are unpacked.

Format: https://mcap.dev/spec
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

import zstandard
from mcap.exceptions import EndOfFile
from mcap.records import Chunk, McapRecord
from mcap.stream_reader import MAGIC_SIZE, StreamReader, breakup_chunk

from server.wire.messages import shorten

# Of a record, too. The server writes twice a second.
LARGEST_CHUNK_BYTES = 500_000_000
# All chunks of a file together may unpack to this, and to so many times the file's size. A client that sends the same
# frame again and again, 200 times a second, is recorded at 100 times.
MOST_UNPACKED_BYTES, MOST_UNPACKED_TIMES = 100_000_000, 500


class UnreadableRecordingError(ValueError):
    """A file that is no recording of the server, or a damaged one: its name, what was expected, what was received."""


class Place(NamedTuple):
    """Where a record is: at which byte of the file, or in the chunk that begins there the record of this number."""

    byte: int
    number: int = 0


def read_records(file: IO[bytes], path: Path, size: int) -> Iterator[McapRecord]:
    """Read the records up to the end of the file, or to where it was cut off; those of a chunk instead of the chunk.

    Args:
        file: opened, at its beginning.
        path: its name, for errors.
        size: how many bytes of it to read.

    Raises:
        UnreadableRecordingError: where it is damaged, too large, or no MCAP file.
    """
    for _, record in read_placed_records(file, path, size):
        yield record


def read_placed_records(file: IO[bytes], path: Path, size: int) -> Iterator[tuple[Place, McapRecord]]:
    """As `read_records`, each with its place."""
    reader = _reader(file, size)
    left_bytes = MOST_UNPACKED_BYTES + MOST_UNPACKED_TIMES * size
    at_byte = MAGIC_SIZE
    try:
        for record in reader.records:
            if isinstance(record, Chunk):
                left_bytes -= _unpacked_bytes(record)
                if left_bytes < 0:
                    most = f"{MOST_UNPACKED_BYTES} bytes and {MOST_UNPACKED_TIMES} times the file's size"
                    raise ValueError(f"expected chunks that unpack to at most {most}, got more")
                for number, part in enumerate(breakup_chunk(record, validate_crc=True)):
                    yield Place(at_byte, number), part
            else:
                yield Place(at_byte), record
            at_byte = file.tell()
    except EndOfFile:  # the file ends within a record
        return
    except Exception as error:  # the reader and its decompressors raise nearly anything on broken bytes
        if file.tell() < size:
            raise UnreadableRecordingError(
                f"{path}: expected a whole MCAP file, got damage before byte {file.tell()}: {error}"
            ) from error


def records_at(file: IO[bytes], path: Path, size: int, byte: int) -> list[McapRecord]:
    """The record at a byte of a file that has been read, or those of the chunk there; see `Place`.

    Raises:
        UnreadableRecordingError: if it has been changed since.
    """
    file.seek(byte)
    try:
        record = next(iter(_reader(file, size, skip_magic=True).records))
        if not isinstance(record, Chunk):
            return [record]
        _unpacked_bytes(record)
        return breakup_chunk(record, validate_crc=True)
    except Exception as error:
        raise UnreadableRecordingError(f"{path}: expected it unchanged at byte {byte}, got {error}") from error


def _reader(file: IO[bytes], size: int, skip_magic: bool = False) -> StreamReader:
    source = cast(IO[bytes], _WithinFile(file, size))
    return StreamReader(source, skip_magic, emit_chunks=True, validate_crcs=True, record_size_limit=LARGEST_CHUNK_BYTES)


class _WithinFile:
    """A file of which no more is read than there is: for a damaged length Python would take gigabytes first."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size

    def read(self, length: int) -> bytes:
        return self._file.read(min(length, max(0, self._size - self._file.tell())))


def _unpacked_bytes(chunk: Chunk) -> int:
    """The size of a chunk's content, told before it is unpacked.

    Raises:
        ValueError: if it is too large, or compressed in a way that the server does not use.
    """
    if chunk.compression not in ("", "zstd"):
        raise ValueError(f"expected chunks compressed with zstd, got {shorten(chunk.compression)}")
    size = zstandard.frame_content_size(chunk.data) if chunk.compression else len(chunk.data)
    size = max(size, chunk.uncompressed_size)
    if size > LARGEST_CHUNK_BYTES:
        raise ValueError(f"expected chunks of at most {LARGEST_CHUNK_BYTES} bytes, got one of {size}")
    return size
