"""Frames that are encoded once and sent by many QuadSims at 5 Hz: load for a server whose latency is measured."""

import contextlib
import http.client
import itertools
import math
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model.scoring import EXAM_FOLDER, FOLLOWING
from server.sight.geometry import QUADSIM_CAMERA
from server.wire.messages import FOLLOW, Pose
from tools.simulator.frames import encode_depth_png, encode_jpeg, sensor_frame_fields
from tools.simulator.packets import sensor_frame_message
from tools.simulator.recorded import (
    CAMERA_POSE,
    PlayedFrame,
    UnreadableImageError,
    image_files,
    mask_files,
    read_frames,
)
from tools.simulator.scene import View
from tools.simulator.server_process import ServerProcess
from tools.simulator.websocket import encode_message
from tools.simulator.wire import QuadSimClient
from tools.simulator.world import FRAMES_PER_S, World

FRAME_PERIOD_S = 1 / FRAMES_PER_S
FRAMES = 40


class EncodedFrame(NamedTuple):
    """Images of a frame that shows the hero, as QuadSim encodes them, and the camera's pose."""

    jpeg: bytes
    depth_png: bytes
    pose: Pose = CAMERA_POSE

    def fields(self, timestamp_s: float) -> dict[str, str]:
        """The argument of the `sensor_frame` event for this frame."""
        return sensor_frame_fields(self.jpeg, self.depth_png, self.pose, timestamp_s=timestamp_s)


def encoded_frames(data: Path | None) -> list[EncodedFrame]:
    """Encode frames of a near hero.

    Args:
        data: dataset whose images are used, every fourth, with synthetic depth: the hero jumps from frame to frame.
            None for a simulated flight behind the hero.
    """
    frames: Sequence[PlayedFrame | UnreadableImageError]
    if data is not None:
        files = image_files(data / EXAM_FOLDER / FOLLOWING)
        frames = list(read_frames(files[: FRAMES * 4 : 4], mask_files(files)))
    else:
        frames = simulated_frames()
    rng = np.random.default_rng(0)
    encoded = []
    for frame in frames:
        if isinstance(frame, UnreadableImageError):
            raise frame
        jpeg = frame.image if isinstance(frame.image, bytes) else encode_jpeg(frame.image)
        assert frame.depth_m is not None, "both give all frames depth"
        # Real depth images are not as smooth as flat ground. Noise of half a metre makes the files as large as theirs.
        rough_m = frame.depth_m + np.where(np.isfinite(frame.depth_m), rng.normal(0, 0.5, frame.depth_m.shape), 0)
        depth_png = encode_depth_png(np.maximum(rough_m, 0.1), QUADSIM_CAMERA.far_m)
        encoded.append(EncodedFrame(jpeg, depth_png, frame.gimbal_pose))
    return encoded


def simulated_frames() -> list[PlayedFrame]:
    """Render a flight behind the hero: `FRAMES` frames, and back again to the first."""
    frames = [
        PlayedFrame(f"simulated {number}", view.rgb, view.depth_m, pose)
        for number, (pose, view, _) in enumerate(flight_behind_hero())
    ]
    return frames + frames[-2:0:-1]


def flight_behind_hero(sides_deg: Sequence[float] = (0.0,)) -> Iterator[tuple[Pose, View, np.ndarray]]:
    """Render `FRAMES` frames of a flight 2 m behind the hero, 3 m above the ground.

    Args:
        sides_deg: angles of the camera to the left of the hero's heading, used in turn.

    Yields:
        The camera's pose, what it sees, and (2,) the hero's place, horizontal, metres, world frame.
    """
    with World(seed=0) as world:
        for side_deg in itertools.islice(itertools.cycle(sides_deg), FRAMES):
            world.step(FRAME_PERIOD_S)
            hero = world.walkers.people[0]
            heading_rad = math.radians(hero.heading_deg)
            x_m, y_m = hero.x_m - 2 * math.cos(heading_rad), hero.y_m - 2 * math.sin(heading_rad)
            pose = Pose(x_m, y_m, 3.0, 0.0, 45.0, hero.heading_deg + side_deg)
            yield pose, world.observe(pose).view, np.array([hero.x_m, hero.y_m])


def encode_flight(frames: Sequence[EncodedFrame], seconds: float) -> list[bytes]:
    """Encode the messages of a flight as masked websocket fragments, so that sending them costs almost no CPU time."""
    start_s = time.time()
    return [
        encode_message(sensor_frame_message(frames[number % len(frames)].fields(start_s + number * FRAME_PERIOD_S)))
        for number in range(round(seconds / FRAME_PERIOD_S))
    ]


def mean_message_kb(frames: Sequence[EncodedFrame]) -> float:
    """Mean size of a frame's message, kB."""
    return statistics.mean(len(sensor_frame_message(frame.fields(0.0))) for frame in frames) / 1e3


def fly_side_by_side(server: ServerProcess, messages: Sequence[bytes], drones: int) -> tuple[list[float], list[float]]:
    """Let drones send messages at 5 Hz each, at evenly spread times.

    Returns:
        Time from each frame to the command that answers it, and from each ping to its pong, ms, of all drones.
    """
    sent_s: list[list[float]] = [[] for _ in range(drones)]
    clients = [QuadSimClient(port=server.port) for _ in range(drones)]

    def pilot(number: int) -> None:
        due_s = start_s + FRAME_PERIOD_S * number / drones
        for message in messages:
            time.sleep(max(0.0, due_s - time.monotonic()))
            sent_s[number].append(clients[number].send_raw_bytes(message))
            due_s += FRAME_PERIOD_S

    for client in clients:
        client.connect()
    start_s = time.monotonic() + 0.1
    pilots = [threading.Thread(target=pilot, args=(number,)) for number in range(drones)]
    for thread in pilots:
        thread.start()
    for thread in pilots:
        thread.join()
    time.sleep(2 * FRAME_PERIOD_S)
    for client in clients:
        client.close()
    latencies_ms = [
        1e3 * delay_s
        for number, client in enumerate(clients)
        for delay_s in answer_delays_s(
            sent_s[number], [event.arrived_s for event in client.events if event.name == FOLLOW]
        )
    ]
    return latencies_ms, [1e3 * trip_s for client in clients for trip_s in client.round_trips_s]


def answer_delays_s(sent_s: Sequence[float], answered_s: Sequence[float]) -> list[float]:
    """Time from each frame to the first answer after it, of frames with an answer before the next frame.

    Args:
        sent_s: times of the frames, ascending.
        answered_s: times of the answers, ascending.
    """
    ends_s = [*sent_s[1:], float("inf")]
    delays_s, answers = [], iter(answered_s)
    answer_s = next(answers, None)
    for begin_s, end_s in zip(sent_s, ends_s, strict=True):
        while answer_s is not None and answer_s < begin_s:
            answer_s = next(answers, None)
        if answer_s is not None and answer_s < end_s:
            delays_s.append(answer_s - begin_s)
    return delays_s


@contextlib.contextmanager
def page_viewer(server: ServerProcess) -> Iterator[None]:
    """Read the page's stream of events until the block ends, as a browser does."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/events")
    stream = connection.getresponse()
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set() and stream.readline():
            pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        is_over.set()  # the reader ends with the next event, within a second
        reader.join()
        connection.close()
