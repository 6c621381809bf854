"""Labels of people in a picture: who gets one, where, and with which words."""

import numpy as np
import pytest

from server.flight.session import Situation, Somebody
from server.flight.tracks import TrackState
from server.sight.geometry import QUADSIM_CAMERA, Camera, pixel_to_world
from server.watch.labels import (
    CHOSEN_RGB,
    FOLLOWED_RGB,
    GROUND_RGB,
    MOST_LABELS,
    REFUSED_RGB,
    draw_labels,
    spots,
    words,
)
from server.wire.messages import Pose

POSE = Pose(0.0, 0.0, 5.0, 0.0, 20.0, 0.0)
LOWEST_PX = 472
HEIGHT_M = 1.75


def somebody(number=1, probability=0.5, pixel_px=(128.0, 128.0), depth_m=12.0, **changes) -> Somebody:
    """A person whom the camera sees at a pixel."""
    position_m = pixel_to_world(pixel_px, depth_m, QUADSIM_CAMERA, POSE)
    return Somebody(number, probability, tuple(position_m), True, False)._replace(**changes)


def situation(**changes) -> Situation:
    return Situation(
        TrackState.PATROL, False, False, None, None, None, (), None, None, False, (0.7, 0.7, 2.0)
    )._replace(**changes)


def drawn(*people: Somebody, **changes) -> np.ndarray:
    """(512, 512, 3) uint8: a grey picture with their labels."""
    image = np.full((512, 512, 3), 100, np.uint8)
    draw_labels(image, spots(people, QUADSIM_CAMERA, POSE, HEIGHT_M), situation(people=people, **changes), LOWEST_PX)
    return image


def has(image: np.ndarray, rgb) -> bool:
    return bool((image == rgb).all(axis=-1).any())


def test_a_spot_is_where_the_camera_sees_a_person_and_its_label_is_above_the_head():
    (spot,) = spots([somebody(pixel_px=(192.0, 160.0))], QUADSIM_CAMERA, POSE, HEIGHT_M)
    assert (spot.u, spot.v) == pytest.approx((0.75, 0.625))
    assert spot.top == pytest.approx((160 - 1.1 * QUADSIM_CAMERA.focal_px / 12.0) / 256)


def test_a_spot_in_a_wide_picture_is_a_share_of_its_width():
    camera = Camera(width_px=512)
    position_m = tuple(pixel_to_world((384.0, 128.0), 12.0, camera, POSE))
    (spot,) = spots([somebody(position_m=position_m)], camera, POSE, HEIGHT_M)
    assert (spot.u, spot.v) == pytest.approx((0.75, 0.5))


def test_who_is_out_of_view_or_behind_the_camera_has_no_spot_and_who_is_cut_off_has_one_at_the_edge():
    assert (
        spots([somebody(is_in_view=False), somebody(position_m=(-9.0, 0.0, 5.0))], QUADSIM_CAMERA, POSE, HEIGHT_M) == ()
    )
    (spot,) = spots([somebody(pixel_px=(-3.0, 259.0))], QUADSIM_CAMERA, POSE, HEIGHT_M)
    assert (spot.u, spot.v) == (0.0, 1.0)


def test_the_likeliest_are_drawn_last_and_of_too_many_only_they():
    people = [somebody(number, 1 / number) for number in range(1, 101)]
    found = spots(people, QUADSIM_CAMERA, POSE, HEIGHT_M)
    assert [spot.person.number for spot in found] == list(range(MOST_LABELS, 0, -1))


@pytest.mark.parametrize(
    ("probability", "text"), [(0.0, "7"), (0.0099, "7"), (0.01, "7  1%"), (0.934, "7  93%"), (0.9999, "7  99%")]
)
def test_a_label_has_the_number_and_a_probability_that_matters(probability, text):
    assert words(somebody(7, probability)) == text


def test_labels_are_on_dark_ground_above_the_person_and_leave_the_rest():
    image = drawn(somebody(3, 0.97))
    dark = (image == GROUND_RGB).all(axis=-1)
    rows, columns = np.nonzero(dark)
    assert rows.max() < 256 - 2 * 1.1 * QUADSIM_CAMERA.focal_px / 12 + 1
    assert abs(columns.mean() - 256) < 12
    assert image.max() > 240, "white letters"
    assert (image[260:] == 100).all()


@pytest.mark.parametrize("pixel_px", [(0.5, 0.5), (255.5, 0.5), (0.5, 255.5), (255.5, 255.5)])
def test_a_label_at_an_edge_stays_within_the_picture_and_above_the_caption(pixel_px):
    image = drawn(somebody(123, 0.5, pixel_px, depth_m=90.0))
    dark = (image == GROUND_RGB).all(axis=-1)
    assert dark.sum() > 300
    assert (image[LOWEST_PX:] == 100).all()


@pytest.mark.parametrize(
    ("person", "changes", "rgb"),
    [
        (somebody(3), {"followed": 3, "state": TrackState.FOLLOWING}, FOLLOWED_RGB),
        (somebody(3), {"followed": 3, "chosen": 3, "state": TrackState.FOLLOWING}, CHOSEN_RGB),
        (somebody(3, is_refused=True), {}, REFUSED_RGB),
    ],
)
def test_the_label_of_who_is_followed_chosen_or_refused_has_a_frame_of_its_own_colour(person, changes, rgb):
    assert has(drawn(person, **changes), rgb)
    assert not any(has(drawn(somebody(3)), each) for each in (FOLLOWED_RGB, CHOSEN_RGB, REFUSED_RGB))


def test_who_was_followed_last_is_not_marked_while_the_drone_patrols():
    assert not has(drawn(somebody(3), followed=3, state=TrackState.LOST), FOLLOWED_RGB)
