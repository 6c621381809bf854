"""Overlay images: colours, cross and words on a plain image, and the thread that draws them."""

import base64
import io
import queue
import threading

import numpy as np
import pytest
from PIL import Image
from support.road import a_simulator
from support.seen import seen

from model.card import Card
from server.flight.session import Situation, Somebody
from server.flight.tracks import TrackState
from server.sight.frame_queue import Perceived
from server.sight.geometry import QUADSIM_CAMERA, Camera, pixel_to_world
from server.sight.images import Size
from server.sight.sight import View
from server.simulator import Taken
from server.supervision import Faults
from server.watch import overlay
from server.watch.overlay import (
    CAPTION_PX,
    PICTURE_PX,
    THUMBNAIL_PX,
    Overlay,
    Scene,
    Viewer,
    caption,
    draw_masks,
    paint,
)
from server.wire.messages import Frame, Pose, SensorFrame
from tools.simulator.frames import encode_jpeg

POSE = Pose(0.0, 0.0, 5.0, 0.0, 20.0, 0.0)
GREY = np.full((256, 256, 3), 100, np.uint8)
NOBODY = Situation(TrackState.PATROL, False, False, None, None, None, (), None, None, False, (0.7, 0.7, 2.0))
STANDING = (0.0, 0.0, 0.0)
DRONE = a_simulator()


def following(hero_m, state: TrackState = TrackState.FOLLOWING) -> Situation:
    """A situation in which a person at a position is followed; nothing else is known about them."""
    place = {"position_m": tuple(hero_m), "velocity_mps": STANDING, "age_s": 0.1}
    return NOBODY._replace(state=state, is_told_to_follow=True, **place)


def scene(hero=(), others=(), situation=NOBODY, image=GREY, timestamp_s=1.5, camera=QUADSIM_CAMERA) -> Scene:
    """A frame with the hero and another in these parts of the network's 128 × 128 output."""
    probabilities = np.zeros((128, 128, 3), np.float32)
    for index, part in ((1, others), (2, hero)):
        if part:
            probabilities[(*part, index)] = 1.0
    frame = SensorFrame(timestamp_s, encode_jpeg(image), b"", POSE, POSE)
    return Scene(DRONE, frame, 0.5, View((), camera, Size(256, 256), probabilities, Card()), situation)


def drawn(*arguments, **options) -> np.ndarray:
    """(512, 512, 3) int: the picture of such a scene."""
    picture = paint(scene(*arguments, **options))
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.image)))).astype(int)


def test_the_hero_is_green_others_are_blue_and_the_camera_image_shines_through():
    image = drawn(hero=np.s_[20:40, 20:40], others=np.s_[20:40, 80:100])
    assert image.shape == (PICTURE_PX, PICTURE_PX, 3)
    red, green, blue = image[4 * 30, 4 * 30]
    assert green > 140 > red and green > blue + 30  # 0.55 · 100 + 0.45 · (52, 226, 112)
    red, green, blue = image[4 * 30, 4 * 90]
    assert blue > 150 > green > red
    np.testing.assert_allclose(image[4 * 30, 4 * 60], 100, atol=4)


def test_masks_of_any_size_cover_the_same_view():
    part = np.zeros((16, 16), bool)
    part[4:8, 4:8] = True
    image = draw_masks(GREY, part, np.zeros((5, 5), bool))
    assert image[96, 96, 1] > 140
    assert (image[200:, 200:] == 100).all()
    assert (GREY == 100).all(), "drawn into the caller's image"


def test_a_part_that_was_looked_at_is_framed():
    frame = scene(hero=np.s_[48:80, 64:96])
    probabilities = frame.view.probabilities.copy()
    probabilities[32:112, :, 0] = 1.0
    view = frame.view._replace(probabilities=probabilities, is_part=True)
    picture = paint(frame._replace(view=view)).image
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture)))).astype(int)
    scale = PICTURE_PX // len(probabilities)
    for row in (32 * scale, 112 * scale - 1):
        assert image[row, 20:-20].min() > 130, "lighter than the grey picture"
    assert (image[: 30 * scale] < 110).all()


def test_the_cross_is_where_the_camera_sees_the_hero():
    hero_m = pixel_to_world((192.0, 64.0), 12.0, QUADSIM_CAMERA, POSE)
    image = drawn(situation=following(hero_m))
    u, v = 2 * 192, 2 * 64
    assert image[v, u + 15].min() > 200 and image[v - 15, u].min() > 200, "its arms are white"
    np.testing.assert_allclose(image[v, u], 100, atol=25, err_msg="its middle shows the hero")
    assert (image[300:400] < 130).all()


def test_a_hero_who_is_behind_the_camera_or_outside_of_the_view_has_no_cross():
    for hero_m in ((-9.0, 0.0, 0.0), (10.0, 1e6, 0.0)):
        image = drawn(situation=following(hero_m, TrackState.COASTING))
        np.testing.assert_allclose(image[: PICTURE_PX - CAPTION_PX - 8], 100, atol=6)


def test_the_caption_tells_state_distance_and_age():
    hero_m = (3.0, 4.0, 5.0)
    situation = following(hero_m, TrackState.COASTING)._replace(age_s=0.42)
    assert caption(situation, situation.distance_m(POSE)) == "COASTING   5.0 m   seen 0.4 s ago"
    assert caption(NOBODY._replace(is_held=True), None) == "PATROL, ON HOLD"
    lowest = drawn(situation=situation)[-CAPTION_PX:]
    assert lowest.max() > 200 and np.median(lowest) < 50, "light letters on a dark bar"


