"""The network in use, and its exchange for another one while drones fly.

    POST /network, SIGHUP ─▶ a thread: resolve, load, test ─▶ perception, between two frames ─▶ listeners

The event loop never waits for a file. If anything fails, the network in use stays. Sessions keep their people. The
evidence of the former network counts until the new network's evidence has replaced it, which takes a few seconds
(`server.flight.identity`).
"""

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from model.command import error_text, printable
from model.engines import Engine
from model.loading import network_files, networks_in
from server.sight.perception import Perception
from server.sight.sight import Sight
from server.supervision import Faults
from server.wire.messages import shorten

logger = logging.getLogger(__name__)

EXCHANGED, FAILED = "exchanged", "failed"
OUR_ERROR = "internal error; the server's log says more"
LONGEST_NAME = 200
# Time between two listings of the folder for the page, and the most networks that it shows.
LIST_S, MOST_LISTED = 5.0, 100


class Loading:
    """The progress of loading a network.

    Args:
        name: the network as the user named it.

    Attributes:
        name: as given.
        is_over: whether loading has succeeded or failed.
        trouble: why loading has failed; None if it has not failed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_over = False
        self.trouble: str | None = None


class BusyError(Exception):
    """Another network is being loaded; the message says which."""


class Networks:
    """The network in use and its exchange, see the module. Only the event loop calls it.

    Args:
        weights: path of the network in use, as the user named it.
        sight: the sight with that network.
        folder: folder of the networks that may be asked for by name; None if none may be asked for.
        load: opens and tests a network; called in a thread, raises ValueError or OSError with a single line.
        make_sight: makes the sight with a network.
        perception: sees all frames.
        post: has a call run on the event loop, from any thread.
        faults: where our own errors are reported.

    Attributes:
        listeners: called with the new `Sight`, after the former network's last answer and before the new one's first.
        outcomes: numbers of exchanges and of failures.
    """

    def __init__(
        self,
        weights: str,
        sight: Sight,
        folder: Path | None,
        load: Callable[[str], Engine],
        make_sight: Callable[[Engine], Sight],
        perception: Perception,
        post: Callable[..., None],
        faults: Faults,
    ) -> None:
        self._sight, self._weights, self._folder = sight, weights, folder
        self._load, self._make_sight = load, make_sight
        self._perception, self._post, self._faults = perception, post, faults
        self.listeners: list[Callable[[Sight], None]] = []
        self.outcomes = Counter({EXCHANGED: 0, FAILED: 0})
        self._latest: Loading | None = None
        self._choices: list[str] = []
        # A network to load: its path, and whether it must be below the folder.
        self._orders: queue.SimpleQueue[tuple[Loading, str, bool]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="networks", daemon=True)

    def start(self) -> None:
        """Start the thread, which ends with the process."""
        self._thread.start()

    @property
    def engine(self) -> Engine:
        """The network in use."""
        return self._sight.engine

    @property
    def weights(self) -> str:
        """Path of the network in use."""
        return self._weights

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of all targets of the network in use."""
        return self._sight.card.targets

    @property
    def target(self) -> str:
        """Name of the target that a new simulator follows."""
        return self._sight.card.profile.name

    @property
    def is_loading(self) -> bool:
        """Whether another network is being loaded."""
        return self._latest is not None and not self._latest.is_over

    def about(self) -> dict[str, Any]:
        """The state of the networks for the page."""
        return {
            "name": self._weights,
            "engine": self.engine.description,
            "targets": self.targets,
            "loading": self._latest.name if self._latest is not None and self.is_loading else None,
            "trouble": None if self._latest is None else self._latest.trouble,
            "choices": None if self._folder is None else self._choices,
        }

    def ask(self, name: object) -> Loading:
        """Load a network by its path below the folder, and use it once it has passed its test.

        Raises:
            ValueError: if the server has no folder of networks, or `name` is not a valid path.
            BusyError: while another network is being loaded.
        """
        if self._folder is None:
            raise ValueError("expected a server that was started with --networks, got one without")
        if not (isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable()):
            raise ValueError(f"expected the path of a network below {self._folder}, got {shorten(name, LONGEST_NAME)}")
        return self._order_load(name, str(self._folder / name), is_of_folder=True)

    def reload(self) -> None:
        """Load the network in use again, from the same file."""
        try:
            self._order_load(self._weights, self._weights, is_of_folder=False)
        except BusyError as error:
            logger.warning("not reloading: %s", error)

    def _order_load(self, name: str, weights: str, is_of_folder: bool) -> Loading:
        if self._latest is not None and self.is_loading:
            raise BusyError(f"{self._latest.name} is being loaded")
        logger.info("loading the network %s", printable(name))
        loading = self._latest = Loading(name)
        self._orders.put((loading, weights, is_of_folder))
        return loading

    def _run(self) -> None:
        while True:
            if self._folder is not None:
                with self._faults.contained("networks"):
                    names = [file.relative_to(self._folder).as_posix() for file in networks_in(self._folder)]
                    self._post(self._set_choices, names[:MOST_LISTED])
            try:
                loading, weights, is_of_folder = self._orders.get(timeout=None if self._folder is None else LIST_S)
            except queue.Empty:
                continue
            with self._faults.contained("networks", partial(self._post, self._fail, loading, OUR_ERROR)):
                try:
                    if is_of_folder:
                        self._check_place(weights)
                    sight = self._checked_sight(self._load(weights))
                except (ValueError, OSError) as error:
                    self._post(self._fail, loading, error_text(error))
                else:
                    self._post(self._exchange, loading, weights, sight)

    def _checked_sight(self, engine: Engine) -> Sight:
        """The sight with a loaded network.

        Raises:
            ValueError: if the network runs here while the network in use runs on another machine, or if it does not
                have the target that the user asked for.
        """
        try:
            if self.engine.is_remote and not engine.is_remote:
                raise ValueError(f"expected a network that another machine infers, got {engine.description}")
            return self._make_sight(engine)
        except ValueError:
            engine.close()
            raise

    def _check_place(self, weights: str) -> None:
        """Check that a network's path is in the folder, and also its files, which may be links."""
        assert self._folder is not None
        folder = self._folder.resolve()
        is_named = Path(weights).resolve().is_relative_to(folder)
        if not is_named or not all(file.resolve().is_relative_to(folder) for file in network_files(weights)):
            raise ValueError(f"expected a network below {self._folder}, got {shorten(weights, LONGEST_NAME)}")

    def _set_choices(self, names: list[str]) -> None:
        self._choices = names

    def _exchange(self, loading: Loading, weights: str, sight: Sight) -> None:
        """Hand the network to perception; `_switch_to` runs once the former network's frames have been answered."""
        with self._faults.contained("networks", partial(self._fail, loading, OUR_ERROR)):
            self._perception.exchange(sight, lambda: self._post(self._switch_to, loading, weights, sight))

    def _switch_to(self, loading: Loading, weights: str, sight: Sight) -> None:
        former, self._sight, self._weights = self.engine, sight, weights
        self.outcomes[EXCHANGED] += 1
        loading.is_over = True
        classes = ", ".join(sight.engine.card.classes)
        logger.info("network from now on: %s, %d px, classes %s", printable(weights), sight.engine.input_px, classes)
        logger.info("engine: %s", sight.engine.description)
        for listener in self.listeners:
            with self._faults.contained("networks"):
                listener(sight)
        with self._faults.contained("networks"):
            former.close()

    def _fail(self, loading: Loading, trouble: str) -> None:
        self.outcomes[FAILED] += 1
        loading.is_over, loading.trouble = True, trouble
        logger.warning("the network in use goes on; %s was not loaded: %s", printable(loading.name), printable(trouble))
