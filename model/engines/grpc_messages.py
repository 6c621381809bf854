"""Messages of the protocol over gRPC, of the service `inference.GRPCInferenceService`.

Only the fields that are used here are described. Other fields are skipped when a message is read. The descriptors are
made at run time, because generated code would have to be copied or made in each installation. NVIDIA's client and
KServe's package ship it, but bring a dozen other packages.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/open_inference_grpc.proto.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from model.engines.inference_protocol import NAMES, ProtocolError, read_tensor

SERVICE = "inference.GRPCInferenceService"
METADATA, INFER = f"/{SERVICE}/ModelMetadata", f"/{SERVICE}/ModelInfer"

# Number and type of each field; * marks a repeated field. A map has the same bytes as repeated entries of key and value
# ("Property"). The protocol's messages that describe tensors have the same fields ("Tensor").
_FIELDS = {
    "Tensor": {"name": (1, "string"), "datatype": (2, "string"), "shape": (3, "int64*")},
    "Property": {"key": (1, "string"), "value": (2, "string")},
    "MetadataRequest": {"name": (1, "string")},
    "Metadata": {
        "name": (1, "string"),
        "versions": (2, "string*"),
        "platform": (3, "string"),
        "inputs": (4, "Tensor*"),
        "outputs": (5, "Tensor*"),
        "properties": (6, "Property*"),
    },
    "Request": {
        "model_name": (1, "string"),
        "id": (3, "string"),
        "inputs": (5, "Tensor*"),
        "raw_input_contents": (7, "bytes*"),
    },
    "Answer": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "outputs": (5, "Tensor*"),
        "raw_output_contents": (6, "bytes*"),
    },
}


def _messages() -> dict[str, type[Any]]:
    """The classes of the messages. They have their own pool, because other packages may define the same messages."""
    field_type = descriptor_pb2.FieldDescriptorProto
    types = {"string": field_type.TYPE_STRING, "bytes": field_type.TYPE_BYTES, "int64": field_type.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package="inference", syntax="proto3")
    for name, fields in _FIELDS.items():
        described = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            one = kind.rstrip("*")
            added = described.field.add(name=field, number=number)
            added.label = field_type.LABEL_REPEATED if kind.endswith("*") else field_type.LABEL_OPTIONAL
            if one in types:
                added.type = types[one]
            else:
                added.type, added.type_name = field_type.TYPE_MESSAGE, f".inference.{one}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}")) for name in _FIELDS}


_CLASSES = _messages()
Tensor, MetadataRequest, Metadata, Request, Answer = (
    _CLASSES[name] for name in ("Tensor", "MetadataRequest", "Metadata", "Request", "Answer")
)


def parse(kind: type[Any], data: bytes) -> Any:
    """Read a message of one of the classes above.

    Raises:
        ProtocolError: if the bytes are no such message.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ProtocolError(f"{len(data)} bytes that are no {kind.DESCRIPTOR.name} of the protocol") from error


def describe_tensors(tensors: Mapping[str, Any]) -> list[Message]:
    """Descriptions of tensors for a message, without their bytes.

    Args:
        tensors: arrays by name, of one of the protocol's types.
    """
    return [Tensor(name=name, datatype=NAMES[tensor.dtype], shape=tensor.shape) for name, tensor in tensors.items()]


def read_tensors(described: Any, contents: Any) -> dict[str, Any]:
    """The arrays of a message, by name.

    Args:
        described: descriptions of its tensors.
        contents: the bytes of each tensor.

    Raises:
        ProtocolError: if they do not fit each other.
    """
    if len(described) != len(contents):
        raise ProtocolError(f"expected the bytes of {len(described)} tensors, got those of {len(contents)}")
    try:
        return {
            each.name: read_tensor(each.datatype, list(each.shape), data)
            for each, data in zip(described, contents, strict=True)
        }
    except ProtocolError:
        raise
    except ValueError as error:  # from numpy
        raise ProtocolError(f"expected the bytes of a tensor, got: {error}") from error
