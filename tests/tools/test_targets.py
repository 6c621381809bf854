"""Targets in the hero's place: bodies of the right size on the ground that move as their kind does."""

import math

import numpy as np
import pytest
from support.worlds import SharedWorld

from model.scoring import HERO, PEOPLE
from server.wire.messages import Pose
from tools.simulator.block import ROAD_MIDDLE_M
from tools.simulator.bodies import Bodies, as_array
from tools.simulator.city import build_city
from tools.simulator.people import Person, is_reddish, person_in_blue, somewhat_blue
from tools.simulator.roamers import CATS_MOODS, DOGS_MOODS, Roamers
from tools.simulator.targets import TARGETS, lookalikes_of
from tools.simulator.traffic import CARS, CYCLISTS, Traffic
from tools.simulator.world import World

SUN = np.array([0.0, 0.0, 1.0])
STEP_S = 0.05
NOBODY_ON_FOOT = np.empty((0, 3))


def posed(target: str, person: Person, sides: int = 10) -> np.ndarray:
    """(V, 3) the surface of a target, world frame."""
    ones, zeros = np.ones(1, np.float32), np.zeros(1, np.float32)
    kind = TARGETS[target]
    bodies = Bodies([kind.look()], sides, kind.body)
    return bodies.posed(np.array([0]), as_array([person]), SUN, ones, zeros).points_m[0]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("phase_rad", [0.0, 1.0, 2.5, 4.5])
def test_a_body_stands_on_the_ground_where_it_is_put_and_is_as_tall_as_its_look_says(target, phase_rad):
    stride = 0.0 if target in ("dog", "cat") else 1.0
    points_m = posed(target, Person(12.0, -7.0, 50.0, phase_rad, stride))
    height_m = TARGETS[target].look().height_m
    assert points_m[:, 2].min() == pytest.approx(0.0, abs=0.06)
    assert points_m[:, 2].max() == pytest.approx(height_m, abs=0.12 * height_m)
    middle_m = (points_m[:, :2].min(axis=0) + points_m[:, :2].max(axis=0)) / 2
    np.testing.assert_allclose(middle_m, [12.0, -7.0], atol=0.25)
    reach_m = np.linalg.norm(points_m - [12.0, -7.0, height_m / 2], axis=1).max()
    assert reach_m <= TARGETS[target].body.reach_m


@pytest.mark.parametrize(("target", "length_m"), [("dog", 1.2), ("cat", 0.65), ("car", 4.3), ("cyclist", 1.7)])
def test_a_body_is_longer_than_wide_and_lies_along_its_heading(target, length_m):
    points_m = posed(target, Person(0.0, 0.0, 90.0, 0.0, 0.0))
    wide_m, long_m = np.ptp(points_m[:, :2], axis=0)
    assert long_m == pytest.approx(length_m, rel=0.2)
    assert wide_m < 0.5 * long_m


@pytest.mark.parametrize("target", ["dog", "cat"])
def test_an_animal_that_sits_has_its_hind_on_the_ground_and_its_head_up(target):
    standing, sitting = (posed(target, Person(0.0, 0.0, 0.0, 0.0, stride)) for stride in (0.0, -1.0))
    height_m = TARGETS[target].look().height_m

    def hind_m(points_m: np.ndarray) -> float:
        """Median height of the rear of the trunk."""
        return float(np.median(points_m[np.abs(points_m[:, 0] + 0.35 * height_m) < 0.1 * height_m, 2]))

    assert hind_m(sitting) < 0.7 * hind_m(standing)
    assert sitting[:, 2].max() > 0.95 * standing[:, 2].max()


@pytest.mark.parametrize("target", TARGETS)
def test_both_levels_of_detail_have_the_same_outline(target):
    near, far = (posed(target, Person(0.0, 0.0, 0.0, 1.0, 1.0), sides) for sides in (10, 5))
    np.testing.assert_allclose(near.min(axis=0), far.min(axis=0), atol=0.06)
    np.testing.assert_allclose(near.max(axis=0), far.max(axis=0), atol=0.06)


