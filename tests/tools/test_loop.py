"""The real world flown by the server's own code, with a network that knows the truth."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from support.fake_engine import DOG, ColourEngine
from support.worlds import SharedWorld

from model.card import Card, Target
from model.engines import Engine
from model.evidence import Evidence
from model.profile import hero_profile
from model.scoring import HERO
from server.settings import TrackerConfig
from server.wire.messages import Command, Pose
from tools.simulator.drone import Drone
from tools.simulator.faults import FaultConfig, Faults
from tools.simulator.flight import Tracked
from tools.simulator.loop import ServerPilot, fly, people_in_view
from tools.simulator.loop_score import score
from tools.simulator.scene import NOBODY
from tools.simulator.world import Observation, World


class TruthEngine(Engine):
    """Sees what `world` last observed, and is sure of it: two frames are enough to follow."""

    description = "truth"
    input_px = 256
    card = Card(evidence=Evidence(largest=8.0))
    most_per_batch = 1

    def __init__(self, world: World) -> None:
        self._observe = world.observe
        world.observe = self.observe

    def observe(self):
        self._seen = self._observe()
        return self._seen

    def infer(self, images: np.ndarray) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[self._seen.truth.classes][np.newaxis]


@pytest.fixture
def world():
    """A world whose drone begins 8 m south of the hero, 5 m up, turned to the hero (its gimbal looks 30° down)."""
    with SharedWorld(seed=3, people=2) as subject:
        x_m, y_m, _ = subject.walkers.hero_position_m
        subject.drone = Drone(np.array([[x_m, y_m, 6.0]]), Pose(x_m, y_m - 8.0, 5.0, 0.0, 0.0, 90.0))
        yield subject


class Scribe:
    """A pilot that only notes when its methods are called."""

    def __init__(self) -> None:
        self.frames_s: list[float] = []
        self.ticks_s: list[float] = []

    def on_frame(self, fields, now_s: float) -> list[Command]:
        self.frames_s.append(now_s)
        return []

    def on_tick(self, now_s: float) -> list[Command]:
        self.ticks_s.append(now_s)
        return []

    def tracked(self) -> tuple[Tracked, ...]:
        return (Tracked(len(self.frames_s), 1.0, 2.0),)


def lossy(**config: float) -> Faults:
    return Faults(FaultConfig(**config), np.random.default_rng(0))


def test_the_server_leads_the_drone_to_the_hero(world):
    flight = fly(world, ServerPilot(TruthEngine(world)), duration_s=10.0)
    # Followed from the second frame on, unless something stands between; then on the hero to the end.
    assert flight.is_on_target[-20:].all()
    assert np.median(flight.errors_m[-20:]) < 0.3
    assert world.drone.is_following
    # The hero is in view, and one of those tracked is where the drone is told to be.
    assert flight.in_view[-20:, 0].all()
    told_m = tuple(flight.told_m[-1].tolist())
    (hero,) = (person for person in flight.tracked[-1] if math.dist(person[1:], told_m) < 1e-3)  # rounded coordinates
    # It has been the same one since the drone has followed.
    for tracked, told_m in zip(flight.tracked[-20:], flight.told_m[-20:].tolist(), strict=True):
        assert [person.id for person in tracked if math.dist(person[1:], told_m) < 1e-3] == [hero.id]
    # QuadSim keeps 2 m behind.
    assert np.linalg.norm(np.array(world.drone.pose[:2]) - world.walkers.hero_position_m[:2]) < 4.0


class OneOfTwo(TruthEngine):
    """As `TruthEngine`, with a network of two targets: the world's hero is its second target, a dog."""

    card = Card(
        evidence=Evidence(largest=8.0),
        classes=("surroundings", "people", "hero", "dog"),
        more_targets=(Target(DOG, Evidence(largest=8.0)),),
    )

    def infer(self, images: np.ndarray) -> np.ndarray:
        classes = self._seen.truth.classes
        return np.eye(4, dtype=np.float32)[np.where(classes == HERO, HERO + 1, classes)][np.newaxis]


@pytest.mark.parametrize(("target", "is_followed"), [("dog", True), (None, False)])
def test_of_a_network_of_two_targets_one_is_followed(world, target, is_followed):
    pilot = ServerPilot(OneOfTwo(world), target=target)
    fly(world, pilot, duration_s=2.0)
    assert world.drone.is_following == is_followed


@pytest.mark.parametrize(("target", "profile"), [("dog", DOG), (None, hero_profile())])
def test_the_target_is_tracked_as_its_profile_says(world, target, profile):
    assert ServerPilot(OneOfTwo(world), target=target).session.state.tracker.config == TrackerConfig(profile=profile)


