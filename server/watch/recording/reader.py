"""Recordings of the server, read back: what came into a session, what it made of it, and the masks that it saw.

    server/recording/ ─▶ FILE.mcap ─▶ here ─▶ replay.py, export_dataset.py

A recording that was cut off, as by kill −9 or a full disk, is read as far as it goes.
"""

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from google.protobuf.message import DecodeError
from mcap.exceptions import EndOfFile, McapError, RecordLengthLimitExceeded
from mcap.records import Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap_protobuf.decoder import DecoderFactory
from tqdm import tqdm

from server.flight.tracks import TrackState
from server.settings import TrackerConfig
from server.sight.geometry import Camera
from server.watch.recording.items import EVENTS_TOPIC, FORMAT, MASK_TOPIC
from server.wire.messages import Command, SensorFrame, parse_sensor_frame, shorten

Value = TypeVar("Value")


class UnreadableRecordingError(ValueError):
    """A file that is no recording of the server, or a damaged one; names it, what was expected and what came."""


class Start(NamedTuple):
    """What a recording begins with: whose it is, and all that its session was made of.

    `weights` is as the user named them to the server, None for a network that was made otherwise, and `engine`
    describes what ran them. `min_blob_px` is the one in use. `snapshot` is the session's state for
    `snapshot.thaw`, None where the recording begins with the session. `monotonic_s` is the time of the
    beginning, on the clock of all other times in the recording.
    """

    session: str
    camera: Camera
    tracker: TrackerConfig
    watchdog_s: float
    min_blob_px: int
    weights: str | None
    weights_sha256: str | None
    engine: str
    monotonic_s: float
    snapshot: dict[str, Any] | None


class Arrival(NamedTuple):
    """A frame that came (monotonic seconds).

    `is_superseding`: whether an older one was dropped for it; None for a frame that could not be parsed, or that was in
    perception already when the recording began. `argument` is the JSON of its event's argument; of a frame that could
    not be parsed, it may be the beginning of that as a string, which can't be parsed either.
    """

    arrival_s: float
    is_superseding: bool | None
    argument: str

    def parse(self) -> SensorFrame:
        """The frame, as the server parses it.

        Raises:
            BadFrameError: where the server would.
        """
        return parse_sensor_frame(json.loads(self.argument))


class Sighted(NamedTuple):
    """What was taken for the hero: see `server.sight.people.Target`; `position_m` as (x, y, z)."""

    confidence: float
    is_convincing: bool
    position_m: tuple[float, ...] | None


class Answer(NamedTuple):
    """Something that happened to the session, and what came of it.

    Args:
        kind: "seen", "bad" and "failed" answer the frame of `arrival_s`; "tick", "hold", "release" and "shutdown".
        arrival_s: of the frame, monotonic seconds; None for what answers none.
        now_s: monotonic seconds.
        sighted: in the frame, the largest first.
        state: the tracker's, afterwards.
        commands: that the session gave.
    """

    kind: str
    arrival_s: float | None
    now_s: float
    sighted: list[Sighted]
    state: TrackState
    commands: list[Command]

    @property
    def is_following(self) -> bool:
        """Whether the tracker follows, afterwards; the drone does so, too, unless held."""
        return self.state.is_following


class Mask(NamedTuple):
    """What the network made of the frame that was answered right before: a PNG file in the dataset's colours."""

    png: bytes


Entry = Arrival | Answer | Mask

_OF_FRAMES = ("seen", "bad", "failed")
_OF_OTHERS = ("tick", "hold", "release", "shutdown")


class Recording:
    """A recording being read, one entry after the other; a context manager.

    Args:
        path: the file.

    Attributes:
        start: what it begins with.
        end_reason: why it ended, in words, once it has been read; None for one that was cut off.

    Raises:
        OSError: if the file can't be read.
        UnreadableRecordingError: if it is no recording.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end_reason: str | None = None
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
            self.start = self._understood(_start, message.data)
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
            UnreadableRecordingError: where something else follows, or the file is damaged.
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
            entry = self._understood(_entry, message.data)
            if isinstance(entry, str):
                self.end_reason = entry
            else:
                yield entry

    def _mask(self, channel: Channel, data: bytes) -> Mask:
        decode = self._decoders.decoder_for(channel.message_encoding, self._schemas.get(channel.schema_id))
        if decode is None:
            raise ValueError(f"expected a mask in protobuf, got {channel.message_encoding}")
        return Mask(decode(data).data)

    def _understood(self, parse: Callable[[bytes], Value], data: bytes) -> Value:
        try:
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
        reader = StreamReader(self._file, emit_chunks=True, validate_crcs=True, record_size_limit=self._size)
        try:
            for record in reader.records:
                if isinstance(record, Chunk):
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


def _start(data: bytes) -> Start:
    fields = _object(data)
    if fields["kind"] != "start" or fields["format"] != FORMAT:
        raise ValueError(f"expected a start of format {FORMAT}")
    return Start(
        session=_text(fields["session"]),
        camera=Camera(**fields["camera"]),
        tracker=TrackerConfig(**fields["tracker"]),
        watchdog_s=_number(fields["watchdog_s"]),
        min_blob_px=int(_number(fields["min_blob_px"])),
        weights=_text_or_none(fields["weights"]),
        weights_sha256=_text_or_none(fields["weights_sha256"]),
        engine=_text(fields["engine"]),
        monotonic_s=_number(fields["monotonic_s"]),
        snapshot=fields["snapshot"],
    )


def _entry(data: bytes) -> Arrival | Answer | str:
    """What happened; of the end its reason."""
    fields = _object(data)
    kind = fields["kind"]
    if kind == "frame":
        return Arrival(_number(fields["arrival_s"]), fields["is_superseding"], _text(fields["argument"]))
    if kind == "end":
        return _text(fields["reason"])
    if kind not in _OF_FRAMES + _OF_OTHERS:
        raise ValueError(f"expected an event of a known kind, got {shorten(kind)}")
    return Answer(
        kind,
        arrival_s=_number(fields["arrival_s"]) if kind in _OF_FRAMES else None,
        now_s=_number(fields["now_s"]),
        sighted=[_sighted(target) for target in fields["targets"]] if kind == "seen" else [],
        state=TrackState(fields["state"]),
        commands=[Command(_text(event), dict(payload)) for event, payload in fields["commands"]],
    )


def _sighted(fields: dict[str, Any]) -> Sighted:
    position_m = fields["position_m"]
    return Sighted(
        _number(fields["confidence"]),
        bool(fields["is_convincing"]),
        None if position_m is None else tuple(map(_number, position_m)),
    )


def _object(data: bytes) -> dict[str, Any]:
    fields = json.loads(data)
    if not isinstance(fields, dict):
        raise ValueError("expected a JSON object")
    return fields


def _number(value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {shorten(value)}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {shorten(value)}")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)
