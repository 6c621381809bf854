import math

import numpy as np
import pytest

from tools.simulator.bodies import Bodies, as_array
from tools.simulator.people import LONG, Look, Person, hero_look, is_reddish, other_look

SUN = np.array([0.0, 0.0, 1.0])


def others(count: int) -> list[Look]:
    rng = np.random.default_rng(0)
    return [other_look(rng) for _ in range(count)]


def posed(look: Look, person: Person) -> np.ndarray:
    """(V, 3) the person's surface, world frame."""
    ones, zeros = np.ones(1, np.float32), np.zeros(1, np.float32)
    return Bodies([look], sides=10).posed(np.array([0]), as_array([person]), SUN, ones, zeros).points_m[0]


def test_the_hero_has_long_red_hair_a_red_top_and_red_shoes():
    hero = hero_look()
    assert hero.hair_style == LONG
    assert is_reddish(hero.hair)
    assert is_reddish(hero.top)
    assert is_reddish(hero.shoes)


def test_the_heros_trousers_are_dark_with_red_as_the_strongest_colour():
    red, green, blue = hero_look().trousers
    assert max(red, green, blue) < 80
    assert red > max(green, blue)


def test_nobody_else_has_red_hair_or_two_red_things_on():
    for look in others(3000):
        assert not is_reddish(look.hair)
        assert sum(map(is_reddish, (look.top, look.trousers, look.shoes))) <= 1


def test_some_others_wear_one_red_thing():
    assert any(is_reddish(look.top) for look in others(300))


def test_others_are_1_6_to_1_9_m_tall_and_vary():
    heights_m = [look.height_m for look in others(300)]
    assert 1.6 <= min(heights_m) < 1.65
    assert 1.85 < max(heights_m) <= 1.9


def test_looks_follow_the_generator():
    assert other_look(np.random.default_rng(3)) == other_look(np.random.default_rng(3))
    assert other_look(np.random.default_rng(3)) != other_look(np.random.default_rng(4))


@pytest.mark.parametrize("phase_rad", np.linspace(0, 2 * math.pi, 7))
@pytest.mark.parametrize("stride", [0.0, 0.5, 1.0])
def test_the_lower_foot_stands_on_the_ground_all_through_the_gait(phase_rad, stride):
    lowest_m = posed(hero_look(), Person(0, 0, 0, phase_rad, stride))[:, 2].min()
    assert lowest_m == pytest.approx(0.0, abs=0.05)


def test_a_standing_body_is_as_tall_as_the_look_says():
    for look in others(10):
        highest_m = posed(look, Person(0, 0, 0, 0.0, 0.0))[:, 2].max()
        assert highest_m == pytest.approx(look.height_m, abs=0.08)


def test_a_body_stands_where_it_is_put():
    body = posed(hero_look(), Person(12.0, -7.0, 50.0, 1.0, 1.0))
    np.testing.assert_allclose(body[:, :2].mean(axis=0), [12.0, -7.0], atol=0.15)


def test_toes_point_along_the_heading():
    # 90° is along +y: the lowest parts reach further that way than back.
    feet = posed(hero_look(), Person(0, 0, 90.0, 0.0, 0.0))
    feet = feet[feet[:, 2] < 0.1]
    assert feet[:, 1].max() == pytest.approx(0.15, abs=0.05)
    assert feet[:, 1].min() == pytest.approx(-0.07, abs=0.04)


def test_legs_swing_with_the_phase_and_only_when_walking():
    def reach_m(phase_rad: float, stride: float) -> float:
        return np.ptp(posed(hero_look(), Person(0, 0, 0, phase_rad, stride))[:, 0])

    assert reach_m(math.pi / 2, 1.0) > reach_m(math.pi / 2, 0.5) > reach_m(math.pi / 2, 0.0)
    assert reach_m(0.0, 0.0) == reach_m(2.0, 0.0)


def test_half_a_gait_later_left_and_right_have_changed_places():
    now = posed(hero_look(), Person(0, 0, 0, 0.7, 1.0))
    later = posed(hero_look(), Person(0, 0, 0, 0.7 + math.pi, 1.0))

    def legs(points_m: np.ndarray, side: int) -> tuple[float, float]:
        leg = points_m[(points_m[:, 2] < 0.4) & (side * points_m[:, 1] > 0)]
        return leg[:, 0].min(), leg[:, 0].max()

    np.testing.assert_allclose(legs(now, 1), legs(later, -1), atol=1e-5)


def test_brightness_darkens_all_of_a_body():
    bodies = Bodies([hero_look()], sides=6)
    person, nothing = as_array([Person(0, 0, 0, 0, 1)]), np.zeros(1, np.float32)
    sunny = bodies.posed(np.array([0]), person, SUN, np.array([1.0], np.float32), nothing).colours
    shaded = bodies.posed(np.array([0]), person, SUN, np.array([0.4], np.float32), nothing).colours
    np.testing.assert_allclose(shaded, 0.4 * sunny, rtol=1e-5)
