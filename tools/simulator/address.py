"""The address of a server on the command line."""

import argparse
import contextlib
import http.client
import json
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from model.command import error_text, one_line
from server.wire.addresses import in_url

QUADSIM_HOST, QUADSIM_PORT = "127.0.0.1", 4567
"""The only address that QuadSim itself connects to."""
ASK_S = 2.0


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
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
        except ValueError:  # not a port number, or a bracket without its pair
            scheme, host, port = "", None, None
        if scheme != "http" or not host:
            raise argparse.ArgumentTypeError(f"expected http://host:port, got {url!r}")
        return cls(host, port or QUADSIM_PORT)

    def __str__(self) -> str:
        return f"http://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port as in a URL: an IPv6 address is in brackets."""
        return f"{in_url(self.host)}:{self.port}"

    def ask_health(self) -> dict[str, object]:
        """The answer of a follow-me server at /healthz.

        Raises:
            OSError, http.client.HTTPException: if there is no answer.
            ValueError: if it is another answer; the message is its status and its text.
        """
        with contextlib.closing(http.client.HTTPConnection(*self, timeout=ASK_S)) as connection:
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        with contextlib.suppress(ValueError):
            report = json.loads(text)
            if isinstance(report, dict) and "ready" in report:
                return report
        raise ValueError(one_line(f"{response.status} {response.reason}: {text}"))

    def describe_other_target(self, target: str) -> str | None:
        """Say that the server's drones follow another target; None if they follow this one, or it does not say."""
        try:
            followed = self.ask_health().get("target", target)
        except (OSError, http.client.HTTPException, ValueError):
            return None
        if followed == target:
            return None
        return (
            f"note: the server's drones follow the {followed}, not the {target}. Choose the stand-in's target with "
            "--target, or the server's by its network or --follow"
        )

    def describe_failure(self, error: OSError) -> str:
        """Say that no server answered at this address, and how to start one."""
        start = ".venv/bin/python server/follower.py weights/model_weights"
        return f"expected a server at {self}, got: {error_text(error)}; start it with: {start}"
