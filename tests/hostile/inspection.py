"""Checks that a server has no errors of its own, and that its memory does not grow."""

import psutil

from tools.simulator.server_process import ServerProcess

# Memory grows by up to 61 MB in 10,000 messages of the fuzzer (seeds 1 and 3), by 71 MB in 28,000, and by only 2 MB
# more in 20,000 after that. A leak of 4 kB a message would exceed this bound in 10,000.
MOST_GROWTH_BYTES = 100_000_000


def assert_no_errors(server: ServerProcess) -> None:
    """Check that the server runs and has had no error of its own."""
    faults = [name for name in server.metrics() if name.startswith("followme_internal_errors_total{")]
    signs = ("Traceback", "internal error", " ERROR ", "Exception")
    log = "\n".join(server.log)
    assert not faults, f"{faults}\n{log[-5000:]}"
    assert not any(sign in log for sign in signs), log[-5000:]
    assert server.process.poll() is None, log[-5000:]


class Memory:
    """A server's resident memory; to be made once it has warmed up."""

    def __init__(self, server: ServerProcess) -> None:
        self._process = psutil.Process(server.process.pid)
        self._before_bytes = self._process.memory_info().rss

    @property
    def growth_bytes(self) -> int:
        """Growth since this object was made."""
        return self._process.memory_info().rss - self._before_bytes

    def assert_bounded(self) -> None:
        """Check that memory has not grown much."""
        growth_bytes = self.growth_bytes
        assert growth_bytes <= MOST_GROWTH_BYTES, f"resident memory has grown by {growth_bytes / 1e6:.0f} MB"
