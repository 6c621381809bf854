import math
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from model.scoring import HERO, PEOPLE, SURROUNDINGS
from server.sight.geometry import QUADSIM_CAMERA, pixel_to_world, project
from server.wire.messages import Pose
from tools.simulator.block import Building, Wall
from tools.simulator.city import City, build_city
from tools.simulator.frames import ground_depth_m
from tools.simulator.numbering import MOST_LOOKS
from tools.simulator.people import Look, Person, hero_look, other_look
from tools.simulator.scene import NOBODY, Scene, View

DEPTH_STEP_M = 100 / 255
"""What the depth image on the wire resolves."""

AWAY = Person(500.0, 500.0, 0.0, 0.0, 0.0)
HOUSE = Building(x_m=30.0, y_m=0.0, length_m=20.0, width_m=8.0, yaw_deg=90.0, height_m=9.0, roof_m=0.0, style=0)
"""Its front is the plane x = 26."""


def looks(others: int) -> list[Look]:
    rng = np.random.default_rng(1)
    return [hero_look()] + [other_look(rng) for _ in range(others)]


def empty_city(**standing: tuple) -> City:
    """A lawn with the given objects only."""
    nothing = {"areas": (), "kerbs_m": (), "buildings": (), "walls": (), "trees": (), "planters": ()}
    return City(5, np.zeros((1, 2)), (), np.zeros((1, 3)), **{**nothing, **standing})


@pytest.fixture(scope="module")
def block() -> City:
    return build_city(0)


@pytest.fixture(scope="module")
def block_scene(block: City) -> Iterator[Scene]:
    """That block, the hero and four others."""
    scene = Scene(block, looks(4))
    yield scene
    scene.close()


@pytest.fixture(scope="module")
def lawn() -> Iterator[Scene]:
    """A lawn with a house, the hero and two others."""
    scene = Scene(empty_city(buildings=(HOUSE,)), looks(2))
    yield scene
    scene.close()


@pytest.fixture(scope="module")
def meadow() -> Iterator[Scene]:
    """A lawn with the hero alone."""
    scene = Scene(empty_city(), looks(0))
    yield scene
    scene.close()


def hero_at(scene: Scene, x_m: float, y_m: float, pose: Pose, heading_deg: float = 0.0) -> View:
    return scene.render(pose, [Person(x_m, y_m, heading_deg, 1.0, 1.0), AWAY, AWAY])


@pytest.mark.parametrize(
    ("x_m", "y_m", "pose"),
    [
        (5.0, 0.0, Pose(0, 0, 3, 0, 25, 0)),
        (12.0, 3.0, Pose(0, 0, 5, 0, 20, 5)),
        (-8.0, -4.0, Pose(2, 1, 6, 0, 25, -155)),
        (4.0, 1.0, Pose(0, 0, 3, 12, 30, 10)),
        (20.0, -6.0, Pose(0, 0, 4, 0, 10, -10)),
    ],
)
def test_a_person_is_seen_where_geometry_says_and_as_far_away(lawn, x_m, y_m, pose):
    view = hero_at(lawn, x_m, y_m, pose)
    rows, columns = np.nonzero(view.classes == HERO)
    middle = project(np.array([x_m, y_m, hero_look().height_m / 2]), QUADSIM_CAMERA, pose)
    height_px = hero_look().height_m * QUADSIM_CAMERA.focal_px / middle.depth_m
    assert columns.mean() + 0.5 == pytest.approx(middle.u_px, abs=1 + 0.06 * height_px)
    assert (rows.min() + rows.max() + 1) / 2 == pytest.approx(middle.v_px, abs=1 + 0.08 * height_px)
    assert np.median(view.depth_m[rows, columns]) == pytest.approx(middle.depth_m, abs=DEPTH_STEP_M)


def test_every_pixel_of_a_person_lies_on_the_person(lawn):
    pose = Pose(0, 0, 3, 0, 25, 0)
    view = hero_at(lawn, 5.0, 0.5, pose)
    for row, column in np.argwhere(view.classes == HERO):
        point = pixel_to_world((column + 0.5, row + 0.5), float(view.depth_m[row, column]), QUADSIM_CAMERA, pose)
        assert np.hypot(point[0] - 5.0, point[1] - 0.5) < 0.8
        assert -0.15 < point[2] < hero_look().height_m + 0.1


