"""A seeded episode: a city block with people, the drone, and the view of its camera.

World frame (ROS), metres, degrees. The same seed, steps and commands give the same episode.
"""

from typing import NamedTuple, Self

import numpy as np

from model.scoring import HERO
from server.sight.geometry import QUADSIM_CAMERA
from server.wire.messages import Pose
from tools.simulator.block import HALF_SIZE_M
from tools.simulator.bodies import PERSON
from tools.simulator.city import build_city
from tools.simulator.drone import Drone
from tools.simulator.flight import ON_TARGET_M
from tools.simulator.frames import sensor_frame_fields, unity_angles
from tools.simulator.lookalikes import CROSSER, MOST_LOOKALIKES, deal, lookalike
from tools.simulator.numbering import MOST_LOOKS
from tools.simulator.people import Person, hero_look, other_look
from tools.simulator.scene import Scene, View
from tools.simulator.targets import HERO as HERO_NAME
from tools.simulator.targets import NAMES, TARGETS, Population, lookalikes_of
from tools.simulator.walkers import Walkers

EPOCH_S = 1504814505.0
"""Default time of the start of an episode, s since 1970: fixed, so that episodes repeat exactly."""

FRAMES_PER_S = 5
"""Frames of QuadSim's camera per second of simulated time."""

MOST_PEOPLE = MOST_LOOKS - 1  # besides the hero
_SUB_STEP_S = 0.05
_LEAST_STEP_S = 1e-9


def population_rules(people: int, lookalikes: int | None) -> tuple[tuple[str, bool, str], ...]:
    """The rules for a command's options `--people` and `--lookalikes`; see `model.options.check`."""
    lookalikes = lookalikes or 0
    return (
        ("people", 0 <= people <= MOST_PEOPLE, f"from 0 to {MOST_PEOPLE}"),
        ("lookalikes", 0 <= lookalikes <= MOST_LOOKALIKES, f"from 0 to {MOST_LOOKALIKES}"),
        ("lookalikes", lookalikes <= people, f"of at most --people, {people}"),
    )


class Truth(NamedTuple):
    """The ground truth, which must never be sent to a server.

    Args:
        time_s: time since the start of the episode.
        hero_position_m: (3,) feet of the hero, world frame.
        hero_velocity_mps: (3,) velocity of the hero.
        people_positions_m: (count, 3) feet of the other people.
        hero_px: number of pixels that show the hero.
        occlusion: share of the hero's pixels that are hidden by objects in front, 0 to 1; 1 outside the view.
        classes: (px, px) uint8, indices into `model.scoring.CLASSES`.
    """

    time_s: float
    hero_position_m: np.ndarray
    hero_velocity_mps: np.ndarray
    people_positions_m: np.ndarray
    hero_px: int
    occlusion: float
    classes: np.ndarray


class Observation(NamedTuple):
    """The view of the camera at a moment, the poses that belong to it, and the ground truth.

    Args:
        timestamp_s: time since 1970.
        view: view of the camera.
        pose: pose of the quad, world frame.
        gimbal_pose: pose of the camera, world frame.
        truth: the ground truth.
    """

    timestamp_s: float
    view: View
    pose: Pose
    gimbal_pose: Pose
    truth: Truth


