"""Recordings read back: the events of a session with its commands, and the masks that the network saw.

    FILE.mcap ─▶ records.py ─▶ (upgrade.py) ─▶ format.py ─▶ tools/replay.py, tools/export_dataset.py

A recording that was cut off, as by a kill or a full disk, is read as far as it goes. A file may come from anybody: it
is believed to be a recording only message by message.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from google.protobuf.message import DecodeError
from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
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
from server.watch.recording.records import UnreadableRecordingError, read_records
from server.watch.recording.upgrade import Upgrade
from server.wire.messages import shorten

# A client sends messages of at most 1 MB, which JSON may make several times as long.
LARGEST_MESSAGE_BYTES = 20_000_000

Value = TypeVar("Value")


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
        for record in read_records(self._file, self.path, self._size):
            if isinstance(record, Schema):
                self._schemas[record.id] = record
            elif isinstance(record, Channel) and record.topic in (EVENTS_TOPIC, MASK_TOPIC):
                self._channels[record.id] = record
            elif isinstance(record, Message) and record.channel_id in self._channels:
                yield self._channels[record.channel_id], record
