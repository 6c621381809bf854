"""A QuadSim client in front of a real server: frames to send, and what to wait for."""

import contextlib

import numpy as np

from server.sight.geometry import Pose
from support.fake_engine import GREY, RED
from tools.simulator.frames import sensor_frame_fields
from tools.simulator.wire import QuadSimClient

POSE = Pose(10.0, 20.0, 8.0, 0.0, 20.0, 30.0)


DEPTH_M = 12.0


BOX = (118, 100, 138, 160)  # left, top, right, bottom: where the hero stands in the image


def picture(colour=RED, background=GREY) -> np.ndarray:
    image = np.full((256, 256, 3), background, np.uint8)
    left, top, right, bottom = BOX
    image[top:bottom, left:right] = colour
    return image


def fields(image=None, timestamp_s=None, **changes) -> dict[str, str]:
    depth_m = np.full((256, 256), DEPTH_M)
    made = sensor_frame_fields(picture() if image is None else image, depth_m, POSE, timestamp_s=timestamp_s)
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def follow(client: QuadSimClient, **options) -> list[float]:
    """Show the hero until the server leads the simulator there; return the point."""
    for _ in range(20):
        sent_s = client.send_frame(fields(**options))
        with contextlib.suppress(TimeoutError):
            return client.wait_for("object_detected", since_s=sent_s, timeout_s=0.25).argument["coords"]
    raise AssertionError(f"expected object_detected within 20 frames, got {client.events[-5:]}")
