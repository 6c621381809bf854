"""What the original follower would tell the drone: the reference that the loop's score is compared with.

It judges each frame alone, and its geometry has the three errors that its users know. Source: shared/quadsim/README.md.
"""

from collections.abc import Mapping

import numpy as np

from model.engines import Engine
from model.scoring import HERO
from server.sight.geometry import Pose, world_from_camera
from server.sight.images import decode_depth, decode_rgb
from server.sight.people import largest_blobs
from server.wire.messages import Command, object_detected, object_lost, parse_sensor_frame

MORE_THAN_PX = 10
PROBABILITY = 0.5
LOST_AFTER_MISSES = 7
FAR_M = 50.0


class OriginalPilot:
    """The original's logic on today's network.

    More than 10 pixels above one half are a hero, in the centre of their largest blob; seven misses in a row are none.
    The original ran its networks at 160 px. This one has no size of its own: it computes with the pixels of whatever
    network it is given, as the original did. At 256 px these happen to be the depth image's, so one of its three
    errors, looking up one image with another's pixels, does no harm here; the other two are independent of the size.

    Args:
        engine: the loaded network.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_following = False
        self._misses = 0

    def on_frame(self, fields: Mapping[str, str], now_s: float) -> list[Command]:
        """The commands that answer a `sensor_frame` with this argument; `now_s` means nothing to it.

        Raises:
            BadFrameError: for a frame that is not as QuadSim sends it.
        """
        frame = parse_sensor_frame(fields)
        image, _ = decode_rgb(frame.rgb_image, self._engine.input_px)
        hero = self._engine.infer(image[None])[0, ..., HERO] > PROBABILITY
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
        """Nothing: the original only ever answers frames."""
        return []


def original_position_m(hero_mask: np.ndarray, depth_255: np.ndarray, pose: Pose) -> np.ndarray:
    """Where the original places the hero.

    Args:
        hero_mask: (N, N) bool, of the network's N × N pixels; not empty.
        depth_255: (D, D) uint8, D at least N.
        pose: of the camera, world frame.

    Returns:
        (3,) float, metres, ROS world frame; wrong: it takes the row for u and the column for v, N for the focal
        length, 50 m for the depth of 255, and looks up the depth at the network's row and column.
    """
    blob = largest_blobs(hero_mask, 1)[0]
    row, column = int(blob.rows.mean()), int(blob.columns.mean())
    size = len(hero_mask)
    depth_m = float(depth_255[row, column]) * FAR_M / 255
    right_m, down_m = ((pixel - size / 2) * depth_m / size for pixel in (row, column))
    return (world_from_camera(pose) @ [depth_m, -right_m, -down_m, 1.0])[:3]
