import errno

import pytest

from server.wire.addresses import cannot_listen


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EACCES, "Permission denied"), "cannot listen on ::1:80: Permission denied"),
        (
            OSError(errno.EADDRINUSE, "Address already in use", "127.0.0.1:8765"),
            "cannot listen on 127.0.0.1:8765: Address already in use; "
            "end the program that listens there (tools/doctor.py names it), or choose another port",
        ),
    ],
)
def test_a_port_in_use_comes_with_the_next_step(error, said):
    assert cannot_listen("::1", 80, error) == said
