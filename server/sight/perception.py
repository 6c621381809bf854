"""From encoded frames to targets, in a thread of its own: decode, infer, find and place what may be the hero.

The event loop submits and never waits; results are delivered back by a callback. Of each session only the newest
frame is kept, and sessions take turns.
"""

import io
import logging
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from PIL import Image

from model.engines import Engine
from model.images import resize_rgb
from server.sight.geometry import Camera
from server.sight.people import Target, find_targets
from server.wire.messages import BadFrameError, SensorFrame, shorten

logger = logging.getLogger(__name__)

SMALLEST_IMAGE_PX = 16
# QuadSim sends 256 × 256. More than this is no camera of ours but work for nothing.
LARGEST_IMAGE_PX = 1024 * 1024
# This bound is tighter than Pillow's own, which would add a warning.
Image.MAX_IMAGE_PIXELS = None
MOST_ELONGATED = 4.0
# Of a baseline JPEG: one for each channel, and for each of a thumbnail's. An empty one costs as much as a full one.
MOST_SCANS = 8
# How long a failure of perception is told when no frame comes that would show it mended.
FAILURE_TOLD_S = 10.0
# Pillow warns of oddities in metadata that nobody here reads.
warnings.filterwarnings("ignore", module="PIL")


class Job(NamedTuple):
    """A frame on its way: whose it is, and when it came (monotonic seconds)."""

    session: str
    frame: SensorFrame
    arrival_s: float


class Spent(NamedTuple):
    """Where a frame's time went, seconds: until its turn, on its camera image, and in the network with its batch."""

    queue_s: float
    decode_s: float
    inference_s: float


class Seen(NamedTuple):
    """A frame understood, with what may be the hero in it, the largest first.

    `camera` took it; `probabilities` is (px, px, classes) float32, of the network. `remark` is what to tell the client
    of a frame that was used all the same.
    """

    job: Job
    targets: list[Target]
    camera: Camera
    probabilities: np.ndarray
    spent: Spent
    remark: BadFrameError | None = None


class NotUnderstood(NamedTuple):
    """A frame whose images are not what they should be."""

    job: Job
    error: BadFrameError


class Failed(NamedTuple):
    """A frame on which perception itself failed."""

    job: Job


class Waiting(NamedTuple):
    """A frame that waits to be perceived, and its depth image being decoded: (H, W) uint8."""

    job: Job
    depth: Future[np.ndarray]


class Size(NamedTuple):
    """Of an image as it came."""

    width_px: int
    height_px: int

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width_px / self.height_px

    def __str__(self) -> str:
        return f"{self.width_px}×{self.height_px}"


Result = Seen | NotUnderstood | Failed
Decoded = TypeVar("Decoded")


