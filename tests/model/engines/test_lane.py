"""Addresses of other machines, and connections to them that are aborted."""

import time

import pytest

from model.engines.grpc_lane import GrpcLane
from model.engines.lane import check_url


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://gpu:8000", "http://gpu:8000"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("https://gpu", "https://gpu"),
        ("grpc://gpu:8001/", "grpc://gpu:8001"),
        ("grpcs://gpu", "grpcs://gpu"),
    ],
)
def test_an_address_is_a_scheme_a_host_and_perhaps_a_port(url, same):
    assert check_url(url) == same


@pytest.mark.parametrize(
    "url",
    [
        "ftp://gpu",
        "grpc://",
        "grpc://gpu:8001/v2",
        "http://",
        "http://gpu:port",
        "http://gpu:99999",
        "http://me@gpu",
        "http://gpu/v2",
        "http://g\n",
    ],
)
def test_any_other_address_is_refused(url):
    with pytest.raises(ValueError, match="expected an address such as"):
        check_url(url)


def test_a_question_that_is_aborted_just_before_it_is_sent_by_grpc_counts_as_late():
    class Aborted(GrpcLane):
        """A lane that another thread aborts while it asks."""

        def _left_s(self, deadline_s: float) -> float:
            left_s = super()._left_s(deadline_s)
            self.abort()
            return left_s

    lane = Aborted("grpc://127.0.0.1:9", None)
    lane._open(1000)
    with pytest.raises(TimeoutError):
        lane.metadata("a network", time.monotonic() + 10.0)
