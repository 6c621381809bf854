"""Recordings read back: the events of a session with its commands, and the masks that the network saw.

    FILE.mcap ─▶ chunks and messages ─▶ (upgrade.py) ─▶ format.py ─▶ tools/replay.py, tools/export_dataset.py

A recording that was cut off, as by a kill or a full disk, is read as far as it goes. A file may come from anybody: it
is believed to be a recording only message by message, and large parts of it are refused before they are unpacked.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar, cast

import zstandard
from google.protobuf.message import DecodeError
from mcap.exceptions import EndOfFile, McapError, RecordLengthLimitExceeded
from mcap.records import Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap_protobuf.decoder import DecoderFactory
from tqdm import tqdm

from server.watch.recording import upgrade
from server.watch.recording.format import (
    EVENTS_TOPIC,
    FORMAT,
    MASK_TOPIC,
    End,
    Happened,
    InWork,
    Start,
    message_of,
    parse,
    start_of,
)
from server.watch.recording.upgrade import Upgrade
from server.wire.messages import shorten

# The server writes twice a second, and a client sends messages of at most 1 MB, which JSON may make several times as
# long.
LARGEST_CHUNK_BYTES, LARGEST_MESSAGE_BYTES = 500_000_000, 20_000_000
# All chunks of a file together may unpack to this, and to so many times the file's size. A client that sends the same
# frame again and again, 200 times a second, is recorded at 100 times.
MOST_UNPACKED_BYTES, MOST_UNPACKED_TIMES = 100_000_000, 500

Value = TypeVar("Value")


class UnreadableRecordingError(ValueError):
    """A file that is no recording of the server, or a damaged one: its name, what was expected, what was received."""


class Mask(NamedTuple):
    """What the network saw in the frame of the `Seen` right before it: a PNG file in the dataset's colours."""

    png: bytes


Entry = InWork | Happened | Mask


class Recording:
    """A recording being read, one entry after the other; a context manager.

    Args:
        path: the file.

    Attributes:
        path: as given.
        start: its first message.
        end_reason: why it ended, in words, once it has been read; None for one that was cut off.

    Raises:
        OSError: if the file cannot be read.
        UnreadableRecordingError: if it is no recording, or one that this version of the program cannot read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end_reason: str | None = None
        self._upgrade: Upgrade | None = None
        self._file: IO[bytes] = path.open("rb")
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._decoders = DecoderFactory()
        try:
            self._size = path.stat().st_size
            self._messages = self._read_messages()
            channel, message = next(self._messages, (None, None))
            if channel is None or message is None or channel.topic != EVENTS_TOPIC:
                topic = "nothing" if channel is None else channel.topic
                raise UnreadableRecordingError(
                    f"{path}: expected a recording of this server, which begins on {EVENTS_TOPIC}, got {topic}"
                )
            self.start = self._understood(self._start, message.data)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def entries(self, description: str) -> Iterator[Entry]:
        """What follows the start, in the order in which it happened, with a progress bar; to be read once.

        Args:
            description: what is being done, for the progress bar.

        Raises:
            UnreadableRecordingError: where a message is not as expected, or the file is damaged.
        """
        with tqdm(total=self._size, desc=description, unit="B", unit_scale=True, unit_divisor=1024) as progress:
            for entry in self._read_entries():
                progress.update(self._file.tell() - progress.n)
                yield entry
            progress.update(self._size - progress.n)

    def _read_entries(self) -> Iterator[Entry]:
        for channel, message in self._messages:
            if channel.topic == MASK_TOPIC:
                yield self._understood(partial(self._mask, channel), message.data)
                continue
            entry = self._understood(self._message, message.data)
            if isinstance(entry, End):
                self.end_reason = entry.reason
            else:
                yield entry

    def _start(self, data: bytes) -> Start:
        fields: dict[str, Any] = parse(data)
        if fields["kind"] != "start":
            raise ValueError(f"expected a message of the kind start, got {shorten(fields['kind'])}")
        if fields["format"] in upgrade.FORMATS:
            self._upgrade = Upgrade(fields["format"])
            fields = self._upgrade.start(fields)
        elif fields["format"] != FORMAT:
            raise ValueError(
                f"expected a recording of format {upgrade.FORMATS[0]} to {FORMAT}, "
                f"got format {shorten(fields['format'])}: it was made by another version of this program"
            )
        return start_of(fields)

    def _message(self, data: bytes) -> InWork | Happened | End:
        fields = parse(data)
        return message_of(fields if self._upgrade is None else self._upgrade.message(fields))

    def _mask(self, channel: Channel, data: bytes) -> Mask:
        decode = self._decoders.decoder_for(channel.message_encoding, self._schemas.get(channel.schema_id))
        if decode is None:
            raise ValueError(f"expected a mask in protobuf, got {channel.message_encoding}")
        return Mask(decode(data).data)

    def _understood(self, parse: Callable[[bytes], Value], data: bytes) -> Value:
        try:
            if len(data) > LARGEST_MESSAGE_BYTES:
                raise ValueError(f"expected a message of at most {LARGEST_MESSAGE_BYTES} bytes, got {len(data)}")
            return parse(data)
        except (KeyError, TypeError, ValueError, RecursionError, AttributeError, DecodeError, McapError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise UnreadableRecordingError(f"{self.path}: cannot understand {shorten(data)}: {what}") from error

    def _read_messages(self) -> Iterator[tuple[Channel, Message]]:
        """Channel and message, of those topics that are read here, in the file's order."""
        for record in self._read_records():
            if isinstance(record, Schema):
                self._schemas[record.id] = record
            elif isinstance(record, Channel) and record.topic in (EVENTS_TOPIC, MASK_TOPIC):
                self._channels[record.id] = record
            elif isinstance(record, Message) and record.channel_id in self._channels:
                yield self._channels[record.channel_id], record

    def _read_records(self) -> Iterator[McapRecord]:
        source = cast(IO[bytes], _WithinFile(self._file, self._size))
        reader = StreamReader(source, emit_chunks=True, validate_crcs=True, record_size_limit=self._size)
        left_bytes = MOST_UNPACKED_BYTES + MOST_UNPACKED_TIMES * self._size
        try:
            for record in reader.records:
                if isinstance(record, Chunk):
                    left_bytes -= _unpacked_bytes(record)
                    if left_bytes < 0:
                        most = f"{MOST_UNPACKED_BYTES} bytes and {MOST_UNPACKED_TIMES} times the file's size"
                        raise ValueError(f"expected chunks that unpack to at most {most}, got more")
                    yield from breakup_chunk(record, validate_crc=True)
                else:
                    yield record
        except (EndOfFile, RecordLengthLimitExceeded):  # the file ends within a record
            return
        except Exception as error:  # the reader and its decompressors raise nearly anything on broken bytes
            if self._file.tell() < self._size:
                raise UnreadableRecordingError(
                    f"{self.path}: expected a whole MCAP file, got damage before byte {self._file.tell()}: {error}"
                ) from error


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
