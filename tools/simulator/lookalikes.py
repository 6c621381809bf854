"""People who share a part of the hero's outfit, never all of it. They test whether the right person is followed."""

from collections.abc import Callable

import numpy as np

from tools.simulator.people import (
    LONG,
    LONG_SLEEVES,
    SHORT,
    SHORT_SLEEVES,
    Look,
    hero_look,
    is_reddish,
    other_look,
    varied,
)

MOST_LOOKALIKES = 12
"""Most lookalikes among the people of a world: two of each kind."""

RED_HAIR, RED_TOP, MAN, CHILD, DRESS, CROSSER = KINDS = range(6)
"""Kinds of lookalikes: the hero's hair with another top; the hero's top with brown hair; the hero's clothes on a man; a
reddish child; a woman with reddish-brown hair in a plain red dress; and somebody who crosses close to the hero now and
then, half of the time with the look of another kind and half of the time with a look like anybody's."""

_BROWN = (95, 66, 46)
_REDDISH_BROWN = (120, 44, 26)
_DENIM = (54, 92, 140)
_WHITE = (200, 200, 200)


def deal(count: int, rng: np.random.Generator) -> list[int]:
    """Deal kinds to lookalikes: a random order of all kinds, repeated.

    Raises:
        ValueError: if `count` is not from 0 to `MOST_LOOKALIKES`.
    """
    if not 0 <= count <= MOST_LOOKALIKES:
        raise ValueError(f"expected 0 to {MOST_LOOKALIKES} lookalikes, got {count}")
    order = rng.permutation(KINDS).tolist()
    return [order[number % len(order)] for number in range(count)]


def lookalike(kind: int, rng: np.random.Generator) -> Look:
    """Draw the look of a lookalike of a kind."""
    if kind == CROSSER:
        return lookalike(int(rng.choice(list(_DRESSED))), rng) if rng.random() < 0.5 else other_look(rng)
    return _DRESSED[kind](rng)


def _red_hair(rng: np.random.Generator) -> Look:
    look = other_look(rng)
    while is_reddish(look.top):
        look = other_look(rng)
    hero = hero_look()
    return look._replace(height_m=_between(1.5, 1.7, rng), hair_style=hero.hair_style, hair=varied(hero.hair, rng))


def _red_top(rng: np.random.Generator) -> Look:
    hero, hair = hero_look(), varied(_BROWN, rng)
    return other_look(rng)._replace(
        height_m=_between(1.5, 1.7, rng),
        hair_style=LONG,
        hair=hair,
        sleeves=hero.sleeves,
        top=varied(hero.top, rng),
        top_pattern=hero.top_pattern,
    )


def _man(rng: np.random.Generator) -> Look:
    return hero_look()._replace(
        height_m=_between(1.75, 1.9, rng),
        girth=_between(1.25, 1.35, rng),
        hair_style=SHORT,
        hair=varied(_BROWN, rng),
    )


def _child(rng: np.random.Generator) -> Look:
    return hero_look()._replace(
        height_m=_between(1.0, 1.25, rng),
        girth=_between(0.95, 1.05, rng),
        hair_style=int(rng.choice([SHORT, LONG])),
        sleeves=SHORT_SLEEVES,
        hair=varied(_REDDISH_BROWN, rng),
        top=varied(hero_look().top, rng),
        trousers=varied(_DENIM, rng),
        shoes=_WHITE,
        top_pattern=0.2,
    )


def _dress(rng: np.random.Generator) -> Look:
    red = varied(hero_look().top, rng)
    return hero_look()._replace(
        height_m=_between(1.6, 1.75, rng),
        girth=_between(0.95, 1.1, rng),
        sleeves=int(rng.choice([SHORT_SLEEVES, LONG_SLEEVES])),
        hair=varied(_REDDISH_BROWN, rng),
        top=red,
        trousers=red,
        top_pattern=0.08,
        trousers_pattern=0.08,
        has_bare_shins=True,
    )


_DRESSED: dict[int, Callable[[np.random.Generator], Look]] = {
    RED_HAIR: _red_hair,
    RED_TOP: _red_top,
    MAN: _man,
    CHILD: _child,
    DRESS: _dress,
}


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    return float(rng.uniform(low, high))
