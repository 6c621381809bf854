"""Record a world in QuadSim's raw format: four images per frame, from which `tools/preprocess_ims.py` makes a set.

`<folder>/IMG/cam1_NNNNN.png` is the colour image. `cam2_` (people), `cam3_` (the hero) and `cam4_` (surroundings) are
the depth of that layer alone as grey RGB, 255 where it has nothing. Only the visible parts of people and hero are
recorded, because hidden parts do not affect the masks.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from model.command import check_output_folder
from model.pair_files import is_litter
from model.scoring import HERO, PEOPLE
from server.sight.geometry import QUADSIM_CAMERA
from server.wire.messages import Pose
from tools.simulator.frames import depth_to_grey
from tools.simulator.world import Observation, World

RECORD_EVERY_S = 3.03
"""Simulated time between recorded frames; QuadSim records at 0.33 Hz."""

_NOTHING = 255
_FARTHEST_PERSON = 253  # nearer than "nothing" also after preprocessing has subtracted 1


class Recorder:
    """Writes frames into a folder, numbered from 0.

    Args:
        folder: folder of the run; it is made with the first frame if it does not exist.

    Raises:
        OSError: if the folder holds a recording, or cannot be written into.
    """

    def __init__(self, folder: Path) -> None:
        self._images = folder / "IMG"
        check_output_folder(self._images)
        if self._images.exists() and not all(is_litter(file.name) for file in self._images.iterdir()):
            raise FileExistsError(f"expected no recording in {self._images}, found one: choose another folder")
        self.frames = 0

    def record(self, world: World, gimbal_pose: Pose | None = None) -> Observation:
        """Write a frame.

        Args:
            world: the world to record.
            gimbal_pose: pose of the camera; None for the drone's.

        Returns:
            The recorded observation.

        Raises:
            OSError: if the frame cannot be written.
        """
        if not self.frames:
            self._images.mkdir(parents=True, exist_ok=True)
        observation = world.observe(gimbal_pose)
        layers = depth_layers(observation, world.surroundings_depth_m(observation.gimbal_pose))
        for camera, pixels in enumerate((observation.view.rgb, *layers), start=1):
            grey = pixels if pixels.ndim == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=2)
            Image.fromarray(grey).save(self._images / f"cam{camera}_{self.frames:05}.png", compress_level=1)
        self.frames += 1
        return observation


def depth_layers(
    observation: Observation, surroundings_depth_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth layers of people, hero and surroundings, as QuadSim records them.

    Preprocessing chooses the nearest layer, and on ties the surroundings, which it moves one step nearer (0 becomes
    255). Eight bits cannot separate a person from a wall right behind. So that the masks are the true classes,
    surroundings behind a person are recorded at least two steps behind.

    Args:
        observation: the frame.
        surroundings_depth_m: (px, px) float, depth of the same view without people.

    Returns:
        Three (px, px) uint8 layers, round(255 · depth / far); 255 is nothing.
    """
    classes = observation.view.classes
    person = np.minimum(depth_to_grey(observation.view.depth_m, QUADSIM_CAMERA.far_m), np.uint8(_FARTHEST_PERSON))
    people = np.where(classes == PEOPLE, person, np.uint8(_NOTHING))
    hero = np.where(classes == HERO, person, np.uint8(_NOTHING))
    surroundings = depth_to_grey(surroundings_depth_m, QUADSIM_CAMERA.far_m)
    is_somebody = (classes == PEOPLE) | (classes == HERO)
    return people, hero, np.where(is_somebody, np.maximum(surroundings, person + np.uint8(2)), surroundings)
