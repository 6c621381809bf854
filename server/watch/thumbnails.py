"""Small pictures of many simulators for the page's wall. They are drawn only when asked for, and not too often."""

import math

from server.simulator import Simulator, Taken, Watch
from server.watch.about import MOST_LAG_S
from server.watch.overlay import Picture

# Most thumbnails in one answer, some 10 kB each; shortest time between two thumbnails of one simulator.
MOST_THUMBNAILS, PERIOD_S = 24, 0.8


class Thumbnails:
    """The latest thumbnail of each simulator that was asked for; a listener. Only the event loop calls it."""

    def __init__(self) -> None:
        self._kept: dict[Simulator, Thumbnail] = {}

    def connected(self, simulator: Simulator) -> "Thumbnail":
        """Keep the thumbnail of a simulator from now on."""
        self._kept[simulator] = Thumbnail(simulator, self)
        return self._kept[simulator]

    def remove(self, simulator: Simulator) -> None:
        """Forget a simulator that has disconnected."""
        self._kept.pop(simulator, None)

    def is_wanted(self, simulator: Simulator) -> bool:
        """Whether its next frame is to be drawn."""
        return simulator in self._kept and self._kept[simulator].is_wanted

    def show(self, picture: Picture) -> None:
        """Keep a new thumbnail for the next request, if its simulator is still connected."""
        if picture.simulator in self._kept:
            thumbnail = self._kept[picture.simulator]
            thumbnail.picture, thumbnail.is_wanted = picture, False

    def ask(self, first: int, now_s: float) -> dict[str, str]:
        """The latest thumbnails of some simulators. New ones are drawn from their next frames.

        Args:
            first: how many simulators to skip, in the order in which they connected; up to `MOST_THUMBNAILS` follow.
            now_s: monotonic seconds.

        Returns:
            Simulator's name → JPEG in base64. A simulator is left out if it has no thumbnail, or if its thumbnail is
            much older than its newest frame.
        """
        # The page asks for some thumbnails at a time. With more simulators on the wall, it asks for each less often.
        most_lag_s = MOST_LAG_S * math.ceil(len(self._kept) / MOST_THUMBNAILS)
        asked = list(self._kept.values())[first : first + MOST_THUMBNAILS]
        for thumbnail in asked:
            if now_s - thumbnail.asked_s >= PERIOD_S:
                thumbnail.asked_s, thumbnail.is_wanted = now_s, True
        return {
            each.simulator.name: each.picture.image
            for each in asked
            if each.picture is not None and each.seen_s - each.picture.arrival_s <= most_lag_s
        }


class Thumbnail(Watch):
    """The thumbnail of one simulator, and its watch.

    Attributes:
        simulator: as connected.
        picture: the latest thumbnail; None before the first.
        seen_s: arrival of the newest frame that was understood, monotonic seconds.
        is_wanted: whether the simulator's next frame is to be drawn.
        asked_s: when a thumbnail was last ordered, monotonic seconds.
    """

    def __init__(self, simulator: Simulator, thumbnails: Thumbnails) -> None:
        self.simulator, self._thumbnails = simulator, thumbnails
        self.picture: Picture | None = None
        self.seen_s = self.asked_s = -math.inf
        self.is_wanted = False

    def answered(self, taken: Taken, now_s: float) -> None:
        """Note a frame that was understood."""
        if taken.frame is not None and taken.view is not None:
            self.seen_s = taken.frame.arrival_s

    def disconnected(self) -> None:
        """See `Watch`."""
        self._thumbnails.remove(self.simulator)