def test_others_of_the_kind_look_different_from_the_target():
    rng = np.random.default_rng(0)
    for target, colour in (("dog", "back"), ("cat", "back"), ("car", "colour"), ("cyclist", "jersey")):
        kind = TARGETS[target]
        wanted = np.array(getattr(kind.look(), colour), float)
        for _ in range(200):
            got = np.array(getattr(kind.other_look(rng), colour), float)
            # Direction of the colour, so that neither is only lighter, or brightness.
            cosine = got @ wanted / np.linalg.norm(got) / np.linalg.norm(wanted)
            assert cosine < 0.985 or np.linalg.norm(got) < 0.6 * np.linalg.norm(wanted)


def test_others_share_the_top_or_the_trousers_of_the_person_in_blue_but_never_both():
    rng = np.random.default_rng(0)

    def is_blue(colour: tuple[int, int, int]) -> bool:
        return colour[2] > 3 * colour[0]

    blue = person_in_blue()
    assert is_blue(blue.top)
    assert is_blue(blue.trousers)
    assert not is_reddish(blue.hair)
    for look in (somewhat_blue(rng) for _ in range(300)):
        assert is_blue(look.top) != is_blue(look.trousers)


# --- motion


def driven(manner, count, seed, others_m=NOBODY_ON_FOOT, duration_s=90.0):
    traffic = Traffic(count, np.random.default_rng(seed), manner)
    places = []
    for _ in range(round(duration_s / STEP_S)):
        traffic.step(STEP_S, others_m)
        places.append(traffic.positions_m[:, :2])
    return np.array(places), traffic


@pytest.mark.parametrize("manner", [CARS, CYCLISTS])
def test_vehicles_keep_to_the_road_turn_wide_and_do_not_leap(manner):
    places_m, _ = driven(manner, 6, 0)
    from_middle_m = np.abs(places_m).max(axis=2) - ROAD_MIDDLE_M
    assert from_middle_m.max() <= manner.lane_m + 1e-9
    assert from_middle_m.min() > -4.0
    moves_m = np.diff(places_m, axis=0)
    speeds_mps = np.linalg.norm(moves_m, axis=2) / STEP_S
    assert speeds_mps.max() <= manner.speeds_mps[1]
    assert np.median(speeds_mps) > 0.6 * manner.speeds_mps[0]
    is_moving = (speeds_mps[1:] > 0.5) & (speeds_mps[:-1] > 0.5)
    yaw = np.unwrap(np.arctan2(moves_m[..., 1], moves_m[..., 0]), axis=0)
    turned_rad_s = np.abs(np.diff(yaw, axis=0)) / STEP_S
    # At most the speed in corners over the radius of the inner lane's.
    assert turned_rad_s[is_moving].max() < 1.2 * manner.corner_mps / manner.corner_m


def test_vehicles_of_a_lane_stay_apart():
    places_m, _ = driven(CARS, 6, 1)
    apart_m = np.linalg.norm(places_m[:, :, np.newaxis] - places_m[:, np.newaxis], axis=3)
    apart_m[:, np.arange(7), np.arange(7)] = math.inf
    assert apart_m.min() > 2 * CARS.lane_m - 0.1  # those that meet


def test_cars_stop_at_times_and_cyclists_ride_on():
    places_m, _ = driven(CARS, 6, 2)
    is_standing = np.linalg.norm(np.diff(places_m, axis=0), axis=2) < 1e-6
    assert 0.02 < is_standing.mean() < 0.5


def test_a_car_stops_for_somebody_in_its_way():
    _, traffic = driven(CARS, 0, 3, duration_s=0.1)
    car = traffic.people[0]
    heading_rad = math.radians(car.heading_deg)
    somebody_m = np.array([[car.x_m + 7.0 * math.cos(heading_rad), car.y_m + 7.0 * math.sin(heading_rad), 0.0]])
    for _ in range(round(10.0 / STEP_S)):
        traffic.step(STEP_S, somebody_m)
    gap_m = math.dist(traffic.positions_m[0, :2], somebody_m[0, :2]) - CARS.length_m / 2
    assert 0.0 < gap_m < 3.0
    assert np.linalg.norm(traffic.hero_velocity_mps) < 0.2


def test_the_velocity_and_the_heading_are_how_a_vehicle_moves():
    _, traffic = driven(CYCLISTS, 0, 4, duration_s=20.0)
    before_m = traffic.positions_m[0]
    traffic.step(STEP_S, NOBODY_ON_FOOT)
    np.testing.assert_allclose(traffic.hero_velocity_mps, (traffic.positions_m[0] - before_m) / STEP_S)
    heading_rad = math.radians(traffic.people[0].heading_deg)
    velocity = traffic.hero_velocity_mps
    assert velocity @ [math.cos(heading_rad), math.sin(heading_rad), 0] == pytest.approx(
        np.linalg.norm(velocity), rel=0.01
    )


