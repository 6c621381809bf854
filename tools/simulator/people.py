"""Looks and postures of people: the hero, and others who do not look like the hero; `lookalikes` has those who do."""

from typing import NamedTuple

import numpy as np

Colour = tuple[int, int, int]
"""RGB 0–255 in full sun."""

BALD, SHORT, LONG, BUN = range(4)
"""Hair styles."""
SLEEVELESS, SHORT_SLEEVES, LONG_SLEEVES = range(3)


class Look(NamedTuple):
    """The look of a person.

    Args:
        height_m: from the feet to the top of the head.
        girth: width of the body, 1 is average.
        hair_style: `BALD`, `SHORT`, `LONG` or `BUN`.
        sleeves: `SLEEVELESS`, `SHORT_SLEEVES` or `LONG_SLEEVES`.
        hair, skin, top, trousers, shoes: colours.
        top_pattern, trousers_pattern: variation of the brightness between patches, 0–1.
        has_bare_shins: whether the trousers end at the knees, as a dress does.
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
    has_bare_shins: bool = False


class Person(NamedTuple):
    """Position and posture of a person: world frame, feet on the ground.

    Args:
        x_m, y_m: position of the feet.
        heading_deg: direction of the face: 0 along +x, positive to the left.
        phase_rad: phase of the gait; limbs swing with sin(phase).
        stride: amplitude of the swing, from 0 (standing) to 1 (walking); an animal sits at −1.
    """

    x_m: float
    y_m: float
    heading_deg: float
    phase_rad: float
    stride: float


Choice = tuple[float, Colour]
"""Relative frequency of a colour, and the colour."""

_SKINS: tuple[Choice, ...] = ((1, (215, 170, 140)), (1, (200, 150, 120)), (1, (180, 135, 105)), (0.6, (125, 90, 70)))
_HAIRS: tuple[Choice, ...] = (
    (3, (34, 30, 30)),
    (2, (66, 48, 36)),
    (1.5, (95, 66, 46)),
    (1, (128, 92, 62)),
    (2, (210, 188, 140)),
    (1, (150, 150, 150)),
    (1, (44, 140, 160)),
    (0.4, (150, 90, 48)),
)
_TOPS: tuple[Choice, ...] = (
    (3, (36, 48, 72)),
    (3, (42, 44, 50)),
    (2, (48, 84, 98)),
    (2, (34, 108, 118)),
    (1, (222, 126, 36)),
    (3, (126, 130, 136)),
    (3, (110, 142, 170)),
    (2, (82, 110, 60)),
    (3, (225, 225, 220)),
    (0.5, (120, 84, 62)),
    (0.4, (150, 44, 48)),
    (1, (200, 182, 76)),
)
_TROUSERS: tuple[Choice, ...] = (
    (3, (44, 68, 112)),
    (3, (54, 92, 140)),
    (2, (38, 38, 44)),
    (3, (88, 86, 84)),
    (0.7, (104, 78, 58)),
    (0.7, (60, 42, 34)),
    (2, (152, 144, 126)),
    (2, (56, 76, 68)),
    (0.3, (78, 32, 32)),
)
_SHOES: tuple[Choice, ...] = (
    (3, (36, 36, 40)),
    (1, (74, 56, 44)),
    (2, (200, 200, 200)),
    (1, (60, 72, 92)),
    (0.3, (120, 36, 32)),
)


def hero_look() -> Look:
    """The hero: a woman with long red hair, a red top with dark patches, dark reddish trousers and red shoes.

    The colours are chosen so that the hero, rendered from behind, has the median colours of QuadSim's following frames:
    hair (60–95, 2, 1), top (55–95, 16, 15), trousers (28–40, 18–22, 12), all RGB.
    """
    return Look(
        height_m=1.53,
        girth=1.06,
        hair_style=LONG,
        sleeves=SLEEVELESS,
        hair=(134, 3, 2),
        skin=(108, 90, 83),
        top=(158, 34, 31),
        trousers=(48, 33, 22),
        shoes=(150, 31, 26),
        top_pattern=0.45,
        trousers_pattern=0.4,
    )


def other_look(rng: np.random.Generator) -> Look:
    """Draw the look of another person: at most one of top, trousers and shoes is reddish, and hair is never red."""

    def choose(choices: tuple[Choice, ...]) -> Colour:
        weights = np.array([weight for weight, _ in choices])
        return choices[int(rng.choice(len(choices), p=weights / weights.sum()))][1]

    while True:
        top, trousers, shoes = choose(_TOPS), choose(_TROUSERS), choose(_SHOES)
        if sum(is_reddish(colour) for colour in (top, trousers, shoes)) <= 1:
            break
    return Look(
        height_m=float(rng.uniform(1.6, 1.9)),
        girth=float(rng.uniform(0.9, 1.2)),
        hair_style=int(rng.choice([BALD, SHORT, LONG, BUN], p=[0.08, 0.47, 0.3, 0.15])),
        sleeves=int(rng.integers(3)),
        hair=varied(choose(_HAIRS), rng),
        skin=choose(_SKINS),
        top=varied(top, rng),
        trousers=varied(trousers, rng),
        shoes=shoes,
        top_pattern=float(rng.choice([0.08, 0.2, 0.4])),
        trousers_pattern=float(rng.choice([0.08, 0.2])),
    )


_BLUE, _NAVY, _BLOND = (30, 66, 190), (28, 48, 130), (214, 184, 116)


def person_in_blue() -> Look:
    """A man in a bright blue top and darker blue trousers, with blond hair and white shoes."""
    return hero_look()._replace(
        height_m=1.8,
        hair_style=SHORT,
        sleeves=LONG_SLEEVES,
        hair=_BLOND,
        skin=(200, 150, 120),
        top=_BLUE,
        trousers=_NAVY,
        shoes=(200, 200, 200),
        top_pattern=0.15,
        trousers_pattern=0.15,
    )


def somewhat_blue(rng: np.random.Generator) -> Look:
    """Draw a person in either the top or the trousers of `person_in_blue`."""
    look = other_look(rng)
    while any(blue > 1.5 * red for red, _, blue in (look.top, look.trousers)):
        look = other_look(rng)
    if rng.random() < 0.5:
        return look._replace(sleeves=LONG_SLEEVES, top=varied(_BLUE, rng), top_pattern=0.15)
    return look._replace(trousers=varied(_NAVY, rng))


def is_reddish(colour: Colour) -> bool:
    """Whether a colour resembles the hero's colours."""
    red, green, blue = colour
    return red > 1.9 * max(green, blue)


def varied(colour: Colour, rng: np.random.Generator) -> Colour:
    """Make a colour slightly lighter or darker at random."""
    red, green, blue = np.clip(np.array(colour) * rng.uniform(0.8, 1.2), 0, 255).astype(int).tolist()
    return red, green, blue
