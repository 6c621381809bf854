"""Overlay images: colours, cross and words on a plain image, and the thread that draws them."""

import base64
import io
import queue
import threading

import numpy as np
import pytest
from PIL import Image

from model.card import Card
from server.flight.session import Situation
from server.flight.tracks import TrackState
from server.sight.geometry import QUADSIM_CAMERA, Camera, Pose, pixel_to_world
from server.sight.perception import Job, Seen, Spent
from server.watch import overlay
from server.watch.overlay import CAPTION_PX, PICTURE_PX, Painter, View, caption, draw_masks, paint
from server.wire.messages import SensorFrame
from tools.simulator.frames import encode_jpeg

POSE = Pose(0.0, 0.0, 5.0, 0.0, 20.0, 0.0)
GREY = np.full((256, 256, 3), 100, np.uint8)
NOBODY = Situation(TrackState.PATROL, False, None, None, None)


def view(hero=(), others=(), situation=NOBODY, image=GREY, timestamp_s=1.5, camera=QUADSIM_CAMERA) -> View:
    """A frame with the hero and another in these parts of the network's 128 × 128 output."""
    probabilities = np.zeros((128, 128, 3), np.float32)
    for index, part in ((1, others), (2, hero)):
        if part:
            probabilities[(*part, index)] = 1.0
    frame = SensorFrame(timestamp_s, encode_jpeg(image), b"", POSE, POSE)
    return View("drone", Seen(Job("sid", frame, 0.0), [], camera, probabilities, Spent(0, 0, 0)), situation)


def drawn(*arguments, **options) -> np.ndarray:
    """(512, 512, 3) int: the picture of such a view."""
    picture = paint(view(*arguments, **options), Card())
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


def test_the_cross_is_where_the_camera_sees_the_hero():
    hero_m = pixel_to_world((192.0, 64.0), 12.0, QUADSIM_CAMERA, POSE)
    image = drawn(situation=Situation(TrackState.FOLLOWING, False, hero_m, np.zeros(3), 0.1))
    u, v = 2 * 192, 2 * 64
    assert image[v, u + 15].min() > 200 and image[v - 15, u].min() > 200, "its arms are white"
    np.testing.assert_allclose(image[v, u], 100, atol=25, err_msg="its middle shows the hero")
    assert (image[300:400] < 130).all()


def test_a_hero_who_is_behind_the_camera_or_outside_of_the_view_has_no_cross():
    for hero_m in (np.array([-9.0, 0.0, 0.0]), np.array([10.0, 1e6, 0.0])):
        image = drawn(situation=Situation(TrackState.COASTING, False, hero_m, np.zeros(3), 0.5))
        np.testing.assert_allclose(image[: PICTURE_PX - CAPTION_PX - 8], 100, atol=6)


def test_the_caption_tells_state_distance_and_age():
    hero_m = np.array([3.0, 4.0, 5.0])
    situation = Situation(TrackState.COASTING, False, hero_m, np.zeros(3), 0.42)
    assert caption(situation, view(situation=situation).distance_m) == "COASTING   5.0 m   seen 0.4 s ago"
    assert caption(NOBODY._replace(is_held=True), None) == "PATROL, ON HOLD"
    lowest = drawn(situation=situation)[-CAPTION_PX:]
    assert lowest.max() > 200 and np.median(lowest) < 50, "light letters on a dark bar"


def test_a_wide_image_stays_wide():
    wide = np.full((240, 480, 3), 100, np.uint8)
    camera = Camera(width_px=512)  # 256 high, twice as wide
    hero_m = pixel_to_world((384.0, 64.0), 12.0, camera, POSE)
    situation = Situation(TrackState.FOLLOWING, False, hero_m, np.zeros(3), 0.1)
    image = drawn(image=wide, camera=camera, situation=situation)
    assert image.shape == (PICTURE_PX, 2 * PICTURE_PX, 3)
    assert image[2 * 64, 2 * 384 + 15].min() > 200


def test_a_picture_names_its_simulator_and_the_frames_time():
    assert paint(view(timestamp_s=1e9), Card())[:2] == ("drone", 1e9)


def test_a_painter_that_cannot_keep_up_draws_the_newest(monkeypatch):
    may_draw, pictures = threading.Semaphore(0), queue.Queue()
    real_paint, begun = overlay.paint, queue.Queue()

    def slow_paint(*arguments):
        begun.put(True)
        may_draw.acquire()
        return real_paint(*arguments)

    monkeypatch.setattr(overlay, "paint", slow_paint)
    painter = Painter(Card(), pictures.put)
    painter.start()
    painter.submit(view(timestamp_s=0.0))
    begun.get(timeout=10)
    for number in range(1, 6):
        painter.submit(view(timestamp_s=float(number)))
        painter.submit(view(timestamp_s=float(number))._replace(session="another"))
    for _ in range(3):
        may_draw.release()
    drawn = [pictures.get(timeout=10)[:2] for _ in range(3)]
    assert drawn == [("drone", 0.0), ("drone", 5.0), ("another", 5.0)]
    with pytest.raises(queue.Empty):
        pictures.get(timeout=0.1)


def test_a_frame_that_cannot_be_drawn_costs_a_log_line_and_the_next_is_drawn(caplog):
    pictures = queue.Queue()
    painter = Painter(Card(), pictures.put)
    painter.start()
    whole = view()
    broken = whole.seen._replace(job=Job("sid", whole.seen.job.frame._replace(rgb_image=b"none"), 0.0))
    painter.submit(whole._replace(session="broken", seen=broken))
    painter.submit(whole)
    assert pictures.get(timeout=10).session == "drone"
    assert "[broken] cannot draw a frame" in caplog.text
