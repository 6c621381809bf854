"""The part of a frame to look at, around the person followed: inference costs a quarter of that of the whole frame.

    whole frame: who is where ─▶ parts around the one followed ─▶ every fourth frame whole, and at any doubt

`server.flight.glance` decides when a part is enough. The network does not see the rest of the frame.
"""

from typing import NamedTuple

import numpy as np

from model.profile import Profile
from server.sight.geometry import Camera, project
from server.sight.people import Box
from server.wire.messages import Pose

# Sizes in pixels of the network.
# Stride of the network's coarsest features. They are the same as in the whole frame if a part begins at a multiple.
STRIDE_PX = 16
# Margin around the person, because the network's output depends on the surroundings.
MARGIN_PX = 8
# A person closer than this to the edge of a part may be cut off by it.
EDGE_PX = 2
# Largest error of the expected position, m.
LARGEST_ERROR_M = 0.15


class Region(NamedTuple):
    """A part of a square image of the network's size, in its pixels."""

    top: int
    left: int
    height: int
    width: int
    image_px: int

    def of(self, image: np.ndarray) -> np.ndarray:
        """This part of an image, (image_px, image_px, ...), as a view."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]

    def holds(self, box: tuple[float, float, float, float], margin_px: float) -> bool:
        """Whether a box is inside the part, with a margin to each edge of the part that is no edge of the image.

        At the image's own edges no margin is needed, because a whole frame shows no more there.

        Args:
            box: (left, top, right, bottom), pixels of the network.
            margin_px: least distance from the box to the edge of the part, pixels of the network.
        """
        left, top, right, bottom = box
        return (
            (self.left == 0 or left >= self.left + margin_px)
            and (self.top == 0 or top >= self.top + margin_px)
            and (self.left + self.width == self.image_px or right <= self.left + self.width - margin_px)
            and (self.top + self.height == self.image_px or bottom <= self.top + self.height - margin_px)
        )

    def shows(self, box: Box, camera: Camera) -> bool:
        """Whether the part shows a person whole, given the person's box in the camera image."""
        return self.holds(_scaled(box, camera, self.image_px), EDGE_PX)


def region_around(
    expected_m: tuple[float, float, float],
    camera: Camera,
    pose: Pose,
    profile: Profile,
    image_px: int,
    part_px: tuple[int, int],
) -> Region | None:
    """The part of an image that shows a person, with a margin around them.

    Args:
        expected_m: expected (x, y, z) of the person's middle, ROS world frame.
        camera: the camera that took the image.
        pose: of that camera, world frame.
        profile: the profile of the person.
        image_px: height and width of the network's image.
        part_px: height and width of a part.

    Returns:
        None if the person does not fit into a part, is behind the camera, or has their middle out of the image.
    """
    middle_m = np.array(expected_m)
    up_m = np.array([0.0, 0.0, profile.height_m / 2 + LARGEST_ERROR_M])
    middle, head, feet = (project(point, camera, pose) for point in (middle_m, middle_m + up_m, middle_m - up_m))
    if middle is None or head is None or feet is None:
        return None
    if not (0 <= middle.u_px < camera.image_width_px and 0 <= middle.v_px < camera.image_px):
        return None
    beside_px = (profile.depth_m / 2 + LARGEST_ERROR_M) * camera.focal_px / middle.depth_m
    seen = (middle, head, feet)
    us, vs = [each.u_px for each in seen], [each.v_px for each in seen]
    box = _scaled((min(us) - beside_px, min(vs), max(us) + beside_px, max(vs)), camera, image_px)
    (height, width), (left, top, right, bottom) = part_px, box
    region = Region(_begin(top, bottom, height, image_px), _begin(left, right, width, image_px), *part_px, image_px)
    return region if region.holds(box, MARGIN_PX) else None


def _scaled(box: tuple[float, float, float, float], camera: Camera, image_px: int) -> tuple[float, float, float, float]:
    """Convert a box from pixels of the camera image to pixels of the network."""
    u_scale, v_scale = image_px / camera.image_width_px, image_px / camera.image_px
    left, top, right, bottom = box
    return left * u_scale, top * v_scale, right * u_scale, bottom * v_scale


def _begin(least: float, most: float, size: int, image_px: int) -> int:
    """Where a part begins along an axis: the range `least` to `most` is in its middle, as far as the image allows."""
    begin = ((least + most - size) / 2 + STRIDE_PX / 2) // STRIDE_PX * STRIDE_PX
    return int(min(max(begin, 0), image_px - size))
