"""One connection to a machine that infers, with a deadline for each answer: the interface of HTTP and gRPC."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import numpy as np

from model.command import printable
from model.engines.engine import UnavailableError
from model.engines.inference_protocol import Message, ModelMetadata
from model.startup import how_to_install

# Most characters of another machine's text that are quoted.
MOST_QUOTED = 200
MOST_METADATA_BYTES = 100_000

Result = TypeVar("Result")


class Question(NamedTuple):
    """A request to infer.

    Attributes:
        model: name of the model on the other machine.
        number: the request's id.
        tensor: name of the model's input.
        image: (1, px, px, 3) uint8 RGB.
    """

    model: str
    number: str
    tensor: str
    image: np.ndarray


class Lane(ABC):
    """A connection that is kept open. One thread at a time asks; any thread may abort it.

    A question that fails in the first half of its time is asked once more. The machine may have closed the connection
    meanwhile, or one of its programs may have died and another one may answer instead.

    Attributes:
        is_aborted: whether `abort` was called.
        is_checked: whether the network behind this connection has been checked. The lane resets it when it reconnects,
            because another program with another network may answer then.
    """

    is_aborted = False
    is_checked = False

    def metadata(self, model: str, deadline_s: float) -> ModelMetadata:
        """Metadata of a model on the machine.

        Args:
            model: name of the model on the machine.
            deadline_s: monotonic seconds.

        Raises:
            UnavailableError: if there is no complete answer. The message may hold the machine's text: show it `quoted`.
            ProtocolError: if the answer is malformed; likewise.
            TimeoutError: if there is no answer in time.
        """
        return self._retry_once(lambda: self._ask_metadata(model, deadline_s), deadline_s)

    def infer(self, question: Question, deadline_s: float, most_bytes: int) -> Message:
        """The answer to a question: its id, the model's version and its tensors.

        Args:
            question: to ask.
            deadline_s: monotonic seconds.
            most_bytes: longest answer.

        Raises:
            UnavailableError, ProtocolError, TimeoutError: as `metadata` does.
        """
        return self._retry_once(lambda: self._ask(question, deadline_s, most_bytes), deadline_s)

    @abstractmethod
    def abort(self) -> None:
        """Make the present question and every later one fail at once; never waits."""

    @abstractmethod
    def _ask_metadata(self, model: str, deadline_s: float) -> ModelMetadata:
        """As `metadata`, once."""

    @abstractmethod
    def _ask(self, question: Question, deadline_s: float, most_bytes: int) -> Message:
        """As `infer`, once."""

    def _retry_once(self, ask: Callable[[], Result], deadline_s: float) -> Result:
        half_s = (deadline_s + time.monotonic()) / 2
        try:
            return ask()
        except UnavailableError:
            if self.is_aborted or time.monotonic() > half_s:
                raise
        return ask()

    def _left_s(self, deadline_s: float) -> float:
        """Seconds until a deadline.

        Raises:
            TimeoutError: if the deadline is over, or the lane is aborted.
        """
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or self.is_aborted:
            raise TimeoutError
        return left_s


def check_url(url: str) -> str:
    """Check an address such as http://gpu.lan:8000 or grpc://gpu.lan:8001; returns it without a slash at its end.

    Raises:
        ValueError: if it is not http, https, grpc or grpcs with a host, an optional port, and nothing else.
    """
    wrong = ValueError(f"expected an address such as http://127.0.0.1:8000 or grpc://127.0.0.1:8001, got {url}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise wrong from None
    is_whole = parts.scheme in ("http", "https", "grpc", "grpcs") and parts.hostname and "@" not in parts.netloc
    if not is_whole or parts.path not in ("", "/") or parts.query or parts.fragment or not url.isprintable():
        raise wrong
    return f"{parts.scheme}://{parts.netloc}"


def open_lane(url: str, token: str | None) -> Lane:
    """Make a lane for the address's scheme. It connects at its first question.

    Args:
        url: result of `check_url`.
        token: bearer token to send; None for none.

    Raises:
        ValueError: if gRPC is not installed.
    """
    # Only the library that is needed is imported.
    if url.startswith("http"):
        from model.engines.http_lane import HttpLane

        return HttpLane(url, token)
    try:
        from model.engines.grpc_lane import GrpcLane
    except ModuleNotFoundError as error:
        raise ValueError(how_to_install("protobuf" if "google" in str(error.name) else "grpcio")) from error
    return GrpcLane(url, token)


def quoted(text: str) -> str:
    """The beginning of another machine's text, as one line that is safe to print; see `printable`."""
    return printable(" ".join(text[:MOST_QUOTED].split()))
