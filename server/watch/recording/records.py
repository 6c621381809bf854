"""The records of an MCAP file, in the file's order and within bounds, also of a file that was cut off.

A file may come from anybody, so chunks that are too large are refused before they are unpacked.

Format: https://mcap.dev/spec
"""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, NamedTuple, cast

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import EndOfFile
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import MAGIC_SIZE, StreamReader, get_chunk_data_stream

from server.wire.messages import shorten

# Largest chunk and largest record. The server begins another chunk after 10 MB (`mcap_file.py`). Its older versions put
# all data of half a second into one chunk: at most 94 MB, measured with messages of the longest text that a client can
# send.
LARGEST_CHUNK_BYTES = 100_000_000
# All chunks of a file may unpack to the sum of MOST_UNPACKED_BYTES and MOST_UNPACKED_TIMES × the file's size. If a
# client sends the same frame 200 times a second, its recording unpacks to 100 times its size.
MOST_UNPACKED_BYTES, MOST_UNPACKED_TIMES = 100_000_000, 500
# Most schemas, channels and metadata of a file, which readers keep. The server writes 17, of 20 kB in total, and again
# at the end.
MOST_DESCRIPTIONS, MOST_DESCRIPTION_BYTES = 1000, 1_000_000
_DESCRIPTIONS = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.METADATA)
_INDEXES = (Opcode.MESSAGE_INDEX, Opcode.CHUNK_INDEX, Opcode.METADATA_INDEX, Opcode.ATTACHMENT_INDEX, Opcode.STATISTICS)


class UnreadableRecordingError(ValueError):
    """A file is not a recording of the server, or is damaged: its name, what was expected, what was received."""


class Place(NamedTuple):
    """The place of a record: its byte in the file; for a record in a chunk, the chunk's byte and the byte within it."""

    byte: int
    within: int = 0


def read_records(file: IO[bytes], path: Path, size: int) -> Iterator[McapRecord]:
    """Read the records up to the end of the file, or up to where it was cut off; a chunk is replaced by its records.

    Args:
        file: the opened file, at its beginning.
        path: its name, for errors.
        size: how many bytes of it to read.

    Raises:
        UnreadableRecordingError: if the file is damaged, too large, or no MCAP file.
    """
    for _, record in read_placed_records(file, path, size):
        yield record


def read_placed_records(file: IO[bytes], path: Path, size: int) -> Iterator[tuple[Place, McapRecord]]:
    """Like `read_records`, each record with its place."""
    limits = _Limits(size)
    at_byte = MAGIC_SIZE
    try:
        for record in _Reader(file, size, limits).records:
            if isinstance(record, Chunk):
                for within, part in _parts(_unpacked(record, limits), limits):
                    yield Place(at_byte, within), part
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


class PlacedRecords:
    """Reads records of a file again, by their places. The latest chunk is kept unpacked.

    Args:
        file: the opened file.
        path: its name, for errors.
        size: how many bytes of it to read.
    """

    def __init__(self, file: IO[bytes], path: Path, size: int) -> None:
        self._file, self._path, self._size = file, path, size
        self._latest: tuple[int, McapRecord] | None = None

    def at(self, place: Place) -> McapRecord:
        """The record at a place.

        Raises:
            UnreadableRecordingError: if the file has been changed since it was read.
        """
        try:
            if self._latest is None or self._latest[0] != place.byte:
                self._file.seek(place.byte)
                limits = _Limits(self._size)
                whole = next(iter(_Reader(self._file, self._size, limits, skip_magic=True).records))
                self._latest = place.byte, _unpacked(whole, limits) if isinstance(whole, Chunk) else whole
            record = self._latest[1]
            return next(_parts(record, _Limits(self._size), place.within))[1] if isinstance(record, Chunk) else record
        except Exception as error:
            raise UnreadableRecordingError(
                f"{self._path}: expected it unchanged at byte {place.byte}, got {error}"
            ) from error


