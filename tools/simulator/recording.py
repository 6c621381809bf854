"""QuadSim's raw recording of a world: four pictures a frame, which `tools/preprocess_ims.py` makes a training set of.

`<folder>/IMG/cam1_NNNNN.png` is the colour image; `cam2_` (people), `cam3_` (the hero) and `cam4_` (surroundings) are
depth as grey RGB, of that layer alone, 255 where it has nothing. Of people and hero only what is in sight is recorded:
the rest decides nothing in the masks.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from model.scoring import HERO, PEOPLE
from server.sight.geometry import QUADSIM_CAMERA, Pose
from tools.simulator.frames import depth_to_grey
from tools.simulator.world import Observation, World

RECORD_EVERY_S = 3.03
"""Of simulated time; QuadSim's 0.33 Hz. Source: shared/quadsim/README.md."""

_NOTHING = 255
_FARTHEST_PERSON = 253  # one that wins against nothing, of which preprocessing takes 1


class Recorder:
    """Writes frames into a folder, numbered from 0.

    Args:
        folder: of the run; made if it is not there.

    Raises:
        FileExistsError: if the folder holds a recording.
    """

    def __init__(self, folder: Path) -> None:
        self._images = folder / "IMG"
        self._images.mkdir(parents=True, exist_ok=True)
        if any(self._images.iterdir()):
            raise FileExistsError(f"expected no recording in {self._images}, found one: choose another folder")
        self.frames = 0

    def record(self, world: World, gimbal_pose: Pose | None = None) -> Observation:
        """Write one frame.

        Args:
            world: to record.
            gimbal_pose: of a camera to look through instead of the drone's.

        Returns:
            What was recorded.

        Raises:
            OSError: if it cannot be written.
        """
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
    """People, hero and surroundings as QuadSim records them.

    Preprocessing takes the nearest layer, on ties the surroundings, which it takes for one step nearer than recorded,
    and from 0 to 255. Eight bits can't tell a person from the wall behind; so that the masks are the true classes,
    surroundings behind somebody are at least two steps behind.

    Args:
        observation: what the camera sees.
        surroundings_depth_m: (px, px) float, the same view with nobody in it.

    Returns:
        Three of (px, px) uint8, round(255 · depth / far); 255 is nothing.
    """
    classes = observation.view.classes
    person = np.minimum(depth_to_grey(observation.view.depth_m, QUADSIM_CAMERA.far_m), np.uint8(_FARTHEST_PERSON))
    people = np.where(classes == PEOPLE, person, np.uint8(_NOTHING))
    hero = np.where(classes == HERO, person, np.uint8(_NOTHING))
    surroundings = depth_to_grey(surroundings_depth_m, QUADSIM_CAMERA.far_m)
    is_somebody = (classes == PEOPLE) | (classes == HERO)
    return people, hero, np.where(is_somebody, np.maximum(surroundings, person + np.uint8(2)), surroundings)
