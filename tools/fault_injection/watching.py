"""Watch where a server's frames are inferred, and whether all drones follow."""

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence

from tools.fault_injection.drones import Drone
from tools.simulator.server_process import ServerProcess

POLL_S = 0.1
STEADY_S, STEADY_WITHIN_S = 5.0, 120.0
FAILED_IMAGES = 'followme_remote_images_total{outcome="failed"}'


class EngineWatch:
    """Asks a server every `POLL_S` where its frames are inferred; see `watching`.

    Args:
        server: with `--engine URL`.
    """

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._seen: list[tuple[float, bool]] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    @property
    def is_remote(self) -> bool:
        """Whether frames are inferred by the fleet now."""
        return bool(self._seen) and self._seen[-1][1]

    def back_after_s(self, begin_s: float) -> float:
        """Time from `begin_s` (monotonic) to the fleet's last return; 0 if it was never away, NaN if it is away now."""
        return back_after_s([(at_s, is_remote) for at_s, is_remote in self._seen if at_s >= begin_s], begin_s)

    def stop(self) -> None:
        """Stop asking."""
        self._is_over.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._is_over.wait(POLL_S):
            with contextlib.suppress(OSError):  # the machine is busy: ask again
                is_remote = self._server.health()[1]["is_remote"]
                self._seen.append((time.monotonic(), is_remote))


def back_after_s(seen: Sequence[tuple[float, bool]], begin_s: float) -> float:
    """Compute `EngineWatch.back_after_s` from samples: (monotonic s, whether the fleet infers)."""
    if not seen or not seen[-1][1]:
        return math.nan
    away_s = max((at_s for at_s, is_remote in seen if not is_remote), default=None)
    return 0.0 if away_s is None else next(at_s for at_s, _ in seen if at_s > away_s) - begin_s


@contextlib.contextmanager
def watching(server: ServerProcess) -> Iterator[EngineWatch]:
    """Watch a server until the block ends."""
    watch = EngineWatch(server)
    try:
        yield watch
    finally:
        watch.stop()


def becomes_steady(watch: EngineWatch, drones: Sequence[Drone]) -> bool:
    """Wait until the fleet has inferred and all drones have followed for `STEADY_S`; False after `STEADY_WITHIN_S`."""
    begin_s = since_s = time.monotonic()
    while (now_s := time.monotonic()) < begin_s + STEADY_WITHIN_S:
        if not (watch.is_remote and all(drone.is_following for drone in drones)):
            since_s = now_s
        elif now_s - since_s > STEADY_S:
            return True
        time.sleep(POLL_S)
    return False


def failed_images(server: ServerProcess) -> int:
    """Number of images so far for which the server got no usable answer of the fleet."""
    return int(server.metrics().get(FAILED_IMAGES, 0))
