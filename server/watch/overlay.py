"""What the server sees, drawn over what the camera saw: hero and others, the target's cross, state, distance and age.

Drawn in a thread of its own, after the frame has been answered; of each simulator only the newest is kept.
"""

import base64
import functools
import logging
import threading
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model.card import Card
from model.scoring import threshold
from server.flight.session import Situation
from server.flight.tracks import TrackState
from server.sight.geometry import project
from server.sight.perception import Seen, decode_rgb

logger = logging.getLogger(__name__)

# Twice QuadSim's, so that lines and letters are fine.
PICTURE_PX = 512
JPEG_QUALITY = 80
HERO_RGB, OTHERS_RGB = (52, 226, 112), (64, 140, 255)
OPACITY = 0.45
CROSS_RGB = {TrackState.FOLLOWING: (255, 255, 255), TrackState.COASTING: (255, 190, 60)}
LOST_RGB = (255, 92, 92)
CROSS_PX, CROSS_GAP_PX = 26, 7
CAPTION_PX, LETTERS_PX = 40, 22


class View(NamedTuple):
    """One answered frame: of which simulator, what was seen in it, and what came of it."""

    session: str
    seen: Seen
    situation: Situation

    @property
    def distance_m(self) -> float | None:
        """From the camera to the hero; None without a track."""
        return self.situation.distance_m(self.seen.job.frame.gimbal_pose)


class Picture(NamedTuple):
    """A drawn view: of which simulator, the frame's own timestamp (seconds since 1970), and a JPEG in base64."""

    session: str
    timestamp_s: float | None
    image: str

    def as_json(self) -> dict[str, str | float | None]:
        """The argument of an `overlay_image` event."""
        return {"session": self.session, "timestamp": self.timestamp_s, "image": self.image}


class Painter:
    """Draws views in a thread of its own, the newest of each simulator, each simulator in its turn.

    Args:
        card: the network's.
        deliver: called from that thread with each picture; must not block.
    """

    def __init__(self, card: Card, deliver: Callable[[Picture], None]) -> None:
        self._card, self._deliver = card, deliver
        self._changed = threading.Condition()
        self._waiting: dict[str, View] = {}
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)

    def start(self) -> None:
        """Start the thread, which ends with the process."""
        self._thread.start()

    def submit(self, view: View) -> None:
        """Have a view drawn; an older one of the same simulator that still waits is dropped for it."""
        with self._changed:
            self._waiting[view.session] = view
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                view = self._waiting.pop(next(iter(self._waiting)))
            try:
                picture = paint(view, self._card)
            except Exception:
                logger.exception("[%s] cannot draw a frame", view.session)  # nobody is led by pictures
            else:
                self._deliver(picture)


def paint(view: View, card: Card) -> Picture:
    """Draw a view as a JPEG.

    Args:
        view: whose camera image is known to be whole.
        card: of the network that saw it.
    """
    seen, frame = view.seen, view.seen.job.frame
    # Enlarged by OpenCV: Pillow would take 1.5 ms more, and other threads could not run meanwhile.
    image, size = decode_rgb(frame.rgb_image, seen.camera.image_px)
    image = cv2.resize(image, (round(PICTURE_PX * size.aspect), PICTURE_PX), interpolation=cv2.INTER_CUBIC)
    hero = card.classes.index("hero")
    others = [index for index, name in enumerate(card.classes) if name not in ("surroundings", "hero")]
    drawn = draw_masks(
        image,
        threshold(seen.probabilities[..., hero], card.hero_threshold_255),
        threshold(seen.probabilities[..., others].sum(axis=-1)),
    )
    situation = view.situation
    at = None if situation.position_m is None else project(situation.position_m, seen.camera, frame.gimbal_pose)
    if at is not None:
        scale = PICTURE_PX / seen.camera.image_px
        draw_cross(drawn, (at.u_px * scale, at.v_px * scale), CROSS_RGB.get(situation.state, LOST_RGB))
    draw_caption(drawn, caption(situation, view.distance_m))
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return Picture(view.session, frame.timestamp_s, base64.b64encode(jpeg.tobytes()).decode("ascii"))


def caption(situation: Situation, distance_m: float | None) -> str:
    """State, distance and age in one line; without a track the state alone."""
    words = [situation.state.upper() + (", ON HOLD" if situation.is_held else "")]
    if distance_m is not None:
        words.append(f"{distance_m:.1f} m")
    if situation.age_s is not None:
        words.append(f"seen {situation.age_s:.1f} s ago")
    return "   ".join(words)


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
