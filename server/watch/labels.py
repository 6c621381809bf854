"""The people in a picture: the position of each person in view, and a label with number and probability above them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from server.flight.session import Situation, Somebody
from server.sight.geometry import Camera, project
from server.wire.messages import Pose

# The label of a person with a lower probability than this shows only the number.
LEAST_SHOWN = 0.01
MOST_LABELS = 50
ABOVE_M = 0.225  # height of a label above the head
FONT, SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42
PADDING_PX, LETTER_PX = 3, 9
GROUND_RGB, TEXT_RGB, QUIET_RGB = (16, 20, 26), (255, 255, 255), (178, 188, 200)
FOLLOWED_RGB, CHOSEN_RGB, REFUSED_RGB = (52, 226, 112), (201, 155, 255), (255, 92, 92)


class Spot(NamedTuple):
    """The position of a person in a picture: u to the right, v down, as shares of width and height in [0, 1].

    `top` is v of the lower edge of the person's label.
    """

    person: Somebody
    u: float
    v: float
    top: float


def spots(people: Iterable[Somebody], camera: Camera, pose: Pose, height_m: float) -> tuple[Spot, ...]:
    """The positions of the people in view, up to `MOST_LABELS`; the likeliest hero last, to be drawn on top.

    Args:
        people: tracked people; people out of view are left out.
        camera: the camera that took the picture.
        pose: of that camera, world frame.
        height_m: height of a body; a person's position is the middle of the body.
    """
    found, rise_m = [], height_m / 2 + ABOVE_M
    in_view = sorted((person for person in people if person.is_in_view), key=lambda person: person.probability)
    for person in in_view[-MOST_LABELS:]:
        at = project(np.array(person.position_m), camera, pose)
        if at is not None:
            top_px = at.v_px - rise_m * camera.focal_px / at.depth_m
            u, v, top = at.u_px / camera.image_width_px, at.v_px / camera.image_px, top_px / camera.image_px
            found.append(Spot(person, *(min(max(share, 0.0), 1.0) for share in (u, v, top))))
    return tuple(found)


def draw_labels(image: np.ndarray, found: Sequence[Spot], situation: Situation, lowest_px: int) -> None:
    """Draw a label above each person into a (H, W, 3) uint8 image.

    Args:
        image: drawn into.
        found: positions of the people.
        situation: says who is followed or chosen; the labels of these have a frame in a colour of its own.
        lowest_px: row below which nothing is drawn.
    """
    for spot in found:
        person = spot.person
        text = words(person)
        (width_px, _), _ = cv2.getTextSize(text, FONT, SCALE, 1)
        width_px, height_px = width_px + 2 * PADDING_PX, LETTER_PX + 2 * PADDING_PX
        left = min(max(round(spot.u * image.shape[1] - width_px / 2), 0), image.shape[1] - width_px - 1)
        top = min(max(round(spot.top * image.shape[0]) - height_px, 0), lowest_px - height_px - 1)
        right, bottom = left + width_px, top + height_px
        cv2.rectangle(image, (left, top), (right, bottom), GROUND_RGB, cv2.FILLED)
        frame_rgb = _frame_rgb(person, situation)
        if frame_rgb is not None:
            cv2.rectangle(image, (left, top), (right, bottom), frame_rgb, 1)
        rgb = QUIET_RGB if frame_rgb is None and person.probability < LEAST_SHOWN else TEXT_RGB
        cv2.putText(image, text, (left + PADDING_PX, bottom - PADDING_PX), FONT, SCALE, rgb, 1, cv2.LINE_AA)
        if person.is_refused:
            middle = (top + bottom) // 2
            cv2.line(image, (left + 2, middle), (right - 2, middle), REFUSED_RGB, 1)


def words(person: Somebody) -> str:
    """A person's label: the number, and the probability unless it is negligible."""
    if person.probability < LEAST_SHOWN:
        return str(person.number)
    return f"{person.number}  {min(round(100 * person.probability), 99)}%"  # 100 % would mean certainty


def as_json(people: Iterable[Somebody], found: Iterable[Spot]) -> list[list[float | None]]:
    """All people in the page's form: short arrays, because they are sent several times a second.

    Args:
        people: tracked people.
        found: positions of people in the latest picture.

    Returns:
        [number, probability, x, y, is in view, is refused, u, v, top] for each person: x and y in metres in the world,
        flags as 0 or 1, and the position in the picture as in `Spot`, null for a person who is not in it.
    """
    places = {spot.person.number: (round(spot.u, 3), round(spot.v, 3), round(spot.top, 3)) for spot in found}
    return [
        [
            person.number,
            round(person.probability, 3),
            round(person.position_m[0], 1),
            round(person.position_m[1], 1),
            int(person.is_in_view),
            int(person.is_refused),
            *places.get(person.number, (None, None, None)),
        ]
        for person in people
    ]


def _frame_rgb(person: Somebody, situation: Situation) -> tuple[int, int, int] | None:
    if person.is_refused:
        return REFUSED_RGB
    if person.number == situation.chosen:
        return CHOSEN_RGB
    if person.number == situation.followed_now:
        return FOLLOWED_RGB
    return None
