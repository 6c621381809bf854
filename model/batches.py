"""Draw augmented training batches from frames in memory."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import cv2
import keras
import numpy as np

from model import augment
from model.dataset import Frames
from model.images import normalise
from model.profile import Profile
from model.scoring import HERO, PEOPLE
from model.startup import end_with_parent

AUGMENTATIONS = ("shift", "light", "far")

# Augmentation "far": share of the frames that get up to two pasted people; share of those without a hero that get one.
PASTED_PEOPLE, PASTED_HERO = 0.4, 0.4
# Smaller figures are too coarse to cut out.
CUTOUT_LEAST_PX = 20


class AugmentedBatches(keras.utils.PyDataset):
    """Training batches; each depends on seed, epoch and step only.

    Args:
        frames: pairs to draw from.
        augmentation: `"shift"`, as in the original project: move and pad; `"light"`: also mirror and change the light;
            `"far"`: crop a window at another scale, mirror, change the light, and paste in people and heroes from other
            frames as far figures.
        crop_px: height and width of the drawn images, px; only `"far"` can change the size of the frames.
        batch: pairs in a batch.
        steps: batches in an epoch.
        hero_share: share of a batch drawn from frames with the hero, in [0, 1]; 0 draws from all frames alike, without
            replacement.
        seed: the same seed gives the same batches.
        weights: (N,) how often to draw each frame, relative to the others with (or without) the hero; None draws them
            equally often. Unused if `hero_share` is 0.
        workers: number of batches that are prepared at the same time. With more than one, each is prepared in its own
            process, or in a thread if the system cannot fork. The batches and their order do not depend on it.
        profile: the hero's profile: whether figures may be mirrored, size and stretch of pasted far figures.
        more_profiles: profiles of further targets; each is treated like the hero.

    Attributes:
        epoch: number of the epoch to draw; training sets it at the start of each epoch.

    Raises:
        ValueError: if there are no frames with or without the hero, `batch` is larger than the set, or `"far"` finds no
            complete figure of people or of the hero to cut out.
    """

    def __init__(
        self,
        frames: Frames,
        *,
        augmentation: str,
        crop_px: int,
        batch: int,
        steps: int,
        hero_share: float,
        seed: int,
        profile: Profile,
        weights: np.ndarray | None = None,
        workers: int = 1,
        more_profiles: Sequence[Profile] = (),
    ) -> None:
        super().__init__(workers=workers, max_queue_size=max(10, 2 * workers))
        shows_hero = frames.shows_hero()
        self._frames = frames
        self._with_hero = np.flatnonzero(shows_hero)
        self._without = np.flatnonzero(~shows_hero)
        if not len(self._with_hero) or not len(self._without):
            raise ValueError(
                "expected frames with and without the hero, "
                f"got {len(self._with_hero)} with and {len(self._without)} without"
            )
        if not 1 <= batch <= len(frames.images):
            raise ValueError(f"batch must be 1 to {len(frames.images)} (the whole set), got {batch}")
        self._weights = weights
        # Class number → profile. People have the hero's profile.
        self._profiles = dict(enumerate((profile, profile, *more_profiles), PEOPLE))
        self._is_mirrored = all(each.is_mirrored for each in self._profiles.values())
        self._crop_px = crop_px
        self._batch, self._steps, self._seed = batch, steps, seed
        self._heroes = round(hero_share * batch)
        augmentations = {"shift": self._augment_shift, "light": self._augment_light, "far": self._augment_far}
        self._augment = augmentations[augmentation]
        if augmentation == "far":
            self._cutouts = {number: _cutouts(frames, number, each) for number, each in self._profiles.items()}
        self.epoch = 0
        self._processes = _process_pool(self, workers) if workers > 1 else None

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """One batch: (batch, px, px, 3) float32 in [−1, 1] and (batch, px, px) uint8 class numbers.

        Raises:
            OSError: if a process that draws was ended, as by a system that lacks memory.
        """
        try:
            drawn = self._processes.submit(_draw_inherited, self.epoch, step).result() if self._processes else None
        except BrokenProcessPool as error:
            raise OSError("expected each process to go on preparing batches (--workers), one ended early") from error
        images, masks = drawn or self.draw(self.epoch, step)
        return normalise(images), masks

    def draw(self, epoch: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The images, (batch, px, px, 3) uint8, and the masks, (batch, px, px) uint8, of a step."""
        rng = np.random.default_rng([self._seed, epoch, step])
        if self._heroes:
            counts = ((self._with_hero, self._heroes), (self._without, self._batch - self._heroes))
            chosen = np.concatenate([self._draw(numbers, count, rng) for numbers, count in counts])
        else:
            chosen = rng.choice(len(self._frames.images), self._batch, replace=False)
        images, masks = zip(*(self._augment(number, rng) for number in chosen), strict=True)
        return np.stack(images), np.stack(masks)

    def _draw(self, numbers: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw `count` of the frame numbers by the frames' weights, with replacement."""
        if self._weights is None:
            return rng.choice(numbers, count)
        weights = self._weights[numbers]
        return rng.choice(numbers, count, p=weights / weights.sum())

    def _augment_shift(self, number: int, rng: np.random.Generator) -> augment.Pair:
        return augment.shift_and_pad(self._frames.images[number], self._frames.masks[number], rng)

    def _augment_light(self, number: int, rng: np.random.Generator) -> augment.Pair:
        image, mask = self._mirrored(number, rng)
        return augment.shift_and_pad(augment.light(image, rng), mask, rng)

    def _mirrored(self, number: int, rng: np.random.Generator) -> augment.Pair:
        image, mask = self._frames.images[number], self._frames.masks[number]
        return augment.flip(image, mask, rng) if self._is_mirrored else (image, mask)

    def _augment_far(self, number: int, rng: np.random.Generator) -> augment.Pair:
        image, mask = self._mirrored(number, rng)
        image, mask = augment.window(image, mask, rng, self._crop_px, around=mask >= HERO)
        pasted = [PEOPLE] * int(rng.integers(0, 3)) if rng.random() < PASTED_PEOPLE else []
        if not (mask >= HERO).any() and rng.random() < PASTED_HERO:
            targets = len(self._profiles) - 1
            pasted.append(HERO if targets == 1 else HERO + int(rng.integers(targets)))
        for number in pasted:
            profile, cutouts = self._profiles[number], self._cutouts[number]
            area_px = np.exp(rng.uniform(*np.log(profile.pasted_px)))
            cutout = cutouts[rng.integers(len(cutouts))]
            image, mask = augment.paste(image, mask, cutout, area_px, rng, profile)
        if pasted:
            image = augment.compress(image, rng)
        return augment.tint(augment.light(image, rng), rng), mask


def _cutouts(frames: Frames, class_number: int, profile: Profile) -> list[augment.Cutout]:
    """All figures of a class that are large enough and complete."""
    found = [
        cutout
        for image, mask in zip(*frames, strict=True)
        for cutout in augment.cut_out(image, mask, class_number, CUTOUT_LEAST_PX)
    ]
    if not found:
        name = profile.others if class_number == PEOPLE else profile.name
        raise ValueError(f"expected frames with a whole {name} figure to cut out, got none")
    return found


# The batches that a forked process draws from. It shares the frames with its parent process and copies none.
_inherited: AugmentedBatches


def _process_pool(batches: AugmentedBatches, workers: int) -> ProcessPoolExecutor | None:
    """Processes to draw batches in; None where the system cannot fork."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return None
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _prepare_process, (batches,))
    pool.submit(os.getpid).result()  # forks now, before the network's backend has threads
    return pool


def _prepare_process(batches: AugmentedBatches) -> None:
    """Prepare a forked process: it draws from `batches`, and ends with its parent process, which takes Ctrl-C."""
    global _inherited
    _inherited = batches
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)  # a forked process has none of OpenCV's threads
    end_with_parent()


def _draw_inherited(epoch: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    return _inherited.draw(epoch, step)
