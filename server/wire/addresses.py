"""Which addresses belong to this machine alone."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can connect to, or come from, an address or the name "localhost"."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)  # an IPv4 client of an IPv6 socket
    return (mapped or address).is_loopback