@pytest.mark.parametrize("moods", [DOGS_MOODS, CATS_MOODS])
def test_animals_trot_run_rest_and_turn_back_without_leaping_or_touching_a_wall(moods):
    city = build_city(1)
    animals = Roamers(city, 6, np.random.default_rng(0), moods)
    places_m, people = [], []
    for _ in range(round(90.0 / STEP_S)):
        animals.step(STEP_S)
        places_m.append(animals.positions_m[:, :2])
        people.append(animals.people)
    moves_m = np.diff(np.array(places_m), axis=0)
    speeds_mps = np.linalg.norm(moves_m, axis=2) / STEP_S
    assert speeds_mps.max() < max(mood.speeds_mps[1] for mood in moods) + 0.8 + 0.01  # running, and stepping aside
    assert np.mean(speeds_mps < 0.01) > 0.1
    assert np.mean(speeds_mps > 2.5) > 0.02
    assert city.clearance_m(np.array(places_m)).min() > 0.15
    headings = np.array([[animal.heading_deg for animal in step] for step in people])
    in_2_s = (headings[40:] - headings[:-40] + 180) % 360 - 180
    assert np.abs(in_2_s).max() > 170  # turned back
    strides = np.array([[animal.stride for animal in step] for step in people])
    assert strides.min() == -1.0
    assert strides.max() == 1.0


# --- worlds


@pytest.fixture(scope="module", params=[name for name in TARGETS if name != "cat"])
def world(request):
    world = SharedWorld(4, 8, lookalikes=3, target=request.param)
    world.step(1.0)
    return world


def beside(person: Person, away_m: float) -> Pose:
    """A camera on the left of somebody, looking there and down."""
    aside_rad = math.radians(person.heading_deg + 90.0)
    x_m, y_m = person.x_m + away_m * math.cos(aside_rad), person.y_m + away_m * math.sin(aside_rad)
    return Pose(x_m, y_m, 3.0, 0.0, math.degrees(math.atan2(2.5, away_m)), math.degrees(aside_rad) + 180.0)


def test_the_target_is_the_hero_of_the_truth_and_others_of_its_kind_are_people(world):
    target = world.observe(beside(world.walkers.people[0], 5.0))
    assert target.truth.hero_px > 50
    np.testing.assert_array_equal(target.truth.classes == HERO, target.view.person == 0)
    np.testing.assert_allclose(target.truth.hero_position_m, world.walkers.positions_m[0])
    assert target.truth.people_positions_m.shape == (8, 3)
    for number in (1, 2, 3):
        other = world.observe(beside(world.walkers.people[number], 3.0))
        is_other = other.view.person == number
        assert np.count_nonzero(is_other) > 50
        assert (other.truth.classes[is_other] == PEOPLE).all()


def test_a_seed_decides_a_world_of_another_target():
    places_m = []
    for kind, seed in ((SharedWorld, 4), (World, 4), (SharedWorld, 5)):  # seed 4 is built twice
        with kind(seed, 8, lookalikes=3, target="dog") as world:
            world.step(5.0)
            places_m.append(world.walkers.positions_m)
    np.testing.assert_array_equal(places_m[0], places_m[1])
    assert np.abs(places_m[0] - places_m[2]).max() > 1.0


def test_the_usual_number_of_others_is_none_for_the_hero_and_never_more_than_people():
    assert lookalikes_of("hero", None, 30) == 0
    assert lookalikes_of("dog", None, 30) == 6
    assert lookalikes_of("dog", None, 2) == 2
    assert lookalikes_of("dog", 1, 30) == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"target": "horse"}, "target must be one of hero, dog, cat, car, cyclist, person-in-blue, got 'horse'"),
        ({"target": "car", "hides": True}, "expected the hero as a target who hides, got car"),
        ({"target": "car", "lookalikes": 13}, "expected 0 to 12 lookalikes, got 13"),
    ],
)
def test_a_target_that_does_not_exist_or_fit_is_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        World(0, 20, **options)
