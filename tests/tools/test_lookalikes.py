"""Lookalikes share a part of the hero's outfit, each kind its own, and never all of it."""

import numpy as np
import pytest

from tools.simulator.lookalikes import (
    CHILD,
    CROSSER,
    DRESS,
    KINDS,
    MAN,
    MOST_LOOKALIKES,
    RED_HAIR,
    RED_TOP,
    deal,
    lookalike,
)
from tools.simulator.people import LONG, SHORT, Look, hero_look, is_reddish

HERO = hero_look()


def drawn(kind: int, count: int = 100) -> list[Look]:
    rng = np.random.default_rng(1)
    return [lookalike(kind, rng) for _ in range(count)]


def similar(one, other) -> bool:
    """Whether two colours differ by at most a fifth, the variation of clothes of the same kind."""
    return bool((np.abs(np.array(one) - other) <= 0.2 * np.array(other) + 1).all())


@pytest.mark.parametrize("seed", range(5))
def test_six_are_one_of_each_kind_and_twelve_two(seed):
    rng = np.random.default_rng(seed)
    assert sorted(deal(6, rng)) == list(KINDS)
    assert sorted(deal(12, rng)) == sorted([*KINDS, *KINDS])


def test_the_seed_decides_the_order_and_fewer_are_the_first_of_more():
    orders = {tuple(deal(6, np.random.default_rng(seed))) for seed in range(20)}
    assert len(orders) > 10
    assert deal(6, np.random.default_rng(3))[:2] == deal(2, np.random.default_rng(3))


@pytest.mark.parametrize("count", [-1, MOST_LOOKALIKES + 1])
def test_a_number_of_lookalikes_out_of_range_is_refused(count):
    with pytest.raises(ValueError, match=f"expected 0 to 12 lookalikes, got {count}"):
        deal(count, np.random.default_rng(0))


def test_red_hair_comes_with_another_top():
    for look in drawn(RED_HAIR):
        assert similar(look.hair, HERO.hair)
        assert look.hair_style == LONG
        assert not is_reddish(look.top)


def test_the_red_top_comes_with_brown_hair():
    for look in drawn(RED_TOP):
        assert similar(look.top, HERO.top)
        assert not is_reddish(look.hair)


def test_a_man_in_the_heros_clothes_has_short_hair_and_is_taller_and_broader():
    for look in drawn(MAN):
        assert (look.top, look.trousers, look.shoes) == (HERO.top, HERO.trousers, HERO.shoes)
        assert look.hair_style == SHORT
        assert not is_reddish(look.hair)
        assert look.height_m > HERO.height_m + 0.2
        assert look.girth > HERO.girth + 0.15


def test_a_reddish_child_is_small_and_wears_jeans():
    for look in drawn(CHILD):
        assert is_reddish(look.hair)
        assert is_reddish(look.top)
        assert look.height_m <= 1.25
        red, _, blue = look.trousers
        assert blue > red


def test_the_dress_is_plain_red_down_to_the_knees():
    for look in drawn(DRESS):
        assert similar(look.top, HERO.top)
        assert look.trousers == look.top
        assert look.has_bare_shins
        assert look.top_pattern < 0.1
        assert is_reddish(look.hair)
        assert look.hair[1] > 30  # reddish brown, not the hero's red


def test_half_of_the_crossers_look_like_lookalikes():
    looks = drawn(CROSSER, 400)
    alike = sum(sum(map(is_reddish, (look.hair, look.top))) > 0 for look in looks)
    assert 0.4 < alike / len(looks) < 0.6


def test_nobody_has_the_heros_hair_top_and_size():
    for kind in KINDS:
        for look in drawn(kind):
            same_hair = similar(look.hair, HERO.hair)
            same_top = similar(look.top, HERO.top)
            same_size = abs(look.height_m - HERO.height_m) < 0.2
            assert not (same_hair and same_top and same_size)
