"""Addresses of servers, as a command line takes them."""

import argparse
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tools.simulator.address import ServerAddress
from tools.simulator.websocket import handshake_request, new_key


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://10.0.0.1:80", ("10.0.0.1", 80)),
        ("http://localhost", ("localhost", 4567)),
        ("http://[::1]:80", ("::1", 80)),
    ],
)
def test_an_address_is_a_url_whose_port_may_be_left_out(url, address):
    assert ServerAddress.parse(url) == address


@pytest.mark.parametrize("url", ["localhost", "ftp://localhost", "http://localhost:port", "http://:80", "http://[::1"])
def test_any_other_text_is_refused(url):
    with pytest.raises(argparse.ArgumentTypeError, match="expected http://host:port, got"):
        ServerAddress.parse(url)


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"401: a token is needed", b""])
def test_a_server_that_does_not_tell_its_target_is_no_reason_for_a_note(answer):
    assert note_on(answer) is None


def test_a_note_names_the_servers_target():
    assert note_on(b'{"ready": true, "target": "hero"}') is None
    note = note_on(b'{"ready": true, "target": "dog"}')
    assert note.startswith("note: the server's drones follow the dog, not the hero.")


def note_on(answer):
    """The note for a stand-in with the hero, from a server with this answer at /healthz."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        return ServerAddress("127.0.0.1", server.server_port).describe_other_target("hero")


@pytest.mark.parametrize("url", ["http://localhost:80", "http://[::1]:80"])
def test_an_address_reads_as_it_was_written(url):
    assert str(ServerAddress.parse(url)) == url


def test_the_handshake_names_an_ipv6_address_in_brackets():
    assert b"\r\nHost: [::1]:80\r\n" in handshake_request("::1", 80, new_key())
