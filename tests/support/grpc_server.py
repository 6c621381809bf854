"""Another machine that infers by gRPC, on an engine of this process, and its faults."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from model.engines.grpc_messages import INFER, METADATA, MetadataRequest, parse
from support.grpc_service import read_request, write_answer, write_metadata
from support.inference_server import InferenceServer

WORKERS = 20  # more than a client's requests; work on answers that it has given up goes on


class GrpcInferenceServer(InferenceServer):
    """As `InferenceServer`; the faults "cut", "unpacked" and "dribble" are of HTTP alone."""

    @property
    def url(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(WORKERS), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((Handler(self),))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()


class Handler(grpc.GenericRpcHandler):
    """Messages stay bytes between here and gRPC."""

    def __init__(self, subject: InferenceServer) -> None:
        self._subject = subject

    def service(self, call: Any) -> grpc.RpcMethodHandler | None:
        work = {METADATA: self._metadata, INFER: self._infer}.get(call.method)
        return None if work is None else grpc.unary_unary_rpc_method_handler(work)

    def _check_token(self, context: grpc.ServicerContext) -> None:
        shown = dict(context.invocation_metadata()).get("authorization")
        if self._subject.token and shown != f"Bearer {self._subject.token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "a token is needed")

    def _metadata(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._check_token(context)
        assert parse(MetadataRequest, data).name == self._subject.name
        told = {**self._subject.metadata, "versions": self._subject.metadata["versions"] or []}
        return write_metadata(told).SerializeToString()

    def _infer(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        subject = self._subject
        self._check_token(context)
        number, sha256, planes = subject.infer(*read_request(data, subject.engine.input_px))
        if subject.fault == "status":
            context.abort(grpc.StatusCode.UNAVAILABLE, json.dumps({"error": "no room"}))
        if subject.fault == "text":
            return b"<html>a proxy's page</html>"
        answer = write_answer(subject.name, sha256, number, planes)
        if subject.fault == "null":
            answer.ClearField("model_version")
        if subject.fault == "bytes":
            del answer.raw_output_contents[:]
        if subject.fault == "size":
            answer.raw_output_contents[0] = answer.raw_output_contents[0][1:]
        return bytes(10_000_000) if subject.fault == "long" else answer.SerializeToString()
