"""Read pictures of a video file, a folder of images or a camera, at the rate of playing."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np

from model.images import MOST_IMAGE_PX, open_image
from server.sight.images import SMALLEST_IMAGE_PX
from tools.simulator.recorded import UnreadableImageError, image_files, upright

# The largest square of a picture that the server takes.
LARGEST_PX = 480
MOST_CAMERAS = 99  # OpenCV uses the hundreds to choose how it looks for a camera
LEAST_FPS, MOST_FPS = 0.1, 1000.0  # a rate outside these limits cannot be that of a video
USUAL_FPS = 30.0  # assumed for a video that does not state its rate


class Picture(NamedTuple):
    """One picture: its name for people, and (px, px, 3) uint8 RGB."""

    name: str
    image: np.ndarray


class Video(ABC):
    """Pictures in order; a context manager, and iterated once.

    Attributes:
        frames_per_s: rate at which to play them.
    """

    def __init__(self, frames_per_s: float) -> None:
        self.frames_per_s = frames_per_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def __iter__(self) -> Iterator[Picture | UnreadableImageError]:
        """The pictures; an error in place of each one that cannot be read."""

    @abstractmethod
    def close(self) -> None:
        """Release the source."""


class _Folder(Video):
    def __init__(self, folder: Path, frames_per_s: float) -> None:
        super().__init__(frames_per_s)
        self._files = image_files(folder)

    def __iter__(self) -> Iterator[Picture | UnreadableImageError]:
        for file in self._files:
            try:
                image = np.asarray(upright(open_image(file)).convert("RGB"))
            except ValueError as error:
                yield UnreadableImageError(str(error))
            else:
                yield _picture(file.name, image)

    def close(self) -> None:
        """Nothing: each file is closed once it is read."""


class _Capture(Video):
    """A source read by OpenCV; gives the pictures of a file that are due at `frames_per_s`, or all of a camera."""

    def __init__(self, source: str, frames_per_s: float) -> None:
        is_camera = source.isdecimal()
        if is_camera and int(source) > MOST_CAMERAS:
            raise ValueError(f"expected a camera's number up to {MOST_CAMERAS}, got {source}")
        self._capture = cv2.VideoCapture(int(source)) if is_camera else cv2.VideoCapture(source)
        if not self._capture.isOpened():
            if is_camera:
                raise ValueError(f"expected a camera {source}, got none")
            raise ValueError(f"expected a video that OpenCV can read, got none in {source}")
        # The size is known before a picture is decoded. OpenCV scales each picture to it, even if it changes later.
        width, height = (round(self._capture.get(of)) for of in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > MOST_IMAGE_PX:
            self.close()
            raise ValueError(f"expected pictures of at most {MOST_IMAGE_PX:,} pixels in {source}, got {width}×{height}")
        self._every = 1.0
        if is_camera:
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not those that wait
        else:
            rate = self._capture.get(cv2.CAP_PROP_FPS)
            rate = rate if LEAST_FPS <= rate <= MOST_FPS else USUAL_FPS
            self._every = max(1.0, rate / frames_per_s)
            frames_per_s = min(frames_per_s, rate)
        super().__init__(frames_per_s)

    def __iter__(self) -> Iterator[Picture | UnreadableImageError]:
        number, taken = 0, 0
        while self._capture.grab():
            number += 1
            if number - 1 < round(taken * self._every):
                continue
            taken += 1
            is_whole, image = self._capture.retrieve()
            if is_whole:
                yield _picture(f"picture {number}", cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            else:
                yield UnreadableImageError(f"picture {number}")

    def close(self) -> None:
        self._capture.release()


def open_video(source: str, frames_per_s: float) -> Video:
    """Open a video.

    Args:
        source: a file, a folder of images, or the number of a camera.
        frames_per_s: pictures to take of each second; a file with fewer is played at its own rate.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if OpenCV can't read it, or its pictures are too large.
    """
    # Silence FFmpeg and OpenCV: our own error reports a damaged file or a missing camera in one line.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    path = Path(source)
    if path.is_dir():
        return _Folder(path, frames_per_s)
    if not path.is_file() and not source.isdecimal():
        raise FileNotFoundError(f"expected a video, a folder of images or a camera's number, found none at {source}")
    return _Capture(source, frames_per_s)


def _picture(name: str, image: np.ndarray) -> Picture | UnreadableImageError:
    try:
        return Picture(name, middle_square(image))
    except ValueError as error:
        return UnreadableImageError(f"{name}: {error}")


def middle_square(image: np.ndarray) -> np.ndarray:
    """The square in the middle of a picture, (H, W, 3) uint8, as large as the server takes.

    Raises:
        ValueError: if the picture is smaller than the server takes.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    if side < SMALLEST_IMAGE_PX:
        raise ValueError(f"expected a picture of at least {SMALLEST_IMAGE_PX} px, got {width}×{height}")
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    if side <= LARGEST_PX:
        return np.ascontiguousarray(square)
    return cv2.resize(square, (LARGEST_PX, LARGEST_PX), interpolation=cv2.INTER_AREA)
