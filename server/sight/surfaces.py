"""What stands in front of what: a coarse copy of the depth image, by which somebody out of sight is known to be hidden.

A hero who walks behind a house or through it is not lost: the depth image shows the house in front of where they must
be. It is kept with what a frame showed, and recorded, so that a replay decides alike.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from server.sight.geometry import Camera, project
from server.wire.messages import Pose

BLOCKS = 32  # along each side of the image


class Surfaces(NamedTuple):
    """The largest depth in each block of the depth image.

    Args:
        depths_255: `BLOCKS`² bytes, row by row: the largest 255 · depth / far in the block; 255: a pixel shows
            nothing within far.
        camera: that took it.
        pose: of that camera, world frame.
    """

    depths_255: bytes
    camera: Camera
    pose: Pose

    @classmethod
    def of(cls, depth_255: np.ndarray, camera: Camera, pose: Pose) -> "Surfaces":
        """From a depth image, (H, W) uint8."""
        height, width = (BLOCKS * math.ceil(size / BLOCKS) for size in depth_255.shape)
        # To whole blocks, without losing a pixel; QuadSim's image has them. Ten times as fast as `np.maximum.reduceat`.
        whole = cv2.resize(depth_255, (width, height), interpolation=cv2.INTER_NEAREST)
        rows = whole.reshape(BLOCKS, -1, width).max(axis=1)
        return cls(rows.reshape(BLOCKS, BLOCKS, -1).max(axis=2).tobytes(), camera, pose)

    def hide(self, position_m: tuple[float, float, float], in_front_m: float) -> bool:
        """Whether something in the picture stands in front of a place.

        Args:
            position_m: (x, y, z) in the world frame.
            in_front_m: by how much a whole block must be nearer than the place; see `model.profile`.
        """
        point = project(np.array(position_m), self.camera, self.pose)
        if point is None or len(self.depths_255) != BLOCKS**2:
            return False
        column, row = point.u_px / self.camera.image_width_px * BLOCKS, point.v_px / self.camera.image_px * BLOCKS
        if not (0 <= column < BLOCKS and 0 <= row < BLOCKS):
            return False
        depth_255 = self.depths_255[int(row) * BLOCKS + int(column)]
        # 0 and 255 are no measurements, see `parts.stretches`.
        return 0 < depth_255 < 255 and depth_255 / 255 * self.camera.far_m < point.depth_m - in_front_m
