"""A QuadSim client in front of a real server: frames to send, and what to wait for."""

import itertools

import numpy as np

from server.wire.messages import Pose
from support.fake_engine import GREY, RED
from tools.simulator.frames import sensor_frame_fields
from tools.simulator.inbox import ReceivedEvent
from tools.simulator.wire import QuadSimClient

_numbers = itertools.count(1)

# The server's option, because a busy machine may take seconds for a frame.
WATCHDOG = ("--watchdog-s", "3")

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


def answers(client: QuadSimClient, payload: dict[str, str]) -> list[ReceivedEvent]:
    """Send a frame and wait for its answer; returns the events since it was sent."""
    number = next(_numbers)
    sent_s = client.send_frame(payload, number=number)
    client.wait_answered(number)
    return [event for event in client.events if event.arrived_s >= sent_s]


def follow(client: QuadSimClient, **options) -> list[float]:
    """Show the hero in frame after frame until the server leads the simulator there; returns the point.

    Raises:
        AssertionError: if that takes more than a hundred frames.
    """
    for _ in range(100):
        for event in answers(client, fields(**options)):
            if event.name == "object_detected":
                return event.argument["coords"]
    raise AssertionError(f"expected object_detected within 100 frames, got {client.events[-5:]}")