class Sight:
    """What happens to frames, with nothing of threads in it: decode, infer, find and place what may be the hero.

    Args:
        engine: the loaded network.
        camera: the simulators' camera.
        min_blob_px: smallest blob to believe, in pixels of the network; None for what the network's card says.

    Attributes:
        min_blob_px: the one in use.
    """

    def __init__(self, engine: Engine, camera: Camera, min_blob_px: int | None = None) -> None:
        cv2.setNumThreads(1)  # its images are small, and the cores are the network's
        self._engine, self._camera = engine, camera
        self.min_blob_px = min_blob_px or engine.card.min_blob_px
        self._hero = engine.card.classes.index("hero")

    def perceive(self, frames: Sequence[Waiting]) -> list[Result]:
        """What is seen in each of some frames, at most `most_per_batch` of the engine; in any order.

        Raises:
            Exception: whatever goes wrong in a network.
        """
        results: list[Result] = []
        decoded: list[tuple[Waiting, Size, Spent]] = []
        images = []
        taken_s = time.monotonic()
        for frame in frames:
            begun_s = time.monotonic()
            try:
                image, size = decode_rgb(frame.job.frame.rgb_image, self._engine.input_px)
            except BadFrameError as error:
                results.append(NotUnderstood(frame.job, error))
                continue
            images.append(image)
            spent = Spent(taken_s - frame.job.arrival_s, time.monotonic() - begun_s, inference_s=0.0)
            decoded.append((frame, size, spent))
        if images:
            begun_s = time.monotonic()
            batch = self._engine.infer(np.stack(images))
            inference_s = time.monotonic() - begun_s
            results += [
                self._find(probabilities, frame, size, spent._replace(inference_s=inference_s))
                for probabilities, (frame, size, spent) in zip(batch, decoded, strict=True)
            ]
        return results

    def _camera_of(self, size: Size) -> Camera:
        if size.width_px == size.height_px:
            return self._camera
        return replace(self._camera, width_px=round(self._camera.image_px * size.aspect))

    def _find(self, probabilities: np.ndarray, frame: Waiting, size: Size, spent: Spent) -> Result:
        try:
            depth_255 = frame.depth.result()
        except BadFrameError as error:
            return NotUnderstood(frame.job, error)
        camera, pose = self._camera_of(size), frame.job.frame.gimbal_pose
        targets = find_targets(
            probabilities[..., self._hero],
            depth_255,
            camera,
            pose,
            self._engine.card.hero_threshold_255,
            self.min_blob_px,
        )
        depth_size, remark = Size(depth_255.shape[1], depth_255.shape[0]), None
        if depth_size != size:
            expected = f"{size}, as the camera image has (it is used all the same)"
            remark = BadFrameError("depth_image", expected, str(depth_size))
        return Seen(frame.job, targets, camera, probabilities, spent, remark)


class Perception:
    """The network and what follows it, fed with the newest frame of each session.

    Args:
        engine: the loaded network; only this object's thread calls it.
        camera: the simulators' camera.
        deliver: called from that thread with each result; must not block.
        min_blob_px: smallest blob to believe, in pixels of the network; None for what the network's card says.
    """

    def __init__(
        self,
        engine: Engine,
        camera: Camera,
        deliver: Callable[[Result], None],
        min_blob_px: int | None = None,
    ) -> None:
        self.engine = engine
        self._sight = Sight(engine, camera, min_blob_px)
        self._deliver = deliver
        # Guards all below it. Insertion order is the sessions' turn.
        self._changed = threading.Condition()
        self._waiting: dict[str, Waiting] = {}
        self._busy_since_s: float | None = None
        self._failed_at_s: float | None = None
        self._stopping = False
        # Decodes depth images, beside the camera image and inference.
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="depth")
        self._thread = threading.Thread(target=self._run, name="perception", daemon=True)

    @property
    def min_blob_px(self) -> int:
        """Smallest blob that it believes, in pixels of the network."""
        return self._sight.min_blob_px

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Finish the frame in work and end the thread; give up on a stalled one after `timeout_s`."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout_s)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def submit(self, job: Job) -> bool:
        """Hand in a session's newest frame, keeping its turn.

        Returns:
            Whether an older frame of the session was still waiting and has been dropped for it.
        """
        # Begun here rather than in the perception's thread: 0.8 of 8 ms sooner done.
        waiting = Waiting(job, self._pool.submit(decode_depth, job.frame.depth_image))
        with self._changed:
            older = self._waiting.get(job.session)
            self._waiting[job.session] = waiting
            self._changed.notify()
        if older is not None:
            older.depth.cancel()
        return older is not None

    def forget(self, session: str) -> None:
        """Drop what waits of a session that has gone."""
        with self._changed:
            self._waiting.pop(session, None)

    def trouble(self, patience_s: float) -> str | None:
        """What is wrong with perception, in words; None if nothing is.

        Args:
            patience_s: how long one batch may take before it counts as stalled.
        """
        with self._changed:
            if not self._thread.is_alive():
                return "perception is not running"
            if self._busy_since_s is not None and time.monotonic() - self._busy_since_s > patience_s:
                return f"perception has stalled for {time.monotonic() - self._busy_since_s:.1f} s"
            if self._failed_at_s is not None and time.monotonic() - self._failed_at_s < FAILURE_TOLD_S:
                return "perception failed on the last frame"
            return None

    def _run(self) -> None:
        while frames := self._take():
            try:
                results = self._sight.perceive(frames)
                failed_at_s = None
            except Exception as error:
                # Whatever goes wrong in a network, the simulators must be told; in full only the first time in a row.
                is_first = self._failed_at_s is None
                logger.error("perception failed on %d frames: %r", len(frames), error, exc_info=is_first)
                results = [Failed(frame.job) for frame in frames]
                failed_at_s = time.monotonic()
            with self._changed:
                self._busy_since_s, self._failed_at_s = None, failed_at_s
            for result in results:
                self._deliver(result)

    def _take(self) -> list[Waiting]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if self._stopping:
                return []
            sessions = list(self._waiting)[: self.engine.most_per_batch]
            self._busy_since_s = time.monotonic()
            return [self._waiting.pop(session) for session in sessions]


