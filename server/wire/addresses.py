"""Tells loopback addresses, which only programs on this machine can use, and shows addresses in URLs and errors."""

import errno
import ipaddress


def is_loopback(host: str) -> bool:
    """Whether an address is a loopback address, or the name "localhost"."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)  # an IPv4 client of an IPv6 socket
    return (mapped or address).is_loopback


def in_url(host: str) -> str:
    """A name or address as in a URL: an IPv6 address is in brackets."""
    return f"[{host}]" if ":" in host else host


def cannot_listen(host: str, port: int, error: OSError) -> str:
    """What to say of an address that cannot be listened on, and what to do; the error's file name is the address."""
    is_taken = error.errno == errno.EADDRINUSE
    mend = "; end the program that listens there (tools/doctor.py names it), or choose another port" if is_taken else ""
    return f"cannot listen on {error.filename or f'{host}:{port}'}: {error.strerror}{mend}"
