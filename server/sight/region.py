"""The part of a frame to look at, where somebody is expected: it costs a quarter of the whole.

    whole frame: who is where ─▶ parts around the one followed ─▶ every fourth frame whole, and at any doubt

`server.flight.glance` decides when a part will do. Outside of it nothing was looked at.
"""

from typing import NamedTuple

import numpy as np

from model.profile import Profile
from server.sight.geometry import Camera, project
from server.sight.people import Box
from server.wire.messages import Pose

# In pixels of the network. Its coarsest features have this stride: parts that begin at a multiple of it see them alike.
STRIDE_PX = 16
# The network's answer depends on the surroundings: so much of them is in the part, too.
MARGIN_PX = 8
# Who comes as near to the edge of a part may be cut off there.
EDGE_PX = 2
# How far somebody may be from where they are expected, beside their own extent.
LEEWAY_M = 0.15


class Region(NamedTuple):
    """A part of a square image of the network's size, in its pixels."""

    top: int
    left: int
    height: int
    width: int
    image_px: int

    def of(self, image: np.ndarray) -> np.ndarray:
        """That part of an image, (image_px, image_px, ...); a view."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]

    def holds(self, box: tuple[float, float, float, float], margin_px: float) -> bool:
        """Whether a box (left, top, right, bottom), of pixels of the network, is far enough from where it is cut off.

        The image's own edges cut nothing off that a whole frame would show.
        """
        left, top, right, bottom = box
        return (
            (self.left == 0 or left >= self.left + margin_px)
            and (self.top == 0 or top >= self.top + margin_px)
            and (self.left + self.width == self.image_px or right <= self.left + self.width - margin_px)
            and (self.top + self.height == self.image_px or bottom <= self.top + self.height - margin_px)
        )

    def shows(self, box: Box, camera: Camera) -> bool:
        """Whether somebody is not cut off, by their box in the camera's image."""
        return self.holds(_scaled(box, camera, self.image_px), EDGE_PX)


def region_around(
    expected_m: tuple[float, float, float],
    camera: Camera,
    pose: Pose,
    profile: Profile,
    image_px: int,
    part_px: tuple[int, int],
) -> Region | None:
    """The part of an image that shows somebody, with some surroundings.

    Args:
        expected_m: (x, y, z) of their middle, ROS world frame.
        camera: that took the image.
        pose: of that camera, world frame.
        profile: what they are like.
        image_px: height and width of the network's image.
        part_px: height and width of a part.

    Returns:
        None if they do not fit into a part, or may be out of the image.
    """
    middle_m = np.array(expected_m)
    up_m = np.array([0.0, 0.0, profile.height_m / 2 + LEEWAY_M])
    middle, head, feet = (project(point, camera, pose) for point in (middle_m, middle_m + up_m, middle_m - up_m))
    if middle is None or head is None or feet is None:
        return None
    if not (0 <= middle.u_px < camera.image_width_px and 0 <= middle.v_px < camera.image_px):
        return None
    beside_px = (profile.depth_m / 2 + LEEWAY_M) * camera.focal_px / middle.depth_m
    seen = (middle, head, feet)
    us, vs = [each.u_px for each in seen], [each.v_px for each in seen]
    box = _scaled((min(us) - beside_px, min(vs), max(us) + beside_px, max(vs)), camera, image_px)
    (height, width), (left, top, right, bottom) = part_px, box
    region = Region(_begin(top, bottom, height, image_px), _begin(left, right, width, image_px), *part_px, image_px)
    return region if region.holds(box, MARGIN_PX) else None


def _scaled(box: tuple[float, float, float, float], camera: Camera, image_px: int) -> tuple[float, float, float, float]:
    """A box in the camera's image in pixels of the network."""
    u_scale, v_scale = image_px / camera.image_width_px, image_px / camera.image_px
    left, top, right, bottom = box
    return left * u_scale, top * v_scale, right * u_scale, bottom * v_scale


def _begin(least: float, most: float, size: int, image_px: int) -> int:
    """Where a part begins along an axis, with the range `least` to `most` in its middle as far as the image allows."""
    begin = ((least + most - size) / 2 + STRIDE_PX / 2) // STRIDE_PX * STRIDE_PX
    return int(min(max(begin, 0), image_px - size))
