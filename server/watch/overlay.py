"""Overlay images: the network's classes over the camera image, everybody's number, a cross, state, distance and age.

A separate thread draws them after the frame has been answered. Only the newest frame of each simulator waits for it.
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

# Twice the size of QuadSim's images, so that lines and letters are fine.
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
    """An answered frame to draw: the simulator, the frame, its arrival and view, and the situation after it.

    `is_small`: whether to draw a thumbnail.
    """

    simulator: Simulator
    frame: SensorFrame
    arrival_s: float
    view: View
    situation: Situation
    is_small: bool = False


class Picture(NamedTuple):
    """A drawn scene: the simulator, the frame's own timestamp (seconds since 1970), and a JPEG in base64.

    `arrival_s` is the frame's arrival, monotonic seconds. `spots` are the positions of people in the picture.
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
    """A receiver of pictures: `looks` says whether it wants pictures of a simulator now, `show` gets each picture.

    `is_small`: whether it wants thumbnails.
    """

    looks: Callable[[Simulator], bool]
    show: Callable[[Picture], None]
    is_small: bool = False


class Overlay:
    """Draws the newest scene of each simulator, in turn, in a thread of its own; a listener.

    Args:
        post: has a call run on the event loop, from any thread.
        faults: where errors in drawing are reported.
        on_fault: called from the thread with a simulator whose scene could not be drawn.

    Attributes:
        viewers: the receivers of pictures. Nothing is drawn while none of them looks.
    """

    def __init__(self, post: Callable[..., None], faults: Faults, on_fault: Callable[[Simulator], None]) -> None:
        self._post, self._faults, self._on_fault = post, faults, on_fault
        self.viewers: list[Viewer] = []
        self._changed = threading.Condition()
        # By the simulator's watch, and whether the scene is small.
        self._waiting: dict[tuple[OverlayWatch, bool], Scene] = {}
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)

    def start(self) -> None:
        """Start the thread, which ends with the process."""
        self._thread.start()

    def connected(self, simulator: Simulator) -> "OverlayWatch":
        """Draw the frames of a simulator while a viewer looks."""
        return OverlayWatch(simulator, self)

    def wanted(self, simulator: Simulator) -> set[bool]:
        """The pictures of a simulator that viewers want now: False stands for the large one, True for the small one."""
        return {viewer.is_small for viewer in self.viewers if viewer.looks(simulator)}

    def submit(self, drawn: "OverlayWatch", scene: Scene) -> None:
        """Have a scene drawn. It replaces a waiting scene of the same simulator and size."""
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

    def _give_up(self, drawn: "OverlayWatch") -> None:
        drawn.give_up()
        self._on_fault(drawn.simulator)

    def _show(self, picture: Picture, is_small: bool) -> None:
        for viewer in self.viewers:
            if viewer.is_small == is_small:
                viewer.show(picture)


class OverlayWatch(Watch):
    """Has the frames of one simulator drawn, as its watch."""

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
        """Stop drawing this simulator."""
        self._is_on = False


def paint(scene: Scene) -> Picture:
    """Draw a scene, whose camera image is known to be valid."""
    if scene.is_small:
        small = _as_jpeg(_coloured(scene.frame, scene.view, THUMBNAIL_PX))
        return Picture(scene.simulator, scene.frame.timestamp_s, scene.arrival_s, small)
    image, found = draw(scene.frame, scene.view, scene.situation)
    return Picture(scene.simulator, scene.frame.timestamp_s, scene.arrival_s, image, found)


def draw(frame: SensorFrame, view: View, situation: Situation) -> tuple[str, tuple[Spot, ...]]:
    """Draw the view of a frame, with labels of the people in it.

    Args:
        frame: as received.
        view: view of the frame.
        situation: situation after the frame.

    Returns:
        A JPEG in base64, and the positions of people in it.

    Raises:
        BadFrameError: if the camera image cannot be decoded.
    """
    drawn = _coloured(frame, view, PICTURE_PX)
    found = spots(situation.people, view.camera, frame.gimbal_pose, view.card.profile.height_m)
    draw_labels(drawn, found, situation, PICTURE_PX - CAPTION_PX)
    if situation.position_m is not None:
        at = project(np.array(situation.position_m), view.camera, frame.gimbal_pose)
        if at is not None:
            scale = PICTURE_PX / view.camera.image_px
            draw_cross(drawn, (at.u_px * scale, at.v_px * scale), CROSS_RGB.get(situation.state, LOST_RGB))
    draw_caption(drawn, caption(situation, situation.distance_m(frame.gimbal_pose)))
    return _as_jpeg(drawn), found


def caption(situation: Situation, distance_m: float | None) -> str:
    """State, distance and age in one line; only the state without a track."""
    words = [situation.state.upper() + (", ON HOLD" if situation.is_held else "")]
    if distance_m is not None:
        words.append(f"{distance_m:.1f} m")
    if situation.age_s is not None:
        words.append(f"seen {situation.age_s:.1f} s ago")
    return "   ".join(words)


def _coloured(frame: SensorFrame, view: View, px: int) -> np.ndarray:
    """The camera image, (px, W, 3) uint8 RGB, with the masks of the hero and of others."""
    card = view.card
    # Resized by OpenCV, because Pillow would take 1.5 ms more, in which other threads could not run.
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
    """Colour the pixels of the hero and of others, translucently and with an outline.

    Args:
        image: (H, W, 3) uint8 RGB.
        hero: (h, w) bool, of any size, covering the same view.
        others: (h, w) bool, of any size, covering the same view.

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
    """Draw a frame into a (H, W, 3) uint8 image around the part that was looked at, (h, w) bool, of any size."""
    left, top, width, height = cv2.boundingRect(looked_at.view(np.uint8))
    u_scale, v_scale = image.shape[1] / looked_at.shape[1], image.shape[0] / looked_at.shape[0]
    first = round(left * u_scale), round(top * v_scale)
    last = round((left + width) * u_scale) - 1, round((top + height) * v_scale) - 1
    cv2.rectangle(image, first, last, PART_RGB, 1)


def draw_cross(image: np.ndarray, at_px: tuple[float, float], rgb: tuple[int, int, int]) -> None:
    """Draw the target's cross, with a dark border so that it is visible on any background.

    Args:
        image: (H, W, 3) uint8, drawn into; parts of the cross outside of it are cut off.
        at_px: (u right, v down) of the middle of the cross.
        rgb: colour of the cross.
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
