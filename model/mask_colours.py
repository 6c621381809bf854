"""The colour of each class in masks, for one target or several.

Surroundings are red, others green and the target blue, as in the original tool. The second, third and fourth target of
a network are yellow, magenta and cyan.
"""

import numpy as np

from model.scoring import HERO, mask_of_one_target

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255))
"""By the number of the class: surroundings, others, first target, second …"""
NAMES = ("red", "green", "blue", "yellow", "magenta", "cyan")
MOST_TARGETS = len(COLOURS) - HERO

_NONE = 255
_CODE = np.array([1, 2, 4], np.uint8)  # code of each channel; a colour's code is the sum over its channels of 255
_NUMBERS = np.full(8, _NONE, np.uint8)
for _number, _colour in enumerate(COLOURS):
    _NUMBERS[int(np.array(_colour, np.uint8).astype(bool) @ _CODE)] = _number


def class_numbers(mask: np.ndarray, targets: int = 1) -> np.ndarray:
    """The class of each pixel of a mask.

    Args:
        mask: (H, W, 3) uint8.
        targets: number of targets that it may show.

    Returns:
        (H, W) uint8: 0 surroundings, 1 others, 2 the first target, 3 the second …

    Raises:
        ValueError: if a pixel has another colour; the message says what was expected.
    """
    numbers = _NUMBERS[(mask.astype(bool) * _CODE).sum(axis=-1, dtype=np.uint8)]
    if ((mask == 0) | (mask == 255)).all() and (numbers < HERO + targets).all():
        return numbers
    if targets == 1:
        raise ValueError("expected exactly one class per pixel (one channel 255, the others 0)")
    *first, last = NAMES[: HERO + targets]
    raise ValueError(f"expected exactly one class per pixel ({', '.join(first)} or {last})")


def with_one_target(mask: np.ndarray, target: int, targets: int) -> np.ndarray:
    """Convert a mask of several targets to a mask of one target, in blue. The other targets become people, in green.

    Args:
        mask: (H, W, 3) uint8.
        target: class number of that target.
        targets: number of targets that the mask may show.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: as `class_numbers`.
    """
    return np.array(COLOURS, np.uint8)[mask_of_one_target(class_numbers(mask, targets), target)]
