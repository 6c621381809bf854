"""Asks a machine that speaks the Open Inference Protocol v2 to run a network, and checks every answer."""

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np

from model.card import Card
from model.engines.engine import UnavailableError
from model.engines.inference_protocol import (
    CARD,
    SHA256,
    Message,
    ModelMetadata,
    ProtocolError,
    TensorMetadata,
    version,
)
from model.engines.lane import Lane, Question, open_lane, quoted
from model.engines.self_test import agrees, check_probabilities, known_frame
from model.loading import MOST_INPUT_PX

# Most images that are sent at the same time. Each has its own connection; the other side divides connections among its
# programs.
MOST_TOGETHER = 8
# Most bytes of an answer besides its tensor.
MOST_OTHER_BYTES = 10_000
OUTPUT_TYPES = ("FP16", "FP32")
ANSWERED, FAILED = "answered", "failed"

Result = TypeVar("Result")


class AnotherNetworkError(ValueError):
    """The other machine has another network than expected; a single line."""


class InferenceClient:
    """One network on another machine. One thread at a time uses it.

    `check` checks the network. The network is checked again after a failure, and before an answer over a new connection
    is used, because the other machine may have another network by then. An answer with the version of the weights needs
    no such check.

    Args:
        url: result of `check_url`; its scheme selects HTTP or gRPC.
        name: name of the model on the other machine.
        card: card of the expected network.
        input_px: height and width of its input; None if only its metadata say them.
        sha256: digest of its weights.
        known_answer: its answer on the known frame, as `self_test.coarse` gives it; None if unknown.
        token: bearer token to send; None for none.

    Raises:
        ValueError: if a package for the URL's scheme is not installed; a single line.

    Attributes:
        url: as given.
        input_px: height and width of the input; known after the first check at the latest.
        platform: the other machine's description of what runs the network.
        outcomes: how many images have been sent, by outcome.
    """

    def __init__(
        self,
        url: str,
        name: str,
        card: Card,
        input_px: int | None,
        sha256: str,
        known_answer: np.ndarray | None,
        token: str | None = None,
    ) -> None:
        self.url, self._name, self._card, self._sha256 = url, name, card, sha256
        self.input_px = input_px or 0
        self._known_answer, self._token = known_answer, token
        self._input = self._output = TensorMetadata("", "", [])
        self._versions: list[str] = []
        self.platform = ""
        self.outcomes = Counter({ANSWERED: 0, FAILED: 0})
        self._numbers = itertools.count(1)
        self._version_identifies_network = False
        self._lanes = [open_lane(url, token) for _ in range(MOST_TOGETHER)]
        self._pool = ThreadPoolExecutor(MOST_TOGETHER, thread_name_prefix="remote")

    def check(self, deadline_s: float) -> None:
        """Check that the other machine has the expected network, and that it infers.

        Args:
            deadline_s: longest time for the metadata, and for the answer on a frame; twice this time for the further
                connections.

        Raises:
            UnavailableError: if it is not there, or does not answer in time.
            AnotherNetworkError: if it is another network.
        """
        [is_known] = self._ask_all([self._check_description], deadline_s, time.monotonic())
        self._ask_all([partial(self._check_answer, is_known)], deadline_s, time.monotonic())
        self._check_lanes(self._lanes, deadline_s)

    def infer(self, images: np.ndarray, deadline_s: float, since_s: float) -> np.ndarray:
        """Infer images on the other machine, all at the same time.

        Args:
            images: (N, px, px, 3) uint8 RGB, N at most `MOST_TOGETHER`.
            deadline_s: longest time for all answers.
            since_s: when that time begins, monotonic seconds.

        Returns:
            (N, px, px, classes) float32.

        Raises:
            UnavailableError: if an answer is late, invalid, or from another network.
        """
        try:
            # It has its own time limit: with the images it would take twice as long, and a busy machine would be late.
            self._check_lanes(self._lanes[: len(images)], deadline_s)
            if time.monotonic() >= since_s + deadline_s:
                raise UnavailableError(f"{self.url}: its network was checked again, and no time was left for images")
            planes = self._ask_all([partial(self._infer_one, image) for image in images], deadline_s, since_s)
        except (UnavailableError, AnotherNetworkError) as error:
            self.outcomes[FAILED] += len(images)
            for lane in self._lanes:  # it may have failed because its network was exchanged
                lane.is_checked = False
            raise UnavailableError(str(error)) from error
        self.outcomes[ANSWERED] += len(images)
        return np.moveaxis(np.stack(planes), 1, -1)

    def close(self) -> None:
        """Close the connections, without waiting."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for lane in self._lanes:
            lane.abort()

    def _check_lanes(self, lanes: Sequence[Lane], deadline_s: float) -> None:
        """Check the network behind connections; not needed if each answer has the version of its network."""
        if not self._version_identifies_network and not all(lane.is_checked for lane in lanes):
            self._ask_all([self._check_lane] * len(lanes), 2 * deadline_s, time.monotonic())

    def _check_lane(self, lane: Lane, deadline_s: float) -> None:
        if not lane.is_checked:
            self._check_answer(self._check_description(lane, deadline_s), lane, deadline_s)

    def _ask_all(
        self, asks: Sequence[Callable[[Lane, float], Result]], longest_s: float, since_s: float
    ) -> list[Result]:
        """Call each of `asks` with a connection of its own, and return their results.

        All have to end within a time that begins at `since_s`.
        """
        deadline_s = since_s + longest_s
        try:
            futures = [self._pool.submit(ask, lane, deadline_s) for ask, lane in zip(asks, self._lanes, strict=False)]
        except RuntimeError as error:  # from a pool that is shut down
            raise UnavailableError(f"{self.url}: closed") from error
        wait(futures, max(0.0, deadline_s - time.monotonic()))
        if any(not future.done() or isinstance(future.exception(), TimeoutError) for future in futures):
            for future in futures:
                future.cancel()
            # Late answers are not read. Idle connections are closed, too: they may lead to the same stalled machine.
            for lane in self._lanes:
                lane.abort()
            self._lanes = [open_lane(self.url, self._token) for _ in self._lanes]
            raise UnavailableError(f"{self.url}: expected an answer within {longest_s * 1000:.0f} ms, got none")
        try:
            return [future.result() for future in futures]
        except (UnavailableError, ProtocolError) as error:
            raise UnavailableError(f"{self.url}: expected an answer, got: {quoted(str(error))}") from error

    def _infer_one(self, image: np.ndarray, lane: Lane, deadline_s: float) -> np.ndarray:
        """The planes of one image, (classes, px, px) float32, from a checked network."""
        answer = self._ask(image, lane, deadline_s)
        if not self._is_of_network(answer):  # the lane may have reconnected
            self._check_lane(lane, deadline_s)
        return self._planes(answer)

    def _is_of_network(self, answer: Message) -> bool:
        """Whether an answer's version is that of the weights."""
        return answer.content.get("model_version") == version(self._sha256)

    def _ask(self, image: np.ndarray, lane: Lane, deadline_s: float) -> Message:
        number = str(next(self._numbers))
        question = Question(self._name, number, self._input.name, image[None])
        answer = lane.infer(question, deadline_s, 4 * int(np.prod(self._shape)) + MOST_OTHER_BYTES)
        if answer.content.get("id") != number:
            raise ProtocolError(f"the answer to image {str(answer.content.get('id'))[:20]} instead of {number}")
        return answer

    @property
    def _shape(self) -> tuple[int, int, int, int]:
        """Shape of an answer's tensor."""
        return 1, len(self._card.classes), self.input_px, self.input_px

    def _planes(self, answer: Message) -> np.ndarray:
        content, tensors = answer
        if (content.get("model_version") or "") not in ("", *self._versions):
            raise ProtocolError(f"version {str(content['model_version'])[:20]}, not {', '.join(self._versions)}")
        planes = tensors.get(self._output.name)
        if planes is None or planes.shape != self._shape or planes.dtype.kind != "f":
            raise ProtocolError(f"no {self._output.name} of shape {self._shape}")
        planes = planes[0].astype(np.float32)
        try:
            check_probabilities(planes, axis=0)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        return planes

    def _check_description(self, lane: Lane, deadline_s: float) -> bool:
        """Check the network's metadata; returns whether they identify it as the expected network."""
        metadata = lane.metadata(self._name, deadline_s)
        try:
            return self._check_metadata(metadata)
        except ValueError as error:
            raise AnotherNetworkError(f"{self.url}: {quoted(str(error))}") from error

    def _check_answer(self, is_known: bool, lane: Lane, deadline_s: float) -> None:
        """Check the answer on the known frame; `is_known` as `_check_description` returns it."""
        answer = self._ask(known_frame(self.input_px)[0], lane, deadline_s)
        planes, self._version_identifies_network = self._planes(answer), self._is_of_network(answer)
        if self._known_answer is None:
            if not is_known:
                raise AnotherNetworkError(
                    f"{self.url}: expected {SHA256} in the metadata of {self._name}, or the known answer of the "
                    "network beside its weights here; there is neither"
                )
        elif not agrees(np.moveaxis(planes, 0, -1)[None], self._known_answer):
            raise AnotherNetworkError(
                f"{self.url}: expected the known answer of {self._name} on a known frame, got another"
            )
        lane.is_checked = True

    def _check_metadata(self, metadata: ModelMetadata) -> bool:
        """Whether the metadata identify the expected network; False if they have no digest of its weights.

        Raises:
            ValueError: if they do not fit the expected network; a clause.
        """
        if not self.input_px and metadata.inputs and len(metadata.inputs[0].shape) == 4:
            self.input_px = min(max(metadata.inputs[0].shape[1], 1), MOST_INPUT_PX)
        for tensors, what, types, shape in (
            (metadata.inputs, "input", ("UINT8",), [self.input_px, self.input_px, 3]),
            (metadata.outputs, "output", OUTPUT_TYPES, [len(self._card.classes), self.input_px, self.input_px]),
        ):
            got = ", ".join(f"{each.datatype} {each.shape}" for each in tensors)[:100]
            if not (
                len(tensors) == 1
                and tensors[0].datatype in types
                and tensors[0].shape[1:] == shape
                and tensors[0].shape[0] in (-1, 1)
            ):
                raise ValueError(f"expected one {what} of {self._name}, {' or '.join(types)} {[-1, *shape]}, got {got}")
        sha256 = metadata.parameters.get(SHA256)
        if sha256 is not None and sha256 != self._sha256:
            raise ValueError(
                f"expected the network {self._name} with {SHA256} {self._sha256[:12]} …, got {str(sha256)[:12]} …"
            )
        if CARD in metadata.parameters:
            self._check_card(metadata.parameters[CARD])
        [self._input], [self._output] = metadata.inputs, metadata.outputs
        self._versions = metadata.versions or []
        self.platform = quoted(metadata.platform[:100])
        return sha256 is not None

    def _check_card(self, text: Any) -> None:
        """Compare the settings on the card that determine the network's output."""
        try:
            card = msgspec.convert(json.loads(text), Card)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"expected a card in the metadata of {self._name}, got: {error}") from error
        for setting in ("classes", "mean", "scale"):
            expected, got = getattr(self._card, setting), getattr(card, setting)
            if expected != got:
                raise ValueError(f"expected a network with {setting} {expected}, as on the card here, got {got}")
