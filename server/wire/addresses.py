"""Tells loopback addresses, which only programs on this machine can use."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether an address is a loopback address, or the name "localhost"."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)  # an IPv4 client of an IPv6 socket
    return (mapped or address).is_loopback