def test_a_wide_image_stays_wide():
    wide = np.full((240, 480, 3), 100, np.uint8)
    camera = Camera(width_px=512)  # 256 high, twice as wide
    hero_m = pixel_to_world((384.0, 64.0), 12.0, camera, POSE)
    situation = following(hero_m)
    image = drawn(image=wide, camera=camera, situation=situation)
    assert image.shape == (PICTURE_PX, 2 * PICTURE_PX, 3)
    assert image[2 * 64, 2 * 384 + 15].min() > 200


def test_people_in_view_are_labelled_and_the_picture_tells_where_they_are():
    position_m = tuple(pixel_to_world((64.0, 64.0), 20.0, QUADSIM_CAMERA, POSE))
    person = Somebody(3, 0.2, position_m, is_in_view=True, is_refused=False)
    one = scene(situation=NOBODY._replace(people=(person,)))
    (spot,) = paint(one).spots
    assert (spot.person, spot.u, spot.v) == (person, pytest.approx(0.25), pytest.approx(0.25))
    label = drawn(situation=NOBODY._replace(people=(person,)))[60:128, 90:166]
    assert label.min() < 40 and label.max() > 200, "light letters on dark ground"


def test_a_picture_names_its_simulator_and_the_frames_time():
    assert paint(scene(timestamp_s=1e9))[:2] == (DRONE, 1e9)


class Drawing:
    """An overlay with one viewer, whose pictures and faults are kept."""

    def __init__(self) -> None:
        self.pictures: queue.Queue = queue.Queue()
        self.faulty: queue.Queue = queue.Queue()
        self.faults, self.is_looking = Faults(), True
        self.overlay = Overlay(lambda call, *what: call(*what), self.faults, self.faulty.put)
        self.overlay.viewers.append(Viewer(lambda _: self.is_looking, self.pictures.put))
        self.overlay.start()


def answered(timestamp_s: float, **changes) -> Taken:
    """A frame with nobody in it, or one that can't be drawn."""
    made = scene(timestamp_s=timestamp_s)
    frame = Frame(1, 0.0, None, made.frame._replace(**changes))
    return Taken(seen(0.0), [], frame, Perceived(frame, made.view))


def test_a_painter_that_cannot_keep_up_draws_the_newest(monkeypatch):
    may_draw = threading.Semaphore(0)
    real_paint, begun = overlay.paint, queue.Queue()

    def slow_paint(*arguments):
        begun.put(True)
        may_draw.acquire()
        return real_paint(*arguments)

    monkeypatch.setattr(overlay, "paint", slow_paint)
    drawing, other = Drawing(), a_simulator("another")
    one, another = drawing.overlay.connected(DRONE), drawing.overlay.connected(other)
    one.answered(answered(0.0), 0.0)
    begun.get(timeout=60)
    for number in range(1, 6):
        one.answered(answered(float(number)), 0.0)
        another.answered(answered(float(number)), 0.0)
    for _ in range(3):
        may_draw.release()
    drawn = [drawing.pictures.get(timeout=60)[:2] for _ in range(3)]
    assert drawn == [(DRONE, 0.0), (DRONE, 5.0), (other, 5.0)]


def test_nothing_is_drawn_while_nobody_looks():
    drawing = Drawing()
    watch = drawing.overlay.connected(DRONE)
    drawing.is_looking = False
    watch.answered(answered(1.0), 0.0)
    drawing.is_looking = True
    watch.answered(answered(2.0), 0.0)
    assert drawing.pictures.get(timeout=60).timestamp_s == 2.0


def test_a_thumbnail_is_drawn_for_who_wants_it_and_nothing_large_with_it():
    drawing, thumbnails = Drawing(), queue.Queue()
    drawing.is_looking = False
    drawing.overlay.viewers.append(Viewer(lambda simulator: simulator is DRONE, thumbnails.put, is_small=True))
    drawing.overlay.connected(a_simulator("another")).answered(answered(1.0), 0.0)
    drawing.overlay.connected(DRONE).answered(answered(2.0), 0.0)
    small = thumbnails.get(timeout=60)
    assert (small.simulator, small.timestamp_s) == (DRONE, 2.0)
    assert Image.open(io.BytesIO(base64.b64decode(small.image))).size == (THUMBNAIL_PX, THUMBNAIL_PX)
    assert drawing.pictures.empty() and thumbnails.empty()


def test_a_simulator_whose_frame_can_not_be_drawn_is_drawn_no_more_and_others_are():
    drawing, other = Drawing(), a_simulator("another")
    broken, whole = drawing.overlay.connected(DRONE), drawing.overlay.connected(other)
    broken.answered(answered(1.0, rgb_image=b"none"), 0.0)
    assert drawing.faulty.get(timeout=60) is DRONE, "the drone concerned is stopped"
    assert drawing.faults.counts == {"painter": 1}
    broken.answered(answered(2.0), 0.0)
    whole.answered(answered(3.0), 0.0)
    assert drawing.pictures.get(timeout=60)[:2] == (other, 3.0)
