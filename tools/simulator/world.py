"""One seeded episode: a city block, who walks there, the drone over it, and what its camera sees.

World frame (ROS), metres, degrees. The same seed and the same steps and commands give the same episode.
"""

from typing import NamedTuple, Self

import numpy as np

from model.scoring import HERO
from server.sight.geometry import QUADSIM_CAMERA, Pose
from tools.simulator.city import HALF_SIZE_M, build_city
from tools.simulator.drone import Drone
from tools.simulator.frames import sensor_frame_fields, unity_angles
from tools.simulator.people import Person, hero_look, other_look
from tools.simulator.scene import Scene, View
from tools.simulator.walkers import Walkers

EPOCH_S = 1504814505.0
"""Time of an episode's start unless told otherwise, seconds since 1970: fixed, so that episodes repeat exactly."""

FRAMES_PER_S = 5
"""That the camera takes, of simulated time. Source: shared/quadsim/README.md."""

MOST_PEOPLE = 60
_SUB_STEP_S = 0.05
_LEAST_STEP_S = 1e-9


class Truth(NamedTuple):
    """What QuadSim hides, and a server must never be sent.

    Args:
        time_s: since the episode's start.
        hero_position_m: (3,) the hero's feet, world frame.
        hero_velocity_mps: (3,) of the hero.
        people_positions_m: (count, 3) the others' feet.
        hero_px: how many pixels show the hero.
        occlusion: share of the hero's pixels that something in front hides, 0 to 1; 1 outside of the view.
        classes: (px, px) uint8, numbers into `model.scoring.CLASSES`.
    """

    time_s: float
    hero_position_m: np.ndarray
    hero_velocity_mps: np.ndarray
    people_positions_m: np.ndarray
    hero_px: int
    occlusion: float
    classes: np.ndarray


class Observation(NamedTuple):
    """What the camera sees and the poses that go with it, at one moment; and the truth about it.

    `timestamp_s` counts from 1970. `pose` is the quad's, `gimbal_pose` the camera's, world frame.
    """

    timestamp_s: float
    view: View
    pose: Pose
    gimbal_pose: Pose
    truth: Truth


class World:
    """An episode; a context manager, for it holds a renderer.

    Args:
        seed: decides everything that is left to chance.
        people: how many others than the hero, 0 to 60.
        opengl: render with OpenGL rather than in software.
        start_s: time of the start, seconds since 1970.
        hides: whether the hero goes through houses, too.

    Raises:
        ValueError: for a number of people out of range.
    """

    def __init__(
        self, seed: int, people: int = 30, *, opengl: bool = False, start_s: float = EPOCH_S, hides: bool = False
    ) -> None:
        if not 0 <= people <= MOST_PEOPLE:
            raise ValueError(f"expected 0 to {MOST_PEOPLE} people, got {people}")
        walk_rng, look_rng, drone_rng = np.random.default_rng(seed).spawn(3)
        city = build_city(seed)
        self.walkers = Walkers(city, people, walk_rng, hides=hides)
        x_m, y_m, z_m = city.patrol_points_m[drone_rng.integers(len(city.patrol_points_m))].tolist()
        start = Pose(x_m, y_m, z_m, 0.0, 0.0, drone_rng.uniform(-180.0, 180.0))
        self.drone = Drone(city.patrol_points_m, start)
        self._scene = Scene(city, [hero_look(), *(other_look(look_rng) for _ in range(people))], opengl=opengl)
        self._start_s = start_s
        self._time_s = 0.0

    @property
    def time_s(self) -> float:
        """Since the episode's start."""
        return self._time_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the renderer go."""
        self._scene.close()

    def step(self, step_s: float) -> None:
        """Everything moves on for `step_s` seconds, in equal sub-steps of at most 0.05 s; steps below 1 ns are none."""
        if step_s < _LEAST_STEP_S:
            return
        count = max(1, int(np.ceil(step_s / _SUB_STEP_S - 1e-9)))
        for _ in range(count):
            self.walkers.step(step_s / count)
            self.drone.step(step_s / count)
        self._time_s += step_s

    def observe(self, gimbal_pose: Pose | None = None) -> Observation:
        """Render what the camera sees now.

        Args:
            gimbal_pose: of a camera to look through instead of the drone's.
        """
        gimbal_pose = gimbal_pose or self.drone.gimbal_pose
        view = self._scene.render(gimbal_pose, self.walkers.people)
        hero_px = int(np.count_nonzero(view.classes == HERO))
        positions_m = self.walkers.positions_m
        truth = Truth(
            time_s=self._time_s,
            hero_position_m=positions_m[0],
            hero_velocity_mps=self.walkers.hero_velocity_mps,
            people_positions_m=positions_m[1:],
            hero_px=hero_px,
            occlusion=_occlusion(hero_px, view.hero_unoccluded_px),
            classes=view.classes,
        )
        return Observation(self._start_s + self._time_s, view, self.drone.pose, gimbal_pose, truth)

    def surroundings_depth_m(self, gimbal_pose: Pose) -> np.ndarray:
        """(px, px) metres: planar depth of what a camera would see if nobody were there; infinite for the sky."""
        out_of_sight = Person(2 * QUADSIM_CAMERA.far_m + HALF_SIZE_M, 0.0, 0.0, 0.0, 0.0)
        return self._scene.render(gimbal_pose, [out_of_sight] * len(self.walkers.people)).depth_m


def frame_fields(observation: Observation, locale: str = "en") -> dict[str, str]:
    """The argument of the `sensor_frame` event that tells a server of an observation; the truth stays behind.

    Args:
        observation: of the world.
        locale: of the machine that QuadSim runs on, a key of `frames.LOCALES`.
    """
    return sensor_frame_fields(
        observation.view.rgb,
        observation.view.depth_m,
        unity_angles(observation.gimbal_pose),
        pose=unity_angles(observation.pose),
        timestamp_s=observation.timestamp_s,
        locale=locale,
    )


def _occlusion(visible_px: int, unoccluded_px: int) -> float:
    if unoccluded_px == 0:
        return 1.0
    return min(max(1.0 - visible_px / unoccluded_px, 0.0), 1.0)