def decode_rgb(file: bytes, px: int) -> tuple[np.ndarray, Size]:
    """Decode a camera image to the network's size.

    Returns:
        (px, px, 3) uint8 RGB, and the size of the image as it came.

    Raises:
        BadFrameError: if it is no whole JPEG or PNG of a sane size.
    """
    return _decode("rgb_image", file, lambda image: (resize_rgb(image, px), Size(*image.size)))


def decode_depth(file: bytes) -> np.ndarray:
    """Decode a depth image.

    Returns:
        (H, W) uint8: round(255 · depth / far), of the red channel.

    Raises:
        BadFrameError: if it is no whole JPEG or PNG of a sane size.
    """
    return _decode("depth_image", file, lambda image: np.asarray(image.getchannel(0)))


def _decode(field: str, file: bytes, convert: Callable[[Image.Image], Decoded]) -> Decoded:
    expected = f"a whole JPEG or PNG of at least {SMALLEST_IMAGE_PX} px and at most {LARGEST_IMAGE_PX} pixels"
    try:
        if file.count(b"iCCP") > 1:  # before it is opened, for opening decompresses each
            raise BadFrameError(field, "a PNG of one colour profile at most", f"{file.count(b'iCCP')}")
        with Image.open(io.BytesIO(file), formats=("JPEG", "PNG")) as opened:
            image: Image.Image = opened
            # Known from the header, before anything is decompressed.
            width, height = image.size
            if min(image.size) < SMALLEST_IMAGE_PX or width * height > LARGEST_IMAGE_PX:
                raise BadFrameError(field, expected, f"{width}×{height}")
            if not 1 / MOST_ELONGATED <= width / height <= MOST_ELONGATED:
                raise BadFrameError(field, f"a shape of at most {MOST_ELONGATED:g}:1", f"{width}×{height}")
            # Files of many parts can cost a thousand times what their size says. QuadSim sends plain ones.
            if image.info.get("progressive"):
                raise BadFrameError(field, "a baseline JPEG", "a progressive one")
            scans = file.count(b"\xff\xda") if image.format == "JPEG" else 0
            if scans > MOST_SCANS:
                raise BadFrameError(field, f"a JPEG of at most {MOST_SCANS} scans", str(scans))
            if image.mode.startswith(("I", "F")):
                raise BadFrameError(field, "8 bits a channel", f"an image of Pillow's mode {image.mode}")
            if image.mode in ("P", "1"):
                image = image.convert("RGBA")
            return convert(image)
    except BadFrameError:
        raise
    except Exception as error:  # Pillow raises nearly anything on a broken file
        raise BadFrameError(field, expected, f"{shorten(file, 12)}: {str(error)[:80]}") from error
