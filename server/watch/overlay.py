"""Overlay images: the network's classes over the camera image, everybody's number, a cross, state, distance and age.

Drawn in a thread of its own, after the frame has been answered; of each simulator only the newest is kept.
"""

import base64
import functools
import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model.scoring import threshold
from server.flight.session import Situation
from server.flight.tracks import TrackState
from server.sight.geometry import project
from server.sight.images import decode_rgb
from server.sight.sight import View
from server.simulator import Simulator, Taken, Watch
from server.supervision import Faults
from server.watch.labels import Spot, draw_labels, spots
from server.wire.messages import SensorFrame

# Twice QuadSim's, so that lines and letters are fine.
PICTURE_PX = 512
THUMBNAIL_PX = 192
JPEG_QUALITY = 80
HERO_RGB, OTHERS_RGB = (52, 226, 112), (64, 140, 255)
OPACITY = 0.45
CROSS_RGB = {TrackState.FOLLOWING: (255, 255, 255), TrackState.COASTING: (255, 190, 60)}
LOST_RGB = (255, 92, 92)
PART_RGB = (200, 200, 200)
CROSS_PX, CROSS_GAP_PX = 26, 7
CAPTION_PX, LETTERS_PX = 40, 22


class Scene(NamedTuple):
    """One answered frame: of which simulator, as received, and when, as seen, and the situation after it.

    `is_small`: to be drawn as a thumbnail.
    """

    simulator: Simulator
    frame: SensorFrame
    arrival_s: float
    view: View
    situation: Situation
    is_small: bool = False


class Picture(NamedTuple):
    """A drawn scene: of which simulator, the frame's own timestamp (seconds since 1970), and a JPEG in base64.

    `arrival_s` is the frame's, monotonic seconds; `spots` are where people are in it.
    """

    simulator: Simulator
    timestamp_s: float | None
    arrival_s: float
    image: str
    spots: tuple[Spot, ...] = ()

    def as_json(self) -> dict[str, str | float | None]:
        """The argument of an `overlay_image` event."""
        return {"session": self.simulator.name, "timestamp": self.timestamp_s, "image": self.image}


class Viewer(NamedTuple):
    """Somebody who may want pictures: asked whether they look at a simulator now, and shown each picture of it.

    `is_small`: they want thumbnails.
    """

    looks: Callable[[Simulator], bool]
    show: Callable[[Picture], None]
    is_small: bool = False


class Overlay:
    """Draws scenes in a thread of its own, the newest of each simulator, in turn; a listener.

    Args:
        post: has a call run on the event loop, from any thread.
        faults: where errors in drawing are reported.
        on_fault: called, from the thread, with a simulator whose scene could not be drawn.

    Attributes:
        viewers: nothing is drawn while none of them looks.
    """

    def __init__(self, post: Callable[..., None], faults: Faults, on_fault: Callable[[Simulator], None]) -> None:
        self._post, self._faults, self._on_fault = post, faults, on_fault
        self.viewers: list[Viewer] = []
        self._changed = threading.Condition()
        # By whose they are, and whether they are small.
        self._waiting: dict[tuple[Drawn, bool], Scene] = {}
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)

    def start(self) -> None:
        """Start the thread, which ends with the process."""
        self._thread.start()

    def connected(self, simulator: Simulator) -> "Drawn":
        """Draw a simulator while somebody looks."""
        return Drawn(simulator, self)

    def wanted(self, simulator: Simulator) -> set[bool]:
        """Which pictures of a simulator anybody wants now: False stands for the large one, True for the small one."""
        return {viewer.is_small for viewer in self.viewers if viewer.looks(simulator)}

    def submit(self, drawn: "Drawn", scene: Scene) -> None:
        """Have a scene drawn; an older one of the same simulator and size that still waits is dropped for it."""
        with self._changed:
            self._waiting[drawn, scene.is_small] = scene
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                key = next(iter(self._waiting))
                scene = self._waiting.pop(key)
            with self._faults.contained("painter", partial(self._give_up, key[0])):
                self._post(self._show, paint(scene), scene.is_small)

    def _give_up(self, drawn: "Drawn") -> None:
        drawn.give_up()
        self._on_fault(drawn.simulator)

    def _show(self, picture: Picture, is_small: bool) -> None:
        for viewer in self.viewers:
            if viewer.is_small == is_small:
                viewer.show(picture)


class Drawn(Watch):
    """One simulator whose scenes are drawn; watches it."""

    def __init__(self, simulator: Simulator, overlay: Overlay) -> None:
        self.simulator, self._overlay = simulator, overlay
        self._is_on = True

    def answered(self, taken: Taken, now_s: float) -> None:
        """Have an answered frame drawn."""
        frame = taken.frame
        if not self._is_on or frame is None or taken.view is None or not isinstance(frame.content, SensorFrame):
            return
        if wanted := self._overlay.wanted(self.simulator):
            situation = self.simulator.session.situation(now_s)
            for is_small in wanted:
                scene = Scene(self.simulator, frame.content, frame.arrival_s, taken.view, situation, is_small)
                self._overlay.submit(self, scene)

    def disconnected(self) -> None:
        """See `Watch`."""
        self.give_up()

    def give_up(self) -> None:
        """Draw this simulator no more."""
        self._is_on = False


def paint(scene: Scene) -> Picture:
    """Draw a scene, whose camera image is known to be whole."""
    if scene.is_small:
        small = _as_jpeg(_coloured(scene.frame, scene.view, THUMBNAIL_PX))
        return Picture(scene.simulator, scene.frame.timestamp_s, scene.arrival_s, small)
    image, found = draw(scene.frame, scene.view, scene.situation)
    return Picture(scene.simulator, scene.frame.timestamp_s, scene.arrival_s, image, found)


