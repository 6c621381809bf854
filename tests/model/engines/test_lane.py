"""Addresses of other machines."""

import pytest

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
