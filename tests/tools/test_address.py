"""Addresses of servers, as a command line takes them."""

import argparse

import pytest

from tools.simulator.address import ServerAddress


@pytest.mark.parametrize(
    ("url", "address"), [("http://10.0.0.1:80", ("10.0.0.1", 80)), ("http://localhost", ("localhost", 4567))]
)
def test_an_address_is_a_url_whose_port_may_be_left_out(url, address):
    assert ServerAddress.parse(url) == address


@pytest.mark.parametrize("url", ["localhost", "ftp://localhost", "http://localhost:port", "http://:80"])
def test_any_other_text_is_refused(url):
    with pytest.raises(argparse.ArgumentTypeError, match="expected http://host:port, got"):
        ServerAddress.parse(url)


def test_an_address_reads_as_it_was_written():
    assert str(ServerAddress.parse("http://localhost:80")) == "http://localhost:80"
