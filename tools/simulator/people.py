"""How people look and stand: the hero, and others who never look like the hero."""

from typing import NamedTuple

import numpy as np

Colour = tuple[int, int, int]
"""RGB 0–255, as in full sun."""

BALD, SHORT, LONG, BUN = range(4)
"""How hair is worn."""
SLEEVELESS, SHORT_SLEEVES, LONG_SLEEVES = range(3)


class Look(NamedTuple):
    """What someone looks like.

    Args:
        height_m: from the feet to the top of the head.
        girth: how stout, 1 is average.
        hair_style: `BALD`, `SHORT`, `LONG` or `BUN`.
        sleeves: `SLEEVELESS`, `SHORT_SLEEVES` or `LONG_SLEEVES`.
        hair, skin, top, trousers, shoes: their colours.
        top_pattern, trousers_pattern: how much their brightness varies from patch to patch, 0–1.
        is_hero: whether this is the one to follow.
    """

    height_m: float
    girth: float
    hair_style: int
    sleeves: int
    hair: Colour
    skin: Colour
    top: Colour
    trousers: Colour
    shoes: Colour
    top_pattern: float
    trousers_pattern: float
    is_hero: bool = False


class Person(NamedTuple):
    """Where someone stands, and how: world frame, feet on the ground.

    Args:
        x_m, y_m: place of the feet.
        heading_deg: where they face: 0 along +x, positive turned to the left.
        phase_rad: of the gait; limbs swing with sin(phase).
        stride: amplitude of the swing, from 0 standing to 1 walking.
    """

    x_m: float
    y_m: float
    heading_deg: float
    phase_rad: float
    stride: float


_SKINS: tuple[Colour, ...] = ((205, 160, 130), (190, 140, 110), (170, 125, 95), (120, 85, 65))
_HAIRS: tuple[Colour, ...] = (
    (30, 26, 26),
    (60, 42, 30),
    (85, 55, 35),
    (120, 80, 50),
    (200, 175, 125),
    (140, 140, 140),
    (40, 130, 150),
    (150, 85, 40),
)
_TOPS: tuple[Colour, ...] = (
    (30, 40, 62),
    (35, 36, 40),
    (40, 70, 82),
    (30, 95, 105),
    (210, 115, 30),
    (110, 112, 116),
    (95, 125, 150),
    (70, 95, 50),
    (215, 215, 210),
    (110, 75, 55),
    (150, 40, 45),
    (190, 170, 60),
)
_TROUSERS: tuple[Colour, ...] = (
    (35, 55, 95),
    (40, 75, 120),
    (32, 32, 36),
    (75, 72, 68),
    (95, 68, 48),
    (55, 36, 28),
    (140, 130, 112),
    (45, 62, 55),
    (75, 30, 30),
)
_SHOES: tuple[Colour, ...] = ((30, 30, 32), (70, 50, 38), (190, 190, 190), (50, 60, 80), (120, 35, 30))


def hero_look() -> Look:
    """The hero: a woman with long red hair, a red top with dark patches, dark trousers with red in them, red shoes.

    The colours bring the rendered hero, behind whom a drone flies, to the medians that QuadSim's following frames show:
    hair (60–95, 2, 1), top (55–95, 16, 15), trousers (28–40, 18–22, 12), all RGB.
    """
    return Look(
        height_m=1.7,
        girth=0.97,
        hair_style=LONG,
        sleeves=SLEEVELESS,
        hair=(150, 3, 2),
        skin=(130, 108, 98),
        top=(205, 24, 22),
        trousers=(62, 26, 18),
        shoes=(215, 28, 22),
        top_pattern=0.45,
        trousers_pattern=0.4,
        is_hero=True,
    )


def other_look(rng: np.random.Generator) -> Look:
    """Somebody else. A reddish top, trousers or shoes may occur, but only one of them, and never red hair."""

    def choose(colours: tuple[Colour, ...]) -> Colour:
        return colours[int(rng.integers(len(colours)))]

    while True:
        top, trousers, shoes = choose(_TOPS), choose(_TROUSERS), choose(_SHOES)
        if sum(is_reddish(colour) for colour in (top, trousers, shoes)) <= 1:
            break
    return Look(
        height_m=float(rng.uniform(1.6, 1.9)),
        girth=float(rng.uniform(0.9, 1.2)),
        hair_style=int(rng.choice([BALD, SHORT, LONG, BUN], p=[0.08, 0.47, 0.3, 0.15])),
        sleeves=int(rng.integers(3)),
        hair=_varied(choose(_HAIRS), rng),
        skin=choose(_SKINS),
        top=_varied(top, rng),
        trousers=_varied(trousers, rng),
        shoes=shoes,
        top_pattern=float(rng.choice([0.08, 0.2, 0.4])),
        trousers_pattern=float(rng.choice([0.08, 0.2])),
    )


def is_reddish(colour: Colour) -> bool:
    """Whether a colour could pass for one of the hero's."""
    red, green, blue = colour
    return red > 1.9 * max(green, blue)


def _varied(colour: Colour, rng: np.random.Generator) -> Colour:
    """A little lighter or darker."""
    red, green, blue = np.clip(np.array(colour) * rng.uniform(0.8, 1.2), 0, 255).astype(int).tolist()
    return red, green, blue