class _Reader(StreamReader):
    """Reads whole chunks, and skips indexes, which are not needed here and take ten times their size in memory."""

    def __init__(self, file: IO[bytes], size: int, limits: "_Limits", skip_magic: bool = False) -> None:
        source = cast(IO[bytes], _WithinFile(file, size))
        super().__init__(
            source, skip_magic, emit_chunks=True, validate_crcs=True, record_size_limit=LARGEST_CHUNK_BYTES
        )
        self._limits = limits

    def _read_record(self, opcode: int, length: int) -> McapRecord | None:
        if opcode in _DESCRIPTIONS:
            self._limits.describe(length)
        return None if opcode in _INDEXES else super()._read_record(opcode, length)


class _WithinFile:
    """A file whose reads are limited to its size. For a damaged length, Python would allocate gigabytes first."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size

    def read(self, length: int) -> bytes:
        return self._file.read(min(length, max(0, self._size - self._file.tell())))


class _Limits:
    """The data that may still follow in a file of this size.

    Each method raises ValueError if there is more data than in a recording of the server.
    """

    def __init__(self, size: int) -> None:
        self._left_bytes = MOST_UNPACKED_BYTES + MOST_UNPACKED_TIMES * size
        self._left_descriptions, self._left_description_bytes = MOST_DESCRIPTIONS, MOST_DESCRIPTION_BYTES

    def unpack(self, chunk: Chunk) -> None:
        """Count a chunk that will be unpacked."""
        self._left_bytes -= _unpacked_bytes(chunk)
        if self._left_bytes < 0:
            most = f"{MOST_UNPACKED_BYTES} bytes and {MOST_UNPACKED_TIMES} times the file's size"
            raise ValueError(f"expected chunks that unpack to at most {most}, got more")

    def describe(self, size: int) -> None:
        """Count a schema, a channel or metadata of `size` bytes."""
        self._left_descriptions -= 1
        self._left_description_bytes -= size
        if min(self._left_descriptions, self._left_description_bytes) < 0:
            most = f"{MOST_DESCRIPTIONS} schemas, channels and metadata of {MOST_DESCRIPTION_BYTES} bytes together"
            raise ValueError(f"expected at most {most}, got more")


def _unpacked(chunk: Chunk, limits: _Limits) -> Chunk:
    """A chunk without its compression."""
    limits.unpack(chunk)
    stream, size = get_chunk_data_stream(chunk, validate_crc=True)
    return replace(chunk, compression="", data=stream.read(size), uncompressed_crc=0)


def _parts(unpacked: Chunk, limits: _Limits, first: int = 0) -> Iterator[tuple[int, McapRecord]]:
    """The records of a chunk from byte `first` of its content on, each with the byte at which it begins.

    They are generated one by one, because a list of many small records takes five times the memory of the content.
    """
    stream = ReadDataStream(io.BytesIO(unpacked.data))
    stream.read(first)
    while (begin := stream.count) < len(unpacked.data):
        opcode, length = stream.read1(), stream.read8()
        if opcode == Opcode.MESSAGE:
            yield begin, Message.read(stream, length)
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            limits.describe(length)
            # Read from its own bytes, because a length within it may exceed them and claim the rest of the chunk.
            content = ReadDataStream(io.BytesIO(stream.read(length)))
            yield begin, Schema.read(content) if opcode == Opcode.SCHEMA else Channel.read(content)
        else:
            stream.read(length)


def _unpacked_bytes(chunk: Chunk) -> int:
    """The size of a chunk's content, known before it is unpacked.

    Raises:
        ValueError: if the content is too large, or compressed in a way that the server does not use.
    """
    if chunk.compression not in ("", "zstd"):
        raise ValueError(f"expected chunks compressed with zstd, got {shorten(chunk.compression)}")
    size = zstandard.frame_content_size(chunk.data) if chunk.compression else len(chunk.data)
    size = max(size, chunk.uncompressed_size)
    if size > LARGEST_CHUNK_BYTES:
        raise ValueError(f"expected chunks of at most {LARGEST_CHUNK_BYTES} bytes, got one of {size}")
    return size