@pytest.mark.parametrize("pose", [Pose(0, 0, 4, 0, 80, 30), Pose(1, 2, 5, 0, 30, 120), Pose(-3, 1, 6, 8, 15, 200)])
def test_the_depth_of_the_ground_is_that_of_the_plane(lawn, pose):
    view = lawn.render(pose, [AWAY] * 3)
    expected_m = ground_depth_m(QUADSIM_CAMERA, pose)
    expected_m[expected_m >= QUADSIM_CAMERA.far_m] = np.inf
    np.testing.assert_allclose(view.depth_m, expected_m, rtol=1e-4)


def test_the_depth_of_a_wall_is_that_of_its_plane(lawn):
    view = lawn.render(Pose(6.0, 0.0, 3.0, 0, 0, 0), [AWAY] * 3)
    # Rows 80 to 120 look at the front (x = 26), above the plinth and below the eaves: 20 m along the optical axis.
    front_m = view.depth_m[80:120, 60:196]
    assert np.abs(front_m - 20.0).max() < DEPTH_STEP_M


def test_an_oblique_wall_is_where_it_should_be(lawn):
    pose = Pose(10.0, 10.0, 3.0, 0, 0, -40)
    view = lawn.render(pose, [AWAY] * 3)
    points = np.array(
        [
            pixel_to_world((column + 0.5, 100.5), float(view.depth_m[100, column]), QUADSIM_CAMERA, pose)
            for column in range(20, 150, 5)
        ]
    )
    np.testing.assert_allclose(points[:, 0], 26.0, atol=DEPTH_STEP_M)


def test_what_is_beyond_the_far_plane_and_the_sky_have_no_depth(lawn):
    view = lawn.render(Pose(0, 0, 3, 0, 0, 180), [AWAY] * 3)
    assert np.all(np.isinf(view.depth_m[:128]))
    assert np.nanmax(view.depth_m[np.isfinite(view.depth_m)]) <= 100.0


def test_behind_a_house_the_hero_is_hidden_yet_counted(lawn):
    pose = Pose(0, 0, 3, 0, 0, 0)
    view = hero_at(lawn, 40.0, 0.0, pose)
    assert np.count_nonzero(view.classes == HERO) == 0
    assert view.hero_unoccluded_px > 10


def test_in_the_open_all_of_the_hero_counts(lawn):
    view = hero_at(lawn, 8.0, 0.0, Pose(0, 0, 3, 0, 15, 0))
    assert view.hero_unoccluded_px == np.count_nonzero(view.classes == HERO) > 100


@pytest.mark.parametrize("x_m", [-8.0, 120.0])
def test_out_of_view_the_hero_has_no_pixels(lawn, x_m):
    view = hero_at(lawn, x_m, 0.0, Pose(0, 20, 3, 0, 0, 0))
    assert view.hero_unoccluded_px == 0
    assert not np.any(view.classes == HERO)


def test_half_behind_a_wall_the_hero_loses_pixels():
    wall = Wall(x_m=7.0, y_m=0.0, length_m=6.0, width_m=0.5, yaw_deg=90.0, height_m=0.9)
    scene = Scene(empty_city(walls=(wall,)), looks(0))
    view = scene.render(Pose(0, 0, 1.5, 0, 0, 0), [Person(8.5, 0, 0, 0, 0)])
    scene.close()
    visible_px = np.count_nonzero(view.classes == HERO)
    assert 0.2 * view.hero_unoccluded_px < visible_px < 0.8 * view.hero_unoccluded_px


@pytest.mark.parametrize("distance_m", [25.0, 50.0, 75.0, 95.0])
def test_people_are_drawn_at_any_distance_up_to_the_far_plane(meadow, distance_m):
    view = meadow.render(Pose(0, 0, 4, 0, 0, 0), [Person(distance_m, 0.0, 0.0, 1.0, 1.0)])
    rows, columns = np.nonzero(view.classes == HERO)
    expected_px = hero_look().height_m * QUADSIM_CAMERA.focal_px / distance_m
    assert np.ptp(rows) + 1 == pytest.approx(expected_px, abs=2)
    assert np.ptp(columns) + 1 >= 1