def test_the_server_tracks_everybody_in_view_from_their_first_frame_on(world):
    pilot = ServerPilot(TruthEngine(world))
    assert pilot.tracked() == ()
    flight = fly(world, pilot, duration_s=0.2)
    (tracked,) = flight.tracked
    assert len(tracked) == flight.in_view[0].sum() > 1
    assert [person.id for person in tracked] == list(range(1, len(tracked) + 1))
    for position_m in flight.people_m[0][flight.in_view[0]].tolist():
        assert min(math.dist(position_m, person[1:]) for person in tracked) < 1.0


def test_who_is_not_in_the_latest_frame_is_not_told_though_remembered(world):
    class ShortSighted(TruthEngine):
        """Sees nobody from the third frame on."""

        frames = 0

        def infer(self, images):
            self.frames += 1
            seen = super().infer(images)
            return seen if self.frames <= 2 else np.eye(3, dtype=np.float32)[np.zeros_like(seen[..., 0], int)]

    flight = fly(world, ServerPilot(ShortSighted(world)), duration_s=0.8)
    assert [bool(tracked) for tracked in flight.tracked] == [True, True, False, False]
    assert np.isfinite(flight.told_m[2]).all(), "the hero is still followed"


def observation(shown: list[tuple[int, int]], *people_m: tuple[float, float, float]) -> Observation:
    """A picture of people, the hero first, from the origin along x; `shown` has (number of the person, pixels)."""
    person = np.full(256 * 256, NOBODY, np.uint8)
    for row, (number, pixels) in enumerate(shown):
        person[256 * row : 256 * row + pixels] = number
    hero_m, *others_m = np.array(people_m)
    truth = SimpleNamespace(hero_position_m=hero_m, people_positions_m=np.array(others_m).reshape(-1, 3))
    return SimpleNamespace(
        view=SimpleNamespace(person=person.reshape(256, 256)), truth=truth, gimbal_pose=Pose(0, 0, 2, 0, 0, 0)
    )


def test_in_view_is_who_shows_12_pixels_and_is_less_than_40_m_deep():
    seen = observation(
        [(0, 12), (1, 11), (2, 200), (3, 200)], (39.9, 20, 0), (5, 0, 0), (40.1, 0, 0), (5, 1, 0), (5, 2, 0)
    )
    assert people_in_view(seen).tolist() == [True, False, False, True, False]


def test_in_a_real_picture_the_hero_is_in_view_until_the_camera_turns_away(world):
    ahead = world.drone.gimbal_pose
    assert people_in_view(world.observe(ahead))[0]
    assert not people_in_view(world.observe(ahead._replace(yaw_deg=ahead.yaw_deg + 180.0)))[0]


def test_each_frame_is_answered_at_its_own_time():
    with SharedWorld(seed=3, people=0) as world:
        pilot = Scribe()
        flight = fly(world, pilot, duration_s=1.0)
    assert pilot.frames_s == pilot.ticks_s == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert len(flight.hero_px) == 5
    assert flight.tracked == tuple((Tracked(number, 1.0, 2.0),) for number in (1, 2, 3, 4, 5))  # after each answer


def test_the_shortest_flight_has_a_frame_and_a_score():
    with SharedWorld(seed=3, people=0) as world:
        flight = fly(world, Scribe(), duration_s=1e-4)
    assert score([flight]).acquire_from_start_s == pytest.approx(0.2)


def test_a_delayed_frame_is_answered_later_between_frames_if_need_be():
    with SharedWorld(seed=3, people=0) as world:
        pilot = Scribe()
        fly(world, pilot, duration_s=1.0, faults=lossy(delay=0.25))
    assert pilot.frames_s == [0.25, 0.45, 0.65, 0.85]
    assert pilot.ticks_s == [0.0, 0.2, 0.4, 0.6, 0.8]


def test_dropped_frames_never_arrive():
    with SharedWorld(seed=3, people=0) as world:
        pilot = Scribe()
        fly(world, pilot, duration_s=4.0, faults=lossy(drop=0.5))
    assert 0 < len(pilot.frames_s) < 20


def test_a_broken_frame_stops_a_drone_that_follows(world):
    class BreaksOff(ServerPilot):
        def on_frame(self, fields, now_s):
            return super().on_frame({**fields, "depth_image": "none"} if now_s == 3.0 else fields, now_s)

    flight = fly(world, BreaksOff(TruthEngine(world)), duration_s=3.2)
    assert np.isfinite(flight.told_m[14]).all()
    assert np.isnan(flight.told_m[15]).all()


def test_a_network_that_fails_ends_the_flight(world):
    class Broken(ColourEngine):
        def infer(self, images):
            raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        fly(world, ServerPilot(Broken()), duration_s=1.0)
