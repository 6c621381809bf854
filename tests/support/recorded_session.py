"""Recordings for tests: made by the real server, read back, and altered."""

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import requests
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer

from server.flight.tracks import TrackState
from server.watch.recording.format import Happened
from server.watch.recording.reader import Entry, Recording
from server.watch.recording.restore import restored
from server.wire.messages import Command
from support.live import WATCHDOG
from support.waiting import PATIENCE_S
from tools.simulator.frames import format_timestamp, sensor_frame_fields
from tools.simulator.inbox import ReceivedEvent
from tools.simulator.recorded import PlayedFrame, image_files, mask_files, read_frames
from tools.simulator.server_process import REPOSITORY, ServerProcess, running_server
from tools.simulator.wire import QuadSimClient

FCN4, SHIPPED = REPOSITORY / "weights" / "fcn4", REPOSITORY / "weights" / "model_weights"
# Made by older versions of the program; tests/data/README.md says how.
FORMAT_1, FORMAT_2, FORMAT_3, FORMAT_4, FORMAT_5, FORMAT_6, FORMAT_7 = (
    REPOSITORY / "tests" / "data" / f"format{number}.mcap" for number in (1, 2, 3, 4, 5, 6, 7)
)
FORMAT_3_MIDDLE = FORMAT_3.with_name("format3_middle.mcap")  # begins in the middle of a session
SCHEMAS = {
    "/events": "followme.Event",
    "/camera": "foxglove.CompressedImage",
    "/camera/calibration": "foxglove.CameraCalibration",
    "/mask": "foxglove.CompressedImage",
    "/tf": "foxglove.FrameTransforms",
    "/target": "foxglove.SceneUpdate",
    "/state": "followme.State",
    "/commands": "followme.Command",
    "/log": "foxglove.Log",
}
"""Of each topic."""
COMMANDS = ("object_detected", "object_lost", "create_box_marker")


def real_frames(data_dir: Path, name: str, count: int) -> list[PlayedFrame]:
    """The first frames of an evaluation set, with the depth of flat ground and people on it."""
    files = image_files(data_dir / "sample_evaluation_data" / name)[:count]
    return list(read_frames(files, mask_files(files)))


class Sender:
    """Sends frames in lock-step, each once the one before is answered, with timestamps 0.1 s apart.

    Attributes:
        sent: the fields of each frame so far.
    """

    def __init__(self, client: QuadSimClient) -> None:
        self._client = client
        self.sent: list[dict[str, Any]] = []

    def send(self, fields: dict[str, Any]) -> None:
        """Send a frame and wait until it is answered."""
        number = len(self.sent) + 1
        self.sent.append({**fields, "timestamp": format_timestamp(1.7e9 + 0.1 * number)})
        self._client.send_frame(self.sent[-1], number)
        self._client.wait_answered(number, PATIENCE_S)

    def play(self, frames: Iterable[PlayedFrame]) -> None:
        """Send recorded frames."""
        for frame in frames:
            self.send(sensor_frame_fields(frame.image, frame.depth_m, frame.gimbal_pose))


def order(server: ServerProcess, path: str, **wish: Any) -> None:
    """Press a button of the page for the only simulator."""
    (simulator,) = (session["name"] for session in server.health()[1]["sessions"])
    response = requests.post(f"{server.url}{path}", json={"simulator": simulator, **wish}, timeout=PATIENCE_S)
    assert response.status_code == 204, response.text


def record_everything(folder: Path, data_dir: Path) -> tuple[Path, list[dict[str, Any]], tuple[ReceivedEvent, ...]]:
    """Record a session of the real server on the shipped network: the hero found among others, lost and found, held,
    bad frames, silence, the server's end.

    Returns:
        The file, the frames' fields as sent, and what the client was told.
    """
    near, empty = real_frames(data_dir, "following_images", 36), real_frames(data_dir, "patrol_non_targ", 34)
    options = (*WATCHDOG, "--record", str(folder))
    with running_server(SHIPPED, *options) as server, QuadSimClient(port=server.port) as client:
        sender = Sender(client)
        sender.play(near[:10])
        for field, value in (("gimbal_pose", "nowhere"), ("rgb_image", "bm8gaW1hZ2U=")):
            sender.send({**sender.sent[-1], field: value})
            sender.play(near[10:12])
        # No frames come: the watchdog stops the drone.
        client.wait_for("object_lost", since_s=client.events[-1].arrived_s, timeout_s=PATIENCE_S)
        sender.play(near[12:20])
        order(server, "/hold", is_held=True)
        sender.play(near[20:23])
        order(server, "/hold", is_held=False)
        sender.play(near[23:30])
        sender.play(empty)
        sender.play(near[30:])
        server.stop()
        assert client.wait_closed(PATIENCE_S)
        events = client.events
    (file,) = folder.glob("*.mcap")
    return file, sender.sent, events


def read(file: Path) -> tuple[Recording, list[Entry]]:
    """A recording that has been read, and all its entries."""
    with Recording(file) as recording:
        entries = list(recording.entries("reading"))
    return recording, entries


def happened(file: Path) -> list[Happened]:
    """All events of a recording, with their outcomes."""
    return [entry for entry in read(file)[1] if isinstance(entry, Happened)]


Outcome = tuple[str, TrackState, list[Command]]


def retaken(file: Path) -> tuple[list[Outcome], list[Outcome]]:
    """The outcome of each event in the recording, and its outcome when a session takes the same events again."""
    recording, entries = read(file)
    session = restored(recording.start)
    recorded, given = [], []
    for entry in entries:
        if isinstance(entry, Happened):
            kind = type(entry.event).__name__
            recorded.append((kind, entry.state, entry.commands))
            commands = session.take(entry.event)
            given.append((kind, session.state.tracker.state, commands))
    return recorded, given


def rewritten(file: Path, folder: Path, change: Callable[[int, dict[str, Any]], dict[str, Any] | None]) -> Path:
    """A copy of a recording with other events.

    Args:
        file: the recording.
        folder: where to write the copy, under the same name.
        change: takes an event's number and its fields, and returns the new fields; None removes the event.
    """
    copy = folder / file.name
    with file.open("rb") as source, copy.open("wb") as target:
        writer = Writer(target, compression=CompressionType.NONE)
        writer.start()
        channels: dict[int, int] = {}
        numbers = itertools.count()
        for schema, channel, message in make_reader(source).iter_messages(log_time_order=False):
            assert schema is not None
            if channel.id not in channels:
                schema_id = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(channel.topic, channel.message_encoding, schema_id)
            data = message.data
            if channel.topic == "/events":
                event = change(next(numbers), json.loads(data))
                if event is None:
                    continue
                data = json.dumps(event).encode()
            writer.add_message(channels[channel.id], message.log_time, data, message.publish_time)
        writer.finish()
    return copy
