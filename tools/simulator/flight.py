"""A flown episode, frame by frame: places of people, coordinates told to the drone, people whom the pilot tracked."""

from typing import NamedTuple

import numpy as np

VISIBLE_MORE_THAN_PX = 10
ON_TARGET_M = 2.0
SHOWN_S = 1.0
NOBODY = -1


class Tracked(NamedTuple):
    """A person whom a pilot believes to be in view: `id` stays with the person; horizontal position, world frame."""

    id: int
    x_m: float
    y_m: float


class Flight(NamedTuple):
    """A flown episode at the times of its F camera frames, `period_s` apart.

    Args:
        period_s: time between two frames.
        hero_m: (F, 2) horizontal position of the hero, world frame.
        others_m: (F, N, 2) horizontal positions of the other people, world frame.
        hero_px: (F,) pixels that show the hero.
        told_m: (F, 2) latest coordinates that the drone was told to follow, NaN on patrol.
        in_view: (F, 1 + N) bool, whether each person is in view and near enough to be placed; the hero first.
        tracked: for each of the F frames, the people whom the pilot tracked, with different ids.
        on_target_m: distance to the hero within which the coordinates are on target.
        alike: number of others of the hero's kind, which have the hero's length (a car's); they are the first others.
    """

    period_s: float
    hero_m: np.ndarray
    others_m: np.ndarray
    hero_px: np.ndarray
    told_m: np.ndarray
    in_view: np.ndarray
    tracked: tuple[tuple[Tracked, ...], ...]
    on_target_m: float = ON_TARGET_M
    alike: int = 0

    @property
    def errors_m(self) -> np.ndarray:
        """Distance of the coordinates to the hero, (F,) metres, NaN on patrol."""
        return np.linalg.norm(self.told_m - self.hero_m, axis=1)

    @property
    def to_others_m(self) -> np.ndarray:
        """Distances of the coordinates to the other people, (F, N) metres, NaN on patrol."""
        return np.linalg.norm(self.told_m[:, None] - self.others_m, axis=2)

    @property
    def is_on_target(self) -> np.ndarray:
        """Whether the coordinates are within `on_target_m` of the hero, (F,) bool."""
        return self.errors_m <= self.on_target_m

    @property
    def on_person_m(self) -> np.ndarray:
        """Distance to each person within which the coordinates are on them, (1 + N,) metres, the hero first."""
        limits_m = np.full(1 + self.others_m.shape[1], ON_TARGET_M)
        limits_m[: 1 + self.alike] = self.on_target_m
        return limits_m

    @property
    def is_on_wrong_person(self) -> np.ndarray:
        """Whether the coordinates are not on target and nearer to another person, (F,) bool."""
        return (self.errors_m > self.on_target_m) & (self.to_others_m.min(axis=1, initial=np.inf) < self.errors_m)

    @property
    def is_visible(self) -> np.ndarray:
        """Whether the hero is visible, (F,) bool."""
        return self.hero_px > VISIBLE_MORE_THAN_PX

    @property
    def is_shown_from(self) -> np.ndarray:
        """Whether every frame of the second that begins here shows the hero, (F,) bool."""
        frames = round(SHOWN_S / self.period_s)
        visible = np.concatenate([self.is_visible, np.zeros(frames - 1, bool)])
        return np.all(np.lib.stride_tricks.sliding_window_view(visible, frames), axis=1)

    @property
    def people_m(self) -> np.ndarray:
        """Horizontal positions of all people, (F, 1 + N, 2) metres, the hero first."""
        return np.concatenate([self.hero_m[:, None], self.others_m], axis=1)


def runs_of(is_so: np.ndarray) -> list[tuple[int, int]]:
    """First frame and end (the frame after the last) of each run of true frames of (F,) bool."""
    edges = np.flatnonzero(np.diff(is_so.astype(int), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