def test_the_nearer_of_two_people_is_seen_and_each_has_their_number(lawn):
    people = [Person(10.0, 0.0, 0, 0, 0), Person(8.0, 0.0, 0, 0, 0), Person(8.0, 2.0, 0, 0, 0)]
    view = lawn.render(Pose(0, 0, 1.2, 0, 0, 0), people)
    assert view.person[128, 128] == 1
    assert view.classes[128, 128] == PEOPLE
    beside = project(np.array([8.0, 2.0, 1.0]), QUADSIM_CAMERA, Pose(0, 0, 1.2, 0, 0, 0))
    assert view.person[int(beside.v_px), int(beside.u_px)] == 2
    np.testing.assert_array_equal(view.person == NOBODY, view.classes == SURROUNDINGS)
    np.testing.assert_array_equal(view.person == 0, view.classes == HERO)


def test_people_change_colours_only_where_the_masks_say(block, block_scene):
    x_m, y_m, z_m = block.patrol_points_m[0]
    pose = Pose(x_m, y_m, z_m, 0, 30, 40)
    ahead = [
        Person(x_m + away_m * math.cos(0.7), y_m + away_m * math.sin(0.7), 50.0 * away_m, away_m, 1.0)
        for away_m in (3.0, 5.0, 8.0, 12.0, 17.0)
    ]
    crowded, empty = block_scene.render(pose, ahead), block_scene.render(pose, [AWAY] * 5)
    changed = np.any(crowded.rgb != empty.rgb, axis=-1)
    is_person = crowded.classes != SURROUNDINGS
    assert not np.any(changed & ~is_person)
    assert np.count_nonzero(changed) > 0.95 * np.count_nonzero(is_person) > 100
    np.testing.assert_array_equal(crowded.depth_m[~is_person], empty.depth_m[~is_person])


def test_from_behind_the_hero_looks_as_in_quadsim(lawn):
    # Medians of 215 frames of following_images: rows 92 to 177, 1455 pixels, hair (60–95, 2, 1), top (55–95, 16, 15).
    view = hero_at(lawn, 2.0, 12.0, Pose(0.0, 12.0, 3.0, 0, 45, 0))
    rows, _ = np.nonzero(view.classes == HERO)
    assert rows.min() == pytest.approx(92, abs=5)
    assert rows.max() == pytest.approx(177, abs=14)
    assert len(rows) == pytest.approx(1455, rel=0.25)
    upper = (view.classes == HERO) & (np.arange(256)[:, np.newaxis] < rows.min() + 0.6 * np.ptp(rows))
    red, green, blue = np.median(view.rgb[upper], axis=0)
    assert 35 < red < 130
    assert red > 3 * max(green, blue)


def test_nobody_else_has_a_red_head_on_a_red_top():
    everybody = looks(40)
    scene = Scene(empty_city(), everybody)
    pose = Pose(0, 0, 3, 0, 45, 0)

    def red_share(number: int) -> float:
        """Share of red pixels in the first or the second quarter of a person from above, the smaller share."""
        people = [AWAY] * len(everybody)
        people[number] = Person(2.0, 0.0, 0.0, 1.0, 1.0)
        view = scene.render(pose, people)
        red, green, blue = np.moveaxis(view.rgb.astype(int), -1, 0)
        is_red = (red > 30) & (red > 2 * np.maximum(green, blue))
        rows, columns = np.nonzero(view.person == number)
        quarter = (rows - rows.min()) * 4 // (np.ptp(rows) + 1)
        return float(min(is_red[rows, columns][quarter == part].mean() for part in (0, 1)))

    hero, *others = (red_share(number) for number in range(len(everybody)))
    scene.close()
    assert hero > 0.6
    assert max(others) < 0.4


def test_in_the_shade_the_hero_is_darker():
    scene = Scene(empty_city(buildings=(HOUSE,)), looks(0))
    # Around the house some places lie in its shadow and some in the sun, wherever the sun stands.
    around = [(24.0, 0.0, 0.0), (36.0, 0.0, 180.0), (30.0, 12.5, -90.0), (30.0, -12.5, 90.0)]
    brightness = []
    for x_m, y_m, yaw_deg in around:
        back = math.radians(yaw_deg)
        pose = Pose(x_m - 2 * math.cos(back), y_m - 2 * math.sin(back), 3.0, 0, 45, yaw_deg)
        view = scene.render(pose, [Person(x_m, y_m, 90.0, 0, 0)])
        brightness.append(view.rgb[view.classes == HERO].mean())
    scene.close()
    assert min(brightness) < 0.6 * max(brightness)


