"""Messages of the Open Inference Protocol v2 over HTTP, with tensors as bytes after the JSON.

KServe, NVIDIA Triton, OpenVINO Model Server and `server/fleet.py` speak it.
Source: https://github.com/kserve/open-inference-protocol, and "Binary Tensor Data Extension" in Triton's documentation.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from model.card import Card

LENGTH_HEADER = "Inference-Header-Content-Length"
TYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype(np.uint8), "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4")}
NAMES = {kind: name for name, kind in TYPES.items()}
INPUT, OUTPUT = "images", "probabilities"
# Parameters in a model's metadata that identify the network to a client.
SHA256, CARD = "weights_sha256", "card"
MOST_DIMENSIONS = 8


class ProtocolError(ValueError):
    """A malformed message; a clause: what was expected, what was received."""


class TensorMetadata(msgspec.Struct):
    """An input or output of a model; a dimension of −1 may have any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct):
    """The answer to `GET /v2/models/NAME`."""

    name: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    versions: list[str] | None = None
    platform: str = ""
    parameters: dict[str, Any] = {}


class Message(NamedTuple):
    """A request or an answer of inference: its JSON, and its tensors by name."""

    content: dict[str, Any]
    tensors: dict[str, np.ndarray]


def describe(name: str, card: Card, sha256: str, input_px: int, platform: str) -> dict[str, Any]:
    """The metadata of a network that takes RGB images and gives planes of probabilities, as JSON.

    Args:
        name: of the model.
        card: of the network.
        sha256: result of `model.loading.weights_sha256`.
        input_px: height and width of its input.
        platform: what runs it, for people.
    """
    return {
        "name": name,
        "versions": [version(sha256)],
        "platform": platform,
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, input_px, input_px, 3]}],
        "outputs": [{"name": OUTPUT, "datatype": "FP16", "shape": [-1, len(card.classes), input_px, input_px]}],
        "parameters": {SHA256: sha256, CARD: json.dumps(msgspec.to_builtins(card))},
    }


def version(sha256: str) -> str:
    """The version of a model: the beginning of its weights' digest."""
    return sha256[:12]


def encode(content: Mapping[str, Any], of: str, tensors: Mapping[str, np.ndarray]) -> tuple[int, bytes]:
    """A message with tensors as bytes; returns the length of its JSON, for `LENGTH_HEADER`, and the body.

    Args:
        content: JSON without the tensors.
        of: "inputs" for a request, "outputs" for an answer.
        tensors: by name, of one of the `TYPES`.
    """
    described = [
        {
            "name": name,
            "datatype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "parameters": {"binary_data_size": tensor.nbytes},
        }
        for name, tensor in tensors.items()
    ]
    head = json.dumps({**content, of: described}).encode()
    return len(head), b"".join([head, *(np.ascontiguousarray(tensor).data for tensor in tensors.values())])


def decode(body: bytes, json_bytes: str | None, of: str) -> Message:
    """Read a message.

    Args:
        body: the received bytes.
        json_bytes: the header `LENGTH_HEADER`; None if the body is JSON alone.
        of: "inputs" for a request, "outputs" for an answer.

    Raises:
        ProtocolError: if it is not such a message.
    """
    if json_bytes is not None and not is_size(json_bytes, len(body)):
        raise ProtocolError(f"expected {LENGTH_HEADER} of at most {len(body)}, got {json_bytes[:20]}")
    at = len(body) if json_bytes is None else int(json_bytes)
    try:
        content = json.loads(body[:at])
        described = content[of]
        tensors = {}
        for each in described:
            size = each.get("parameters", {}).get("binary_data_size")
            if not (size is None or (type(size) is int and 0 <= size <= len(body) - at)):
                raise ProtocolError(f"expected a size of 0 to {len(body) - at} bytes, got {str(size)[:20]}")
            data = each["data"] if size is None else body[at : at + size]
            tensors[str(each["name"])] = read_tensor(each["datatype"], each["shape"], data)
            at += size or 0
    except ProtocolError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"expected JSON with {of}, got {type(error).__name__}: {str(error)[:60]}") from error
    if at != len(body):
        raise ProtocolError(f"expected {at} bytes, as the JSON says, got {len(body)}")
    return Message(content, tensors)


def is_size(digits: str, most: int) -> bool:
    """Whether a header is a number of bytes, at most `most`.

    The number of digits is checked first, because `int` refuses more than 4300 digits.
    """
    return digits.isascii() and digits.isdecimal() and len(digits) <= len(str(most)) and int(digits) <= most


def read_tensor(datatype: str, shape: list[int], data: Any) -> np.ndarray:
    """Make an array from its bytes, or from a list of its values.

    Raises:
        ProtocolError: if type, shape and data do not fit each other.
        ValueError, TypeError, OverflowError: from numpy, for the same reason.
    """
    if datatype not in TYPES:
        raise ProtocolError(f"expected a tensor of {', '.join(TYPES)}, got {str(datatype)[:20]}")
    if not (len(shape) <= MOST_DIMENSIONS and all(type(size) is int and size >= 0 for size in shape)):
        raise ProtocolError(f"expected a shape of at most {MOST_DIMENSIONS} sizes, got {str(shape)[:60]}")
    kind = TYPES[datatype]
    values = np.frombuffer(data, kind) if isinstance(data, bytes) else np.array(data, kind).ravel()
    if values.size != math.prod(shape):
        raise ProtocolError(f"expected {math.prod(shape)} values for the shape {shape}, got {values.size}")
    return values.reshape(shape)