class World:
    """An episode; a context manager, because it holds a renderer.

    Args:
        seed: seed of all random decisions.
        people: number of people besides the hero, 0 to 60.
        opengl: render with OpenGL instead of in software.
        start_s: time of the start, s since 1970.
        hides: whether the hero also walks through houses.
        lookalikes: number of people who share a part of the hero's outfit; they are the first of the other people. The
            rest look and start the same for any number of lookalikes. With a target other than the hero: number of
            others of its kind. None: the usual number.
        target: a member of `targets.NAMES`. Another target takes the hero's place in the ground truth and the masks;
            others of its kind count as people.

    Attributes:
        target: name of the target.
        lookalikes: number of lookalikes, or of others of the target's kind; they come right after the target.
        on_target_m: horizontal distance to the target within which coordinates are on target.

    Raises:
        ValueError: if the number of people or lookalikes is out of range, or the target is unknown or cannot hide.
    """

    def __init__(
        self,
        seed: int,
        people: int = 30,
        *,
        opengl: bool = False,
        start_s: float = EPOCH_S,
        hides: bool = False,
        lookalikes: int | None = 0,
        target: str = HERO_NAME,
    ) -> None:
        if target not in NAMES:
            raise ValueError(f"target must be one of {', '.join(NAMES)}, got {target!r}")
        if not 0 <= people <= MOST_PEOPLE:
            raise ValueError(f"expected 0 to {MOST_PEOPLE} people, got {people}")
        lookalikes = lookalikes_of(target, lookalikes, people)
        if lookalikes > people:
            raise ValueError(f"expected at most as many lookalikes as people, {people}, got {lookalikes}")
        if not 0 <= lookalikes <= MOST_LOOKALIKES:
            raise ValueError(f"expected 0 to {MOST_LOOKALIKES} lookalikes, got {lookalikes}")
        if hides and target != HERO_NAME:
            raise ValueError(f"expected the hero as a target who hides, got {target}")
        self.target, self.lookalikes = target, lookalikes
        walk_rng, look_rng, drone_rng, lookalike_rng = np.random.default_rng(seed).spawn(4)
        city = build_city(seed)
        others = [other_look(look_rng) for _ in range(people)]
        self.walkers: Walkers | Population
        if target == HERO_NAME:
            kinds = deal(lookalikes, lookalike_rng)
            crossers = [number for number, kind in enumerate(kinds, 1) if kind == CROSSER]
            self.walkers = Walkers(city, people, walk_rng, hides=hides, crossers=crossers)
            others[:lookalikes] = [lookalike(kind, lookalike_rng) for kind in kinds]
            looks, bodies, fastest_mps = [hero_look(), *others], None, 3.0
            self.on_target_m = ON_TARGET_M
        else:
            kind = TARGETS[target]
            self.walkers = kind.population(city, lookalikes, people - lookalikes, walk_rng)
            kin = [kind.look(), *(kind.other_look(lookalike_rng) for _ in range(lookalikes))]
            looks, bodies = kin + others[lookalikes:], [kind.body] * len(kin) + [PERSON] * (people - lookalikes)
            self.on_target_m, fastest_mps = kind.on_target_m, kind.fastest_mps
        x_m, y_m, z_m = city.patrol_points_m[drone_rng.integers(len(city.patrol_points_m))].tolist()
        start = Pose(x_m, y_m, z_m, 0.0, 0.0, drone_rng.uniform(-180.0, 180.0))
        self.drone = Drone(city.patrol_points_m, start, fastest_mps)
        self._scene = Scene(city, looks, bodies=bodies, opengl=opengl)
        self._start_s = start_s
        self._time_s = 0.0

    @property
    def time_s(self) -> float:
        """Time since the start of the episode."""
        return self._time_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the renderer."""
        self._scene.close()

    def step(self, step_s: float) -> None:
        """Advance by `step_s` seconds, in equal sub-steps of at most 0.05 s; steps below 1 ns are ignored."""
        if step_s < _LEAST_STEP_S:
            return
        count = max(1, int(np.ceil(step_s / _SUB_STEP_S - 1e-9)))
        for _ in range(count):
            self.walkers.step(step_s / count)
            self.drone.step(step_s / count)
        self._time_s += step_s

    def observe(self, gimbal_pose: Pose | None = None) -> Observation:
        """Render the view of the camera.

        Args:
            gimbal_pose: pose of the camera; None for the drone's.
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
        """Planar depth of a camera's view without people, (px, px) metres; infinite for the sky."""
        out_of_sight = Person(2 * QUADSIM_CAMERA.far_m + HALF_SIZE_M, 0.0, 0.0, 0.0, 0.0)
        return self._scene.render(gimbal_pose, [out_of_sight] * len(self.walkers.people)).depth_m


def frame_fields(observation: Observation, locale: str = "en") -> dict[str, str]:
    """Make the argument of the `sensor_frame` event of an observation, without the ground truth.

    Args:
        observation: the observation.
        locale: locale of QuadSim's machine, a key of `frames.LOCALES`.
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
