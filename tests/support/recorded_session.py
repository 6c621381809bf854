"""Recordings for tests: made by the real server, of real frames through QuadSim's dialect, and then altered."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import requests
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer

from tools.simulator.frames import format_timestamp, sensor_frame_fields
from tools.simulator.recorded import PlayedFrame, image_files, mask_files, read_frames
from tools.simulator.server_process import REPOSITORY, running_server
from tools.simulator.wire import QuadSimClient, ReceivedEvent

FCN4, SHIPPED = REPOSITORY / "weights" / "fcn4", REPOSITORY / "weights" / "model_weights"


def real_frames(data_dir: Path, name: str, count: int) -> list[PlayedFrame]:
    """The first frames of an evaluation set, with the depth of flat ground and people on it."""
    files = image_files(data_dir / "sample_evaluation_data" / name)[:count]
    return list(read_frames(files, mask_files(files)))


def send(client: QuadSimClient, frames: Sequence[PlayedFrame], period_s: float = 0.05) -> list[dict[str, Any]]:
    """Send frames at a steady rate; returns what was sent."""
    sent = [sensor_frame_fields(frame.image, frame.depth_m, frame.gimbal_pose) for frame in frames]
    begin_s = time.time()
    for number, fields in enumerate(sent):
        fields["timestamp"] = format_timestamp(begin_s + number * period_s)
        client.send_frame(fields)
        time.sleep(period_s)
    return sent


def record_everything(folder: Path, data_dir: Path) -> tuple[Path, list[dict[str, Any]], tuple[ReceivedEvent, ...]]:
    """Record a session in which all happens that can: found, lost, held, broken, silent, too fast, overtaken, shut
    down.

    Returns:
        The file, the frames' fields as sent, and what the client was told.
    """
    near, empty = real_frames(data_dir, "following_images", 60), real_frames(data_dir, "patrol_non_targ", 34)
    with running_server(FCN4, "--record", str(folder)) as server, QuadSimClient(port=server.port) as client:
        sent = send(client, near[:15])
        for field, value in (("gimbal_pose", "nowhere"), ("rgb_image", "bm8gaW1hZ2U=")):
            broken = {**sent[-1], field: value}
            client.send_frame(broken)
            time.sleep(0.3)  # so that none takes its place
            sent += [broken, *send(client, near[15:20])]
        time.sleep(1.3)  # longer than the watchdog waits
        sent += send(client, near[20:30])
        (simulator,) = (session["name"] for session in server.health()[1]["sessions"])
        hold = {"simulator": simulator, "is_held": True}
        assert requests.post(f"{server.url}/hold", json=hold, timeout=5).ok
        sent += send(client, near[30:35])
        assert requests.post(f"{server.url}/hold", json={**hold, "is_held": False}, timeout=5).ok
        sent += send(client, near[35:45])
        sent += send(client, empty)
        sent += send(client, near[45:60], period_s=0.001)  # some come while others wait
        broken = {**sent[-1], "pose": "nowhere"}
        client.send_frame(broken)  # answered at once, while older frames are in perception
        time.sleep(0.3)
        sent.append(broken)
        sent += send(client, near[:3])
        server.stop()
        client.wait_closed()
        told = client.events
    (file,) = folder.glob("*.mcap")
    return file, sent, told


def rewritten(file: Path, change: Callable[[int, dict[str, Any]], dict[str, Any] | None]) -> Path:
    """A copy of a recording beside it, with other events.

    Args:
        file: the recording.
        change: from an event's number and itself to what stands for it; None for nothing.
    """
    copy = file.with_name(f"{file.stem}_rewritten.mcap")
    with file.open("rb") as source, copy.open("wb") as target:
        writer = Writer(target, compression=CompressionType.NONE)
        writer.start()
        channels: dict[int, int] = {}
        number = 0
        for schema, channel, message in make_reader(source).iter_messages(log_time_order=False):
            assert schema is not None
            if channel.id not in channels:
                schema_id = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(channel.topic, channel.message_encoding, schema_id)
            data = message.data
            if channel.topic == "/events":
                event = change(number, json.loads(data))
                number += 1
                if event is None:
                    continue
                data = json.dumps(event).encode()
            writer.add_message(channels[channel.id], message.log_time, data, message.publish_time)
        writer.finish()
    return copy
