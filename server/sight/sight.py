"""From a frame's images to the people in them: decode, infer, find, place. Pure and synchronous.

`Sight.look` does all steps in turn, for replay and lock-step. The threads of the live server (`perception.py`) call the
steps one by one, so that the steps of different frames overlap.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from model.card import Card
from model.engines import Engine
from server.sight.geometry import Camera
from server.sight.images import Size, decode_depth, decode_rgb
from server.sight.people import Sighting, find_people
from server.sight.region import Region, region_around
from server.sight.surfaces import Surfaces
from server.wire.messages import BadFrameError, Frame, SensorFrame


class View(NamedTuple):
    """What was seen in a frame.

    Args:
        sightings: of everybody, the largest first.
        camera: the camera that took the frame.
        size: of the camera image as received.
        probabilities: (px, px, classes) float32, the network's output.
        card: of that network.
        surfaces: tell who is hidden; None without a depth image.
        remark: complaint to the client about a frame that was used nevertheless; None without a complaint.
        is_part: whether only a part of the frame was looked at; the probabilities are 0 outside of it.
    """

    sightings: tuple[Sighting, ...]
    camera: Camera
    size: Size
    probabilities: np.ndarray
    card: Card
    surfaces: Surfaces | None = None
    remark: BadFrameError | None = None
    is_part: bool = False


class Sight:
    """Finds the people in frames, with one network and one camera.

    Args:
        engine: the loaded network.
        camera: the simulators' camera.
        min_blob_px: smallest person to believe, in pixels of the network; None for the one on the network's card.
        target: name of the target to look for in frames that don't name a target; None for the card's first.

    Attributes:
        engine: as given.
        card: the network's card, with that target and the `min_blob_px` in use.

    Raises:
        ValueError: if the network has no such target.
    """

    def __init__(
        self, engine: Engine, camera: Camera, min_blob_px: int | None = None, target: str | None = None
    ) -> None:
        cv2.setNumThreads(1)  # OpenCV's images are small, and the network needs the cores
        self.engine, self._camera = engine, camera
        card = engine.card.following(target)
        self.card = replace(card, min_blob_px=min_blob_px or card.min_blob_px)
        self._cards = {name: self.card.following(name) for name in self.card.targets}

    def look(self, frame: Frame, *, is_busy: bool = False) -> View | BadFrameError:
        """Find the people in one frame.

        Args:
            frame: the frame.
            is_busy: as for `region`.

        Returns:
            The view, or the error that the frame's sender made if the frame can't be understood.

        Raises:
            Exception: any error of the network.
        """
        if isinstance(frame.content, BadFrameError):
            return frame.content
        try:
            image, size = self.decode(frame.content)
            region = self.region(frame, size, is_busy=is_busy)
            (probabilities,) = self.infer([image], [region])
            depth_255 = self.decode_depth(frame.content)
            return self.find(frame, image, size, probabilities, depth_255, region)
        except BadFrameError as error:
            return error.as_value()

    def decode(self, frame: SensorFrame) -> tuple[np.ndarray, Size]:
        """The camera image, (px, px, 3) uint8 RGB in the network's size, and its size as received.

        Raises:
            BadFrameError: if it is not as expected.
        """
        return decode_rgb(frame.rgb_image, self.engine.input_px)

    def region(self, frame: Frame, size: Size, *, is_busy: bool = False) -> Region | None:
        """The part of a frame to look at; None for the whole.

        Args:
            frame: the frame.
            size: of its camera image as received.
            is_busy: whether other frames wait; then a whole look that is due is put off.
        """
        part_px = self.engine.part_px
        if part_px is None or frame.expected_m is None or isinstance(frame.content, BadFrameError):
            return None
        if frame.is_whole_due and not is_busy:
            return None
        camera, pose = self._camera.of_shape(*size), frame.content.gimbal_pose
        profile = self._card_for(frame.target).profile
        return region_around(frame.expected_m, camera, pose, profile, self.engine.input_px, part_px)

    def infer(self, images: Sequence[np.ndarray], regions: Sequence[Region | None]) -> list[np.ndarray]:
        """Run the network.

        Args:
            images: (px, px, 3) uint8 RGB each, in the network's size; no more than the engine takes in one batch.
            regions: the part of each image to look at; None for the whole.

        Returns:
            (px, px, classes) float32 for each image, 0 outside of the part.

        Raises:
            Exception: any error of the network.
        """
        if not any(regions):
            return list(self.engine.infer(np.stack(images)))
        found = []
        for image, region in zip(images, regions, strict=True):
            part = image if region is None else np.ascontiguousarray(region.of(image))
            probabilities = self.engine.infer(part[None])[0]
            if region is not None:
                # Stored plane by plane in memory, as engines return them.
                whole = np.moveaxis(np.zeros((probabilities.shape[-1], *image.shape[:2]), np.float32), 0, -1)
                region.of(whole)[...] = probabilities
                probabilities = whole
            found.append(probabilities)
        return found

    def decode_depth(self, frame: SensorFrame) -> np.ndarray | None:
        """The depth image, (H, W) uint8, or None if the frame has none or it is not to be used.

        Raises:
            BadFrameError: if it is not as expected.
        """
        if frame.depth_image is None or not self._camera.has_depth:
            return None
        return decode_depth(frame.depth_image)

    def find(
        self,
        frame: Frame,
        image: np.ndarray,
        size: Size,
        probabilities: np.ndarray,
        depth_255: np.ndarray | None,
        region: Region | None = None,
    ) -> View:
        """Find and place everybody.

        Args:
            frame: the frame, whose content was parsed without an error.
            image: (px, px, 3) uint8 RGB, as the network saw it.
            size: of the camera image as received.
            probabilities: (px, px, classes) float32, the network's output.
            depth_255: (H, W) uint8, round(255 · depth / far); None without a depth image.
            region: the part that was looked at; None for the whole.
        """
        assert not isinstance(frame.content, BadFrameError)
        camera, card, pose = self._camera.of_shape(*size), self._card_for(frame.target), frame.content.gimbal_pose
        sightings = find_people(probabilities, image, depth_255, camera, pose, card, self.engine.second_look)
        if region is not None:  # a person cut off by the part's edge gets a wrong place and wrong evidence
            sightings = tuple(sighting for sighting in sightings if region.shows(sighting.box_px, camera))
        view = View(sightings, camera, size, probabilities, card, is_part=region is not None)
        if depth_255 is None:
            return view
        surfaces = Surfaces.of(depth_255, camera, pose)
        return view._replace(surfaces=surfaces, remark=compare_sizes(size, depth_255))

    def _card_for(self, target: str | None) -> Card:
        """The card with a frame's target, or the default card if the target is of a former network."""
        return self.card if target is None else self._cards.get(target, self.card)


def compare_sizes(size: Size, depth_255: np.ndarray) -> BadFrameError | None:
    """The complaint to a client whose depth image, (H, W), differs in size from its camera image; None if equal."""
    depth_size = Size(depth_255.shape[1], depth_255.shape[0])
    if depth_size == size:
        return None
    return BadFrameError(
        "depth_image", f"{size}, the size of the camera image (the depth is used nevertheless)", str(depth_size)
    )
