"""The Open Inference Protocol over gRPC."""

import os
from typing import Any
from urllib.parse import urlsplit

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # no log lines from gRPC, because this module reports its errors

import grpc

from model.engines.engine import UnavailableError
from model.engines.grpc_messages import (
    INFER,
    METADATA,
    Answer,
    Metadata,
    MetadataRequest,
    Request,
    describe_tensors,
    parse,
    read_tensors,
)
from model.engines.inference_protocol import Message, ModelMetadata, TensorMetadata
from model.engines.lane import MOST_METADATA_BYTES, Lane, Question

PORT = 8001
READY = grpc.ChannelConnectivity.READY.value[0]
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # one connection per lane, because a load balancer may divide connections
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),  # `Lane` asks again
    ("grpc.max_send_message_length", -1),
)


class GrpcLane(Lane):
    """A connection by gRPC.

    Args:
        url: result of `check_url`: grpc, or grpcs for an encrypted connection; the default port is `PORT`.
        token: bearer token to send; None for none.
    """

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        self._is_encrypted = parts.scheme == "grpcs"
        self._target = parts.netloc if parts.port is not None else f"{parts.netloc.rstrip(':')}:{PORT}"
        self._shown = () if token is None else (("authorization", f"Bearer {token}"),)
        self._channel: grpc.Channel | None = None
        self._most_bytes = 0  # longest message that the channel receives

    def abort(self) -> None:
        """See `Lane.abort`."""
        self.is_aborted = True
        channel = self._channel
        if channel is not None:
            channel.close()

    def _ask_metadata(self, model: str, deadline_s: float) -> ModelMetadata:
        told = self._call(METADATA, MetadataRequest(name=model), Metadata, deadline_s, MOST_METADATA_BYTES)
        inputs, outputs = (
            [TensorMetadata(each.name, each.datatype, list(each.shape)) for each in tensors]
            for tensors in (told.inputs, told.outputs)
        )
        properties = {each.key: each.value for each in told.properties}
        return ModelMetadata(told.name, inputs, outputs, list(told.versions), told.platform, properties)

    def _ask(self, question: Question, deadline_s: float, most_bytes: int) -> Message:
        request = Request(
            model_name=question.model,
            id=question.number,
            inputs=describe_tensors({question.tensor: question.image}),
            raw_input_contents=[question.image.tobytes()],
        )
        answer = self._call(INFER, request, Answer, deadline_s, most_bytes)
        content = {"id": answer.id, "model_version": answer.model_version}
        return Message(content, read_tensors(answer.outputs, answer.raw_output_contents))

    def _call(self, method: str, request: Any, answer: type[Any], deadline_s: float, most_bytes: int) -> Any:
        left_s = self._left_s(deadline_s)
        try:
            # The answer comes as bytes and is parsed here, because gRPC logs a traceback for bytes that are no message.
            call = self._open(most_bytes).unary_unary(method)
            data = call(request.SerializeToString(), timeout=left_s, metadata=self._shown)
        except grpc.RpcError as error:
            self._close()
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED or self.is_aborted:
                raise TimeoutError from error
            raise UnavailableError(f"status {error.code().name}: {error.details() or ''}") from error
        except ValueError as error:  # from a channel that `abort` has just closed
            raise TimeoutError from error
        return parse(answer, data)

    def _open(self, most_bytes: int) -> grpc.Channel:
        """A channel that receives messages of up to `most_bytes`."""
        # A channel reconnects by itself. gRPC's public interface reports this only later, and in another thread.
        if self._channel is None or self._channel._channel.check_connectivity_state(False) != READY:
            self.is_checked = False
        if self._channel is None or most_bytes > self._most_bytes:
            self._close()
            options = [*OPTIONS, ("grpc.max_receive_message_length", most_bytes)]
            if self._is_encrypted:
                self._channel = grpc.secure_channel(self._target, grpc.ssl_channel_credentials(), options)
            else:
                self._channel = grpc.insecure_channel(self._target, options)
            self._most_bytes = most_bytes
        return self._channel

    def _close(self) -> None:
        """Close the connection. The next question opens a new one at once; gRPC itself would wait before it does so."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
