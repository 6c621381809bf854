"""A relay between a server and a fleet that fails on demand, like a load balancer or a link with faults."""

import contextlib
import socket
import threading
import time

import numpy as np

HOST = "127.0.0.1"
PIECE_BYTES = 65536


class Relay:
    """Passes connections on to a port of this machine, until it is closed.

    Args:
        port: the port to pass connections on to.

    Attributes:
        url: of the relay.
        delay_s: delay of each answer.
        is_corrupt: whether a byte of each piece of an answer is changed.
        replaced_model: (model, other): requests for `model` are changed to requests for `other`; None: no change.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.delay_s, self.is_corrupt = 0.0, False
        self.replaced_model: tuple[str, str] | None = None
        self._rng, self._open = np.random.default_rng(0), set[socket.socket]()
        self._listener = socket.create_server((HOST, 0))
        self.url = f"http://{HOST}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def forward_to(self, port: int) -> None:
        """Pass connections on to another port; open connections are lost."""
        self._port = port
        self._lose_all()

    def close(self) -> None:
        """Accept nothing more, and lose all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self._lose_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                fleet = socket.create_connection((HOST, self._port))
            except OSError:  # nobody is there
                client.close()
                continue
            self._open |= {client, fleet}
            asked = threading.Event()
            for pass_on in (self._pass_requests, self._pass_answers):
                threading.Thread(target=pass_on, args=(client, fleet, asked), daemon=True).start()

    def _pass_requests(self, client: socket.socket, fleet: socket.socket, asked: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(PIECE_BYTES):
                if self.replaced_model is not None:
                    model, other = (f"/v2/models/{name}".encode() for name in self.replaced_model)
                    piece = piece.replace(model, other, 1)
                asked.set()
                fleet.sendall(piece)
        self._lose(client, fleet)

    def _pass_answers(self, client: socket.socket, fleet: socket.socket, asked: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while piece := fleet.recv(PIECE_BYTES):
                if asked.is_set():  # an answer begins
                    asked.clear()
                    time.sleep(self.delay_s)
                client.sendall(self._corrupted(piece) if self.is_corrupt else piece)
        self._lose(client, fleet)

    def _corrupted(self, piece: bytes) -> bytes:
        changed = bytearray(piece)
        changed[self._rng.integers(len(piece))] ^= int(self._rng.integers(1, 256))
        return bytes(changed)

    def _lose_all(self) -> None:
        self._lose(*self._open)

    def _lose(self, *connections: socket.socket) -> None:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it
            connection.close()
            self._open.discard(connection)
