"""Reads recordings: the events of a session with its commands, the network's masks, and the situations.

    FILE.mcap ─▶ records.py ─▶ (upgrade.py) ─▶ format.py, states.py ─▶ film.py, tools/

A recording that was cut off, for example by a kill or a full disk, is read up to there. A file may come from anybody,
so each message is checked.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import msgspec
from google.protobuf.message import DecodeError
from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
from mcap_protobuf.decoder import DecoderFactory

from model.bars import BYTES, counting_bar
from server.watch.recording import states, upgrade
from server.watch.recording.format import (
    EVENTS_TOPIC,
    FORMAT,
    MASK_TOPIC,
    STATE_TOPIC,
    End,
    Happened,
    InWork,
    Start,
    message_of,
    parse,
    start_of,
)
from server.watch.recording.items import Answered
from server.watch.recording.records import Place, PlacedRecords, UnreadableRecordingError, read_placed_records
from server.watch.recording.upgrade import Upgrade
from server.wire.messages import shorten

# A client sends messages of at most 1 MB, which JSON makes at most four times as long (`é` becomes `\\u00e9`).
LARGEST_MESSAGE_BYTES = 8_000_000
# A frame has four entries, so this is forty hours at five frames a second, and more than 20 GB.
MOST_ENTRIES = 3_000_000

Value = TypeVar("Value")


class Mask(NamedTuple):
    """The network's classes in the frame of the `Seen` right before it: a PNG file in the dataset's colours."""

    png: bytes


Entry = InWork | Happened | Mask | Answered


class Recording:
    """A recording that is read entry by entry; a context manager.

    Args:
        path: the file.
        with_states: whether to read the situation after each answer, too, as `Answered`.

    Attributes:
        path: as given.
        start: its first message.
        place: place of the latest entry read, for `argument_at` and `entry_at`.
        end_reason: why the recording ended, once it has been read; None for a recording that was cut off.

    Raises:
        OSError: if the file cannot be read.
        UnreadableRecordingError: if it is no recording, or this version of the program cannot read it.
    """

    def __init__(self, path: Path, with_states: bool = False) -> None:
        self.path = path
        self._topics = {EVENTS_TOPIC, MASK_TOPIC, *([STATE_TOPIC] if with_states else [])}
        self.place = Place(0)
        self.end_reason: str | None = None
        self._upgrade: Upgrade | None = None
        if path.is_dir():
            raise UnreadableRecordingError(f"{path}: expected a recording (*.mcap), got a folder")
        self._file: IO[bytes] = path.open("rb")
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._decoders = DecoderFactory()
        try:
            self._size = path.stat().st_size
            self._records = PlacedRecords(self._file, path, self._size)
            self._messages = self._read_messages()
            _, channel, message = next(self._messages, (None, None, None))
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
        """The entries after the start, in order, with a progress bar; may be called once.

        Args:
            description: text of the progress bar.

        Raises:
            UnreadableRecordingError: if a message is not as expected, there are too many, or the file is damaged.
        """
        with counting_bar(self._size, desc=description, **BYTES) as progress:
            for entry in self._read_entries():
                progress.update(self._file.tell() - progress.n)
                yield entry
            progress.update(self._size - progress.n)

    def argument_at(self, place: Place) -> str:
        """The argument of the frame whose `Received` or `InWork` is at a place, JSON text.

        Raises:
            UnreadableRecordingError: if the file has been changed since it was read.
        """
        _, message = self._message_at(place)
        return self._understood(lambda data: msgspec.convert(parse(data)["argument"], str), message.data)

    def entry_at(self, place: Place) -> Mask | Answered:
        """The mask or the situation at a place.

        Raises:
            UnreadableRecordingError: if the file has been changed since it was read.
        """
        return self._of_other_topic(*self._message_at(place))

    def _read_entries(self) -> Iterator[Entry]:
        for number, (place, channel, message) in enumerate(self._messages):
            if number == MOST_ENTRIES:
                raise UnreadableRecordingError(f"{self.path}: expected at most {MOST_ENTRIES:,} entries, got more")
            self.place = place
            if channel.topic != EVENTS_TOPIC:
                yield self._of_other_topic(channel, message)
                continue
            entry = self._understood(self._message, message.data)
            if isinstance(entry, End):
                self.end_reason = entry.reason
            else:
                yield entry

    def _of_other_topic(self, channel: Channel, message: Message) -> Mask | Answered:
        if channel.topic == MASK_TOPIC:
            return self._understood(partial(self._mask, channel), message.data)
        now_s = self.start.monotonic_s + (message.log_time - round(1e9 * self.start.started_s)) / 1e9
        return self._understood(partial(states.from_json, now_s=now_s), message.data)

    def _message_at(self, place: Place) -> tuple[Channel, Message]:
        record = self._records.at(place)
        if not isinstance(record, Message) or record.channel_id not in self._channels:
            raise UnreadableRecordingError(
                f"{self.path}: expected it unchanged at byte {place.byte}, got other records"
            )
        return self._channels[record.channel_id], record

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

    def _read_messages(self) -> Iterator[tuple[Place, Channel, Message]]:
        """Place, channel and message of the topics that are read here, in the file's order."""
        for place, record in read_placed_records(self._file, self.path, self._size):
            if isinstance(record, Schema):
                self._schemas[record.id] = record
            elif isinstance(record, Channel) and record.topic in self._topics:
                self._channels[record.id] = record
            elif isinstance(record, Message) and record.channel_id in self._channels:
                yield place, self._channels[record.channel_id], record
