"""The original follower's logic, as the reference for the score of the loop.

It decides on each frame alone, and its geometry has three known errors, which `original_position_m` lists.
"""

from collections.abc import Mapping

import numpy as np

from model.engines import Engine
from server.sight.geometry import world_from_camera
from server.sight.images import decode_depth, decode_rgb
from server.sight.parts import find_parts
from server.wire.messages import BadFrameError, Command, Pose, object_detected, object_lost, parse_sensor_frame
from tools.simulator.flight import Tracked

MORE_THAN_PX = 10
PROBABILITY = 0.5
LOST_AFTER_MISSES = 7
FAR_M = 50.0


class OriginalPilot:
    """The original's logic with today's network.

    More than 10 pixels with a probability above one half are a hero, at the centre of their largest blob. Seven frames
    in a row without a hero are a loss. Like the original, it computes in the pixels of its network. The original's
    networks had 160 px. One of the three errors is to use the network's pixel coordinates in the depth image: it has no
    effect at 256 px, the size of the depth image. The other two errors do not depend on the size.

    Args:
        engine: the loaded network.
        target: name of the target, of a network with several; None: the first.
    """

    def __init__(self, engine: Engine, target: str | None = None) -> None:
        self._engine, self._hero = engine, engine.card.following(target).hero
        self._is_following = False
        self._misses = 0

    def on_frame(self, fields: Mapping[str, str], now_s: float) -> list[Command]:
        """Answer a `sensor_frame` with this argument; `now_s` is not used.

        Raises:
            BadFrameError: if the frame is malformed.
        """
        frame = parse_sensor_frame(fields)
        if frame.depth_image is None:
            raise BadFrameError("depth_image", "a PNG in base64", "none")
        image, _ = decode_rgb(frame.rgb_image, self._engine.input_px)
        hero = self._engine.infer(image[None])[0, ..., self._hero] > PROBABILITY
        if np.count_nonzero(hero) > MORE_THAN_PX:
            self._is_following, self._misses = True, 0
            position_m = original_position_m(hero, decode_depth(frame.depth_image), frame.gimbal_pose)
            return [object_detected(position_m.tolist())]
        self._misses += 1
        if self._is_following and self._misses >= LOST_AFTER_MISSES:
            self._is_following = False
            return [object_lost()]
        return []

    def on_tick(self, now_s: float) -> list[Command]:
        """Return no commands: the original only answers frames."""
        return []

    def tracked(self) -> tuple[Tracked, ...]:
        """Return nobody: the original tracks nobody from frame to frame."""
        return ()


def original_position_m(hero_mask: np.ndarray, depth_255: np.ndarray, pose: Pose) -> np.ndarray:
    """Position of the hero by the original's geometry.

    Its errors: it takes the row for u and the column for v; it takes N for the focal length and 50 m for the depth of
    255; and it reads the depth image at the network's row and column.

    Args:
        hero_mask: (N, N) bool, in the network's pixels; not empty.
        depth_255: (D, D) uint8, D at least N.
        pose: pose of the camera, world frame.

    Returns:
        (3,) float, metres, ROS world frame.
    """
    size = len(hero_mask)
    parts = find_parts(hero_mask, np.zeros((size, size), np.uint8), window=1, min_px=1)
    assert parts is not None, "the mask is not empty"
    largest = parts.pixels(0)
    row, column = int(parts.rows[largest].mean()), int(parts.columns[largest].mean())
    depth_m = float(depth_255[row, column]) * FAR_M / 255
    right_m, down_m = ((pixel - size / 2) * depth_m / size for pixel in (row, column))
    return (world_from_camera(pose) @ [depth_m, -right_m, -down_m, 1.0])[:3]
