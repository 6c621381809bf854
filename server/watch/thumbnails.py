"""Small pictures of many simulators at once, for the page's wall: drawn only when asked for, and not too often."""

import math

from server.simulator import Simulator, Taken
from server.watch.overlay import Picture

# Most thumbnails in one answer, some 10 kB each; shortest time between two thumbnails of one simulator.
MOST_THUMBNAILS, PERIOD_S = 24, 0.8


class Thumbnails:
    """The latest thumbnail of each simulator that was asked for; a listener. Only the event loop calls it."""

    def __init__(self) -> None:
        self._kept: dict[Simulator, Thumbnail] = {}

    def connected(self, simulator: Simulator) -> "Thumbnail":
        """Have one of it from now on, when asked."""
        self._kept[simulator] = Thumbnail(simulator, self)
        return self._kept[simulator]

    def remove(self, simulator: Simulator) -> None:
        """Forget one that has gone."""
        self._kept.pop(simulator, None)

    def is_wanted(self, simulator: Simulator) -> bool:
        """Whether its next frame is to be drawn."""
        return simulator in self._kept and self._kept[simulator].is_wanted

    def show(self, picture: Picture) -> None:
        """Keep a new one for whoever asks next, if its simulator is still there."""
        if picture.simulator in self._kept:
            thumbnail = self._kept[picture.simulator]
            thumbnail.image, thumbnail.is_wanted = picture.image, False

    def ask(self, first: int, now_s: float) -> dict[str, str]:
        """The latest thumbnails of some simulators; has new ones drawn of their next frames.

        Args:
            first: how many simulators to leave out, in the order in which they came; up to `MOST_THUMBNAILS` follow.
            now_s: monotonic seconds.

        Returns:
            By the simulators' names JPEGs in base64, of those that have one.
        """
        asked = list(self._kept.values())[first : first + MOST_THUMBNAILS]
        for thumbnail in asked:
            if now_s - thumbnail.asked_s >= PERIOD_S:
                thumbnail.asked_s, thumbnail.is_wanted = now_s, True
        return {each.simulator.name: each.image for each in asked if each.image is not None}


class Thumbnail:
    """One simulator's; watches it.

    Attributes:
        simulator: as connected.
        image: a JPEG in base64; None before the first.
        is_wanted: whether its next frame is to be drawn.
        asked_s: when it was last decided to draw one, monotonic seconds.
    """

    def __init__(self, simulator: Simulator, thumbnails: Thumbnails) -> None:
        self.simulator, self._thumbnails = simulator, thumbnails
        self.image: str | None = None
        self.is_wanted, self.asked_s = False, -math.inf

    def taken(self, taken: Taken) -> None:
        """See `Watch`."""

    def answered(self, taken: Taken, now_s: float) -> None:
        """See `Watch`."""

    def disconnected(self) -> None:
        """See `Watch`."""
        self._thumbnails.remove(self.simulator)
