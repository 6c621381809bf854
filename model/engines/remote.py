"""A network that runs on another machine. Failures are reported, and a local engine may take over.

    answers fail ─▶ the local engine takes over ─▶ a thread asks the other machine again and again ─▶ back

The frame that failed is lost, and its drone is told so. No frame is inferred twice.
"""

import logging
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.card import read_card
from model.engines.engine import Engine, UnavailableError
from model.engines.inference_client import MOST_TOGETHER, InferenceClient
from model.engines.parts import parts_sha256
from model.engines.second_look import SecondLook, second_look_file
from model.engines.shipped import MADE_BY, shipped
from model.loading import network_name, resolve_weights, weights_sha256

logger = logging.getLogger(__name__)

# Longest time for the first answers, because programs that have just started are slow.
CONNECT_S = 10.0
PROBE_S = 1.0
# Number of probes in a row that must be answered in time before frames go to the other machine again. It doubles each
# time that the other machine fails within STABLE_S of its return.
FEWEST_PROBES, MOST_PROBES = 3, 48
STABLE_S = 60.0


@dataclass(frozen=True)
class InferenceHost:
    """Another machine on which networks run.

    Args:
        url: result of `check_url`.
        deadline_s: longest time for the answer on a frame.
        token: bearer token to send; None for none.
    """

    url: str
    deadline_s: float
    token: str | None = None


class RemoteEngine(Engine):
    """Infers images on another machine.

    Args:
        client: its client, which has passed its check unless there is a `local` engine.
        deadline_s: longest time for the answers on a batch.
        local: infers while the other machine does not; None if the frames are to fail meanwhile.
        trouble: why the local engine infers first; None if the other machine does.
    """

    def __init__(
        self,
        client: InferenceClient,
        deadline_s: float,
        local: Engine | None = None,
        trouble: str | None = None,
    ) -> None:
        self._client, self._deadline_s, self._local = client, deadline_s, local
        self._trouble = trouble
        # One thread at a time may use the client, but several may infer when the other machine has just come back. The
        # probe uses it only while `_uses_local` is set. That is set under this lock, and so never during an inference.
        self._asking = threading.Lock()
        self._uses_local = threading.Event()  # set while the local engine infers
        self._is_closed = threading.Event()
        self._returned_s, self._probes = -math.inf, FEWEST_PROBES
        if local is not None:
            if trouble is not None:
                self._uses_local.set()
            threading.Thread(target=self._probe, args=(local,), name="probe", daemon=True).start()

    @property
    def is_remote(self) -> bool:  # type: ignore[override]
        """See `Engine`."""
        return not self._uses_local.is_set()

    @property
    def description(self) -> str:  # type: ignore[override]
        """See `Engine`: where images are inferred now and, if by the local engine, why."""
        local, trouble = self._active_local(), self._trouble
        # There is no trouble for an instant when the other machine takes over again, and while the engine is closed.
        if local is not None and trouble is not None:
            return f"{local.description}, because {trouble}"
        return f"{self._client.url} ({self._client.platform})"

    @property
    def most_per_batch(self) -> int:  # type: ignore[override]
        """See `Engine`."""
        return MOST_TOGETHER if (local := self._active_local()) is None else local.most_per_batch

    @property
    def most_at_once(self) -> int:  # type: ignore[override]
        """See `Engine`."""
        return 1 if (local := self._active_local()) is None else local.most_at_once

    @property
    def remote_outcomes(self) -> Mapping[str, int]:  # type: ignore[override]
        """See `Engine`."""
        return self._client.outcomes

    def infer(self, images: np.ndarray) -> np.ndarray:
        """See `Engine.infer`."""
        since_s = time.monotonic()
        local = self._active_local()
        if local is None:
            with self._asking:
                local = self._active_local()  # another thread may have failed meanwhile
                if local is None:
                    return self._infer_remote(images, since_s)
        return local.infer(images)

    def close(self) -> None:
        """See `Engine.close`."""
        self._is_closed.set()
        self._uses_local.set()  # so that the thread sees it
        self._client.close()

    def _active_local(self) -> Engine | None:
        """The local engine while it infers, else None."""
        return None if self.is_remote else self._local

    def _infer_remote(self, images: np.ndarray, since_s: float) -> np.ndarray:
        try:
            probabilities = self._client.infer(images, self._deadline_s, since_s)
        except UnavailableError as error:
            self._fail(str(error))
            raise
        if self._trouble is not None:
            self._trouble = None
            logger.info("%s answers again", self._client.url)
        return probabilities

    def _fail(self, trouble: str) -> None:
        is_first, self._trouble = self._trouble is None, trouble
        if self._local is not None:
            is_stable = time.monotonic() - self._returned_s > STABLE_S
            self._probes = FEWEST_PROBES if is_stable else min(2 * self._probes, MOST_PROBES)
            self._uses_local.set()
            logger.warning("%s; frames are now inferred on this machine, by %s", trouble, self._local.description)
        elif is_first:
            logger.warning("%s; perception fails until it answers again", trouble)

    def _probe(self, local: Engine) -> None:
        """Ask the other machine while the local engine infers, and go back when it is healthy."""
        while not self._is_closed.is_set():
            self._uses_local.wait()
            healthy = 0
            while healthy < self._probes:
                if self._is_closed.wait(PROBE_S):
                    return
                healthy = healthy + 1 if self._is_healthy() else 0
            self._trouble, self._returned_s = None, time.monotonic()
            self._uses_local.clear()
            logger.info("%s answers again; frames are inferred there from now on", self._client.url)

    def _is_healthy(self) -> bool:
        try:
            self._client.check(self._deadline_s)
            return True
        except UnavailableError as error:
            logger.debug("%s", error)
        except ValueError as error:  # another network
            if str(error) != self._trouble:
                self._trouble = str(error)
                logger.warning("%s", error)
        except Exception:
            logger.exception("internal error in the probe of %s", self._client.url)
        return False


def connect(host: InferenceHost, weights: str | Path, local: Engine | None = None) -> RemoteEngine:
    """Use a network that runs on another machine.

    Args:
        host: that machine; the model's name there is the weights' name without its ending.
        weights: as `model.loading.load_network` takes: the same network, whose card and second look are used.
        local: the same network, loaded: it infers while the other machine does not.

    Raises:
        UnavailableError: if there is no answer and no `local` engine.
        ValueError: if another network is there, or a file here is not as expected; a single line.
        FileNotFoundError: if there are no weights, or no second look although the card has one.
    """
    path = resolve_weights(weights)
    card, sha256 = read_card(path), weights_sha256(path)
    second_look = None if card.second_evidence is None else SecondLook(second_look_file(path))
    answers = (converted.answer for kind in MADE_BY if (converted := shipped(path, kind)) is not None)
    client = InferenceClient(
        host.url,
        network_name(path),
        card,
        card.input_px if local is None else local.input_px,
        sha256,
        next(answers, None),
        host.token,
    )
    trouble = None
    try:
        client.check(CONNECT_S)
    except UnavailableError as error:
        if local is None:
            client.close()
            raise
        trouble = str(error)
        logger.warning("%s; frames are inferred on this machine until it answers", trouble)
    except ValueError:
        client.close()
        raise
    engine = RemoteEngine(client, host.deadline_s, local, trouble)
    engine.card, engine.input_px, engine.second_look = card, client.input_px, second_look
    engine.weights, engine.weights_sha256 = str(weights), sha256
    engine.parts_sha256 = parts_sha256(path, engine)
    return engine
