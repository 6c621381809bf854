"""A coarse copy of the depth image, which tells whether something hides a person who is out of sight.

A hero who walks behind a house or through it is not lost: the depth image shows the house in front of the hero's
predicted place. The copy belongs to the view of a frame and is recorded, so that a replay decides in the same way.
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
        depths_255: `BLOCKS`² bytes, row by row: the largest 255 · depth / far in the block; 255 if a pixel of the block
            shows nothing nearer than far.
        camera: the camera that took the depth image.
        pose: of that camera, world frame.
    """

    depths_255: bytes
    camera: Camera
    pose: Pose

    @classmethod
    def of(cls, depth_255: np.ndarray, camera: Camera, pose: Pose) -> "Surfaces":
        """Make the copy of a depth image, (H, W) uint8."""
        height, width = (BLOCKS * math.ceil(size / BLOCKS) for size in depth_255.shape)
        # Enlarge to a multiple of BLOCKS, which keeps each pixel; QuadSim's images already are one. This is ten times
        # as fast as `np.maximum.reduceat`.
        whole = cv2.resize(depth_255, (width, height), interpolation=cv2.INTER_NEAREST)
        rows = whole.reshape(BLOCKS, -1, width).max(axis=1)
        return cls(rows.reshape(BLOCKS, BLOCKS, -1).max(axis=2).tobytes(), camera, pose)

    def hide(self, position_m: tuple[float, float, float], in_front_m: float) -> bool:
        """Whether something in the depth image stands in front of a place.

        Args:
            position_m: (x, y, z) of the place in the world frame.
            in_front_m: a whole block of the image must be nearer than the place by this; see `model.profile`.
        """
        point = project(np.array(position_m), self.camera, self.pose)
        if point is None or len(self.depths_255) != BLOCKS**2:
            return False
        column, row = point.u_px / self.camera.image_width_px * BLOCKS, point.v_px / self.camera.image_px * BLOCKS
        if not (0 <= column < BLOCKS and 0 <= row < BLOCKS):
            return False
        depth_255 = self.depths_255[int(row) * BLOCKS + int(column)]
        # The depths 0 and 255 are no measurements, see `parts.stretches`.
        return 0 < depth_255 < 255 and depth_255 / 255 * self.camera.far_m < point.depth_m - in_front_m
