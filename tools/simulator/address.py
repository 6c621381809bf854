"""The address of a server on the command line."""

import argparse
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from model.command import error_text

QUADSIM_HOST, QUADSIM_PORT = "127.0.0.1", 4567
"""The only address that QuadSim itself connects to."""


class ServerAddress(NamedTuple):
    """Address of a server; by default the address that QuadSim itself connects to."""

    host: str = QUADSIM_HOST
    port: int = QUADSIM_PORT

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `http://host:port`, or `http://host` for the default port.

        Raises:
            argparse.ArgumentTypeError: for any other text.
        """
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:  # not a port number
            host, port = None, None
        if parts.scheme != "http" or not host:
            raise argparse.ArgumentTypeError(f"expected http://host:port, got {url!r}")
        return cls(host, port or QUADSIM_PORT)

    def __str__(self) -> str:
        return f"http://{self.host}:{self.port}"

    def describe_failure(self, error: OSError) -> str:
        """Say that no server answered at this address, and how to start one."""
        start = ".venv/bin/python server/follower.py weights/model_weights"
        return f"expected a server at {self}, got: {error_text(error)}; start it with: {start}"