def draw(frame: SensorFrame, view: View, situation: Situation) -> tuple[str, tuple[Spot, ...]]:
    """Draw what was seen in a frame, and who is who in it.

    Args:
        frame: as received.
        view: of it.
        situation: after it.

    Returns:
        A JPEG in base64, and where people are in it.

    Raises:
        BadFrameError: if the camera image is not whole.
    """
    drawn = _coloured(frame, view, PICTURE_PX)
    at = (
        None
        if situation.position_m is None
        else project(np.array(situation.position_m), view.camera, frame.gimbal_pose)
    )
    found = spots(situation.people, view.camera, frame.gimbal_pose, view.card.profile.height_m)
    draw_labels(drawn, found, situation, PICTURE_PX - CAPTION_PX)
    if at is not None:
        scale = PICTURE_PX / view.camera.image_px
        draw_cross(drawn, (at.u_px * scale, at.v_px * scale), CROSS_RGB.get(situation.state, LOST_RGB))
    draw_caption(drawn, caption(situation, situation.distance_m(frame.gimbal_pose)))
    return _as_jpeg(drawn), found


def caption(situation: Situation, distance_m: float | None) -> str:
    """State, distance and age in one line; without a track the state alone."""
    words = [situation.state.upper() + (", ON HOLD" if situation.is_held else "")]
    if distance_m is not None:
        words.append(f"{distance_m:.1f} m")
    if situation.age_s is not None:
        words.append(f"seen {situation.age_s:.1f} s ago")
    return "   ".join(words)


def _coloured(frame: SensorFrame, view: View, px: int) -> np.ndarray:
    """The camera image, (px, W, 3) uint8 RGB, with who is where in it."""
    card = view.card
    # Resized by OpenCV: Pillow would take 1.5 ms more, and other threads could not run meanwhile.
    image, size = decode_rgb(frame.rgb_image, view.camera.image_px)
    image = cv2.resize(image, (round(px * size.aspect), px), interpolation=cv2.INTER_CUBIC)
    drawn = draw_masks(
        image,
        threshold(view.probabilities[..., card.hero], card.hero_threshold_255),
        threshold(view.probabilities[..., card.others].sum(axis=-1)),
    )
    if view.is_part:
        draw_part(drawn, np.asarray(view.probabilities.any(axis=-1)))
    return drawn


def _as_jpeg(image: np.ndarray) -> str:
    """A (H, W, 3) uint8 RGB image as a JPEG in base64."""
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return base64.b64encode(jpeg.tobytes()).decode("ascii")


def draw_masks(image: np.ndarray, hero: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Colour where the hero and where others are, translucently and with an outline.

    Args:
        image: (H, W, 3) uint8 RGB.
        hero: (h, w) bool, of any size, covering the same view.
        others: likewise.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    drawn = image.copy()
    for mask, rgb in ((others, OTHERS_RGB), (hero, HERO_RGB)):
        if not mask.any():
            continue
        cover = cv2.resize(mask.astype(np.uint8) * 255, (image.shape[1], image.shape[0]))
        left, top, width, height = cv2.boundingRect(cover)
        part = np.s_[top : top + height, left : left + width]
        opacity = cover[part][..., np.newaxis] * np.float32(OPACITY / 255)
        drawn[part] = drawn[part] * (1 - opacity) + np.array(rgb, np.float32) * opacity
        outlines, _ = cv2.findContours((cover > 127).view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.polylines(drawn, outlines, True, rgb, 1, cv2.LINE_AA)
    return drawn


def draw_part(image: np.ndarray, looked_at: np.ndarray) -> None:
    """Frame the part of a (H, W, 3) uint8 image that was looked at, (h, w) bool, of any size."""
    left, top, width, height = cv2.boundingRect(looked_at.view(np.uint8))
    u_scale, v_scale = image.shape[1] / looked_at.shape[1], image.shape[0] / looked_at.shape[0]
    first = round(left * u_scale), round(top * v_scale)
    last = round((left + width) * u_scale) - 1, round((top + height) * v_scale) - 1
    cv2.rectangle(image, first, last, PART_RGB, 1)


def draw_cross(image: np.ndarray, at_px: tuple[float, float], rgb: tuple[int, int, int]) -> None:
    """Draw the target's cross into a (H, W, 3) uint8 image, as far as it lies within; dark below, to be seen anywhere.

    Args:
        image: drawn into.
        at_px: (u right, v down) of its middle.
        rgb: its colour.
    """
    u_px, v_px = (round(min(max(value, -1e4), 1e4)) for value in at_px)
    for colour, thickness in (((20, 20, 20), 5), (rgb, 2)):
        for du, dv in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            begin = (u_px + du * CROSS_GAP_PX, v_px + dv * CROSS_GAP_PX)
            end = (u_px + du * CROSS_PX, v_px + dv * CROSS_PX)
            cv2.line(image, begin, end, colour, thickness, cv2.LINE_AA)


def draw_caption(image: np.ndarray, text: str) -> None:
    """Write a line on a dark bar along the lower edge of a (H, W, 3) uint8 image."""
    bar = Image.fromarray(image[-CAPTION_PX:] // 3)
    ImageDraw.Draw(bar).text((14, CAPTION_PX / 2), text, fill=(240, 244, 250), font=_font(), anchor="lm")
    image[-CAPTION_PX:] = np.asarray(bar)


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(LETTERS_PX)  # ships inside Pillow