def test_a_seed_gives_the_same_pixels_and_another_seed_others(block, block_scene):
    x_m, y_m, z_m = block.patrol_points_m[1]
    pose, people = Pose(x_m, y_m, z_m, 0, 20, 70), [Person(x_m + 3, y_m + 5, 10, 1, 1), *[AWAY] * 4]
    first = block_scene.render(pose, people)
    views = []
    for seed in (0, 1):
        scene = Scene(build_city(seed), looks(4))
        views.append(scene.render(pose, people))
        scene.close()
    again, other = views
    np.testing.assert_array_equal(first.rgb, again.rgb)
    np.testing.assert_array_equal(first.depth_m, again.depth_m)
    np.testing.assert_array_equal(first.classes, again.classes)
    assert np.mean(first.rgb != other.rgb) > 0.5


def test_two_scenes_in_turn_show_what_each_would_alone(lawn):
    pose, here, there = Pose(0, 0, 4, 0, 20, 0), Person(8, 1, 20, 1, 1), Person(6, -2, 200, 2, 1)
    alone = lawn.render(pose, [here, there, AWAY])
    other = Scene(empty_city(), looks(1), px=128)
    for yaw_deg in (0.0, 90.0):
        others_view = other.render(Pose(0, 0, 4, 0, 20, yaw_deg), [there, here])
        assert others_view.rgb.shape == (128, 128, 3)
        beside_other = lawn.render(pose, [here, there, AWAY])
        np.testing.assert_array_equal(alone.rgb, beside_other.rgb)
        np.testing.assert_array_equal(alone.person, beside_other.person)
    other.close()
    np.testing.assert_array_equal(alone.rgb, lawn.render(pose, [here, there, AWAY]).rgb)


def test_a_view_has_the_types_that_it_promises(lawn):
    view = hero_at(lawn, 5.0, 0.0, Pose(0, 0, 3, 0, 25, 0))
    assert (view.rgb.shape, view.rgb.dtype) == ((256, 256, 3), np.uint8)
    assert (view.depth_m.shape, view.depth_m.dtype) == ((256, 256), np.float32)
    assert (view.classes.dtype, view.person.dtype) == (np.uint8, np.uint8)


def view_of_patrol(scene, city):
    """A view from the first point of a patrol, people at 4 to 13 m."""
    x_m, y_m, z_m = city.patrol_points_m[0]
    people = [Person(x_m + away_m, y_m + 1, 30 * away_m, away_m, 1) for away_m in (4, 6, 9, 13)]
    return scene.render(Pose(x_m, y_m, z_m, 0, 30, 0), [*people, AWAY])


def view_by_opengl(city):
    return view_of_patrol(Scene(city, looks(4), opengl=True), city)


def test_opengl_shows_what_the_software_renderer_shows(block, block_scene):
    # In a process of its own, as in use: in the suite's, after TensorFlow, Mesa crashes.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            by_opengl = pool.submit(view_by_opengl, block).result()
        except RuntimeError as error:
            if "expected Panda3D" not in str(error):
                raise
            pytest.skip(f"no OpenGL here: {error}")
    in_software = view_of_patrol(block_scene, block)
    assert np.mean(in_software.classes == by_opengl.classes) > 0.99
    assert np.mean(np.abs(in_software.rgb.astype(int) - by_opengl.rgb)) < 8


def test_the_number_of_people_must_be_that_of_the_looks(lawn):
    with pytest.raises(ValueError, match="expected 3 people, the number of looks, got 1"):
        lawn.render(Pose(0, 0, 3, 0, 0, 0), [AWAY])


@pytest.mark.parametrize("count", [0, MOST_LOOKS + 1])
def test_the_number_of_looks_has_limits(count):
    with pytest.raises(ValueError, match=f"expected 1 to {MOST_LOOKS} looks, got {count}"):
        Scene(empty_city(), [hero_look()] * count)
