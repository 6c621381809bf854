"""The other side of `grpc_lane.py`: requests by gRPC and their answers, as `inference_service.py` has it for HTTP."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from model.engines.grpc_messages import (
    Answer,
    Metadata,
    Request,
    Tensor,
    describe_tensors,
    parse,
    read_tensors,
)
from model.engines.inference_protocol import OUTPUT, version
from model.engines.inference_service import the_image


def write_metadata(metadata: Mapping[str, Any]) -> Any:
    """A model's metadata as a message.

    Args:
        metadata: result of `inference_protocol.describe`.
    """
    tensors = {kind: [Tensor(**each) for each in metadata[kind]] for kind in ("inputs", "outputs")}
    properties = [{"key": key, "value": value} for key, value in metadata["parameters"].items()]
    return Metadata(
        name=metadata["name"],
        versions=metadata["versions"],
        platform=metadata["platform"],
        properties=properties,
        **tensors,
    )


def read_request(data: bytes, input_px: int) -> tuple[str, np.ndarray]:
    """Read a request to infer one image.

    Args:
        data: as received.
        input_px: height and width of the network's input.

    Returns:
        The request's id, empty if it has none, and the image, (input_px, input_px, 3) uint8.

    Raises:
        ProtocolError: if it is not a request to infer one image.
    """
    request = parse(Request, data)
    return request.id, the_image(read_tensors(request.inputs, request.raw_input_contents), input_px)


def write_answer(name: str, sha256: str, number: str, planes: np.ndarray) -> Any:
    """An answer as a message.

    Args:
        name: name of the model.
        sha256: digest of its weights.
        number: the request's id, or empty.
        planes: result of `inference_service.as_planes`.
    """
    return Answer(
        model_name=name,
        model_version=version(sha256),
        id=number,
        outputs=describe_tensors({OUTPUT: planes}),
        raw_output_contents=[planes.tobytes()],
    )
