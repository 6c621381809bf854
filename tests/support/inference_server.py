"""Another machine that infers by the Open Inference Protocol v2, on an engine of this process, and its faults."""

import contextlib
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from model.engines import Engine
from model.engines.inference_protocol import LENGTH_HEADER, ProtocolError, describe, version
from model.engines.inference_service import as_planes, read_request, write_answer
from support.waiting import PATIENCE_S


class InferenceServer:
    """Serves a network on a port of 127.0.0.1 until closed.

    Args:
        engine: an engine with weights.
        name: name of the model.

    Attributes:
        port: the same after `stop` and `start`.
        metadata: the model's metadata; a test may change it.
        delay_s: delay before each answer to an image.
        fault: fault of its answers; see `Handler`.
        token: the token that it demands.
        seen: number of images that it has got.
        barrier: where images wait until enough of them are in work; None for no waiting.
        lock: shared by all servers, because an answer that no client waits for is still computed, on an engine that
            the next server may use, too.
    """

    lock = threading.Lock()

    def __init__(self, engine: Engine, name: str, sha256: str | None) -> None:
        assert sha256 is not None
        self.engine, self.name, self.sha256 = engine, name, sha256
        self.metadata: dict[str, Any] = describe(name, engine.card, sha256, engine.input_px, engine.description)
        self.delay_s, self.fault, self.token, self.seen = 0.0, "", "", 0
        self.barrier: threading.Barrier | None = None
        self.port = 0
        self.start()

    def infer(self, number: str, image: np.ndarray) -> tuple[str, str, np.ndarray]:
        """The answer to an image: the request's id, the digest of the weights, the planes; with the fault."""
        with self.lock:
            self.seen += 1
        if self.barrier is not None:
            self.barrier.wait(PATIENCE_S)
        time.sleep(self.delay_s)
        with self.lock:
            planes = as_planes(self.engine.infer(image[None])[0])
        if self.fault == "noise":
            planes = planes[:, ::-1] * planes
        if self.fault == "shape":
            planes = np.ascontiguousarray(planes[..., :-1])
        sha256 = "f" * 64 if self.fault == "version" else self.sha256
        return "another" if self.fault == "id" else number, sha256, planes

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def open(self) -> set[socket.socket]:
        """Connections of clients."""
        return set(self._http.open)

    def start(self) -> None:
        self._http = Http(("127.0.0.1", self.port), Handler)
        self._http.subject = self
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop like a program that is killed: nobody listens, and all connections are lost."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        for connection in list(self._http.open):
            lose(connection)


class Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # of connections that wait: a busy machine accepts late
    subject: InferenceServer

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.open: set[socket.socket] = set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, except if a client has disconnected."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Faults: "status", "text", "cut", "id", "version", "noise", "shape", "long", "unpacked", "dribble".

    Further ones: "digits" in a header, "chunk" of a negative size, "metadata" that are not UTF-8. "null" is correct:
    the answer has no version.
    """

    protocol_version = "HTTP/1.1"
    server: Http

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        body = json.dumps(self.server.subject.metadata).encode()
        if self.server.subject.fault == "metadata":
            body = body.replace(b'"platform": "', b'"platform": "\xff')
        self._answer(200, {}, body)

    def do_POST(self) -> None:
        subject = self.server.subject
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            number, image = read_request(body, self.headers.get(LENGTH_HEADER), subject.engine.input_px)
        except ProtocolError as error:
            self._answer(400, {}, json.dumps({"error": str(error)}).encode())
            return
        number, sha256, planes = subject.infer(number, image)
        fault = subject.fault
        accepted = "" if fault in ("unpacked", "null") else self.headers.get("Accept-Encoding", "")
        headers, answer = write_answer(subject.name, sha256, number, planes, accepted)
        if fault == "null":  # no version, as KServe says it
            text = f'"{version(sha256)}"'.encode()
            answer = answer.replace(text, b"null".ljust(len(text)))
        if fault == "status":
            self._answer(503, {}, b'{"error": "no room"}')
        elif fault == "text":
            self._answer(200, {}, b"<html>a proxy's page</html>")
        elif fault == "long":
            self._answer(200, {}, bytes(10_000_000))
        elif fault == "digits":
            self._answer(200, {**headers, LENGTH_HEADER: "9" * 5000}, answer)
        elif fault == "chunk":
            self._answer(200, {"Transfer-Encoding": "chunked"}, b"-5\r\n")
        else:
            self._answer(200, headers, answer)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        fault = self.server.subject.fault if self.command == "POST" else ""
        if self.server.subject.token and self.headers["Authorization"] != f"Bearer {self.server.subject.token}":
            status, headers, body = 401, {}, b'{"error": "a token is needed"}'
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if fault == "cut":
            self.wfile.write(body[: len(body) // 2])
            lose(self.connection)
        elif fault == "dribble":
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(0.02)
        else:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def lose(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # gone already
        connection.shutdown(socket.SHUT_RDWR)
