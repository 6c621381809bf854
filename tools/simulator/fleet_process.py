"""Run a fleet as separate processes on this machine, for tests and `make fleet`; needs the extra `fleet`."""

import contextlib
import http.client
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.command import interrupt_put_off
from model.startup import child_environment
from tools.simulator.server_process import REPOSITORY, free_port

READY_S, STOP_S, POLL_S = 180.0, 30.0, 0.2
# Serve gives a proxy only 5 s to start, which is too short on a busy machine. Ray gives a machine 30 s, which cannot be
# set; the start is then tried again, `MOST_STARTS` times in all.
LONG_TIMEOUTS = {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60", "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60"}
# Without this, Ray runs replicas at a low priority, so that other programs leave them no CPU time.
NORMAL_PRIORITY = {"RAY_worker_niceness": "0"}
MOST_STARTS = 3
# CPUs that Ray reserves for a replica; servers and drones need the rest of a small machine.
REPLICA_CPUS = 0.5


class FleetError(ChildProcessError):
    """The fleet did not start; the message ends with the last lines of its output."""


class FleetProcess:
    """A fleet started by `running_fleet`: Ray's head, Serve and the replicas.

    Args:
        arguments: of `server.fleet.app`.
        folder: for Ray's files; its path must be short because it holds sockets.
        also: weights of a second network, which is served by a second application; None: no second network.

    Attributes:
        process: `serve run`; Ray ends with it.
        port: of the fleet.
        url: of the fleet.
    """

    def __init__(self, arguments: dict[str, Any], folder: Path, also: str | None) -> None:
        self.port = port = free_port()
        self.url, self._folder = f"http://127.0.0.1:{port}", folder
        applications = [_application("fleet", "/", arguments, REPLICA_CPUS)]
        self._ready = ["/v2/health/ready"]
        if also is not None:
            prefix = f"/v2/models/{Path(also).name}"
            applications.append(_application("also", prefix, {"weights": also}, 0.1))
            self._ready.append(f"{prefix}/ready")
        config = {"http_options": {"host": "127.0.0.1", "port": port}, "applications": applications}
        file = folder / "fleet.json"  # JSON is YAML
        file.write_text(json.dumps(config))
        self._output = folder / "output"
        command = [str(Path(sys.executable).with_name("serve")), "run", "--address", "local", str(file)]
        environment = {
            **child_environment(),
            "RAY_TMPDIR": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            **LONG_TIMEOUTS,
            **NORMAL_PRIORITY,
        }
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C does not reach it: `stop` ends it
            )

    def wait_ready(self) -> None:
        """Wait until a replica of each network answers.

        Raises:
            FleetError: if the process ends before, or a network does not answer within `READY_S`.
        """
        until_s = time.monotonic() + READY_S
        while time.monotonic() < until_s and self.process.poll() is None:
            if all(self._status(path) == http.HTTPStatus.OK for path in self._ready):
                return
            time.sleep(POLL_S)
        lines = self._output.read_text(errors="replace").splitlines()[-15:]
        raise FleetError("\n    ".join(["expected a running fleet, got none. Its last lines:", *lines]))

    def replicas(self) -> list[int]:
        """Process ids of the replicas."""
        return self._processes("ServeReplica:fleet:Network")

    def controllers(self) -> list[int]:
        """Process id of Serve's controller; none while it is being replaced."""
        return self._processes("ray::ServeController")

    def metrics(self) -> str:
        """Ray's metrics for Prometheus, of all processes.

        Raises:
            OSError: if there are none yet.
        """
        text = ""
        for group in json.loads((self._folder / "ray" / "prom_metrics_service_discovery.json").read_bytes()):
            for target in group["targets"]:
                connection = http.client.HTTPConnection(target, timeout=10)
                connection.request("GET", "/metrics")
                text += connection.getresponse().read().decode()
                connection.close()
        return text

    def kill(self) -> None:
        """Kill all of its processes at once, as if its machine lost power."""
        for number in self._processes(""):
            with contextlib.suppress(ProcessLookupError):  # it ended with another one
                os.kill(number, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop the fleet, and kill it if it does not end within `STOP_S`."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()  # Ray's processes end when they find their parent gone
            self.process.wait()

    def _processes(self, title: str) -> list[int]:
        found = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
        named = [line.split()[0] for line in found.splitlines() if title in line]
        return [int(number) for number in named if str(self._folder) in _environment(number)]

    def _status(self, path: str) -> int:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", path)
                return connection.getresponse().status
        return 0


def _application(name: str, prefix: str, arguments: dict[str, Any], cpus: float) -> dict[str, Any]:
    return {
        "name": name,
        "route_prefix": prefix,
        "import_path": "server.fleet:app",
        "args": arguments,
        "deployments": [{"name": "Network", "ray_actor_options": {"num_cpus": cpus}}],
    }


def _environment(process: str) -> str:
    try:
        return Path(f"/proc/{process}/environ").read_bytes().decode(errors="replace")
    except OSError:  # it has ended
        return ""


@contextlib.contextmanager
def running_fleet(also: str | None = None, **arguments: Any) -> Iterator[FleetProcess]:
    """Run a fleet until the block ends.

    Args:
        also: as `FleetProcess` takes it.
        arguments: of `server.fleet.app`.

    Raises:
        FleetError: if Ray is not installed, or the fleet does not get ready.
    """
    if importlib.util.find_spec("ray") is None:
        raise FleetError("ray is not installed: 'make fleet' installs it")
    with contextlib.ExitStack() as stack:
        for start in range(1, MOST_STARTS + 1):
            folder = Path(tempfile.mkdtemp(prefix="fleet"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            with interrupt_put_off():
                fleet = FleetProcess(arguments, folder, also)
                stack.callback(fleet.stop)
            try:
                fleet.wait_ready()
                break
            except FleetError:
                if start == MOST_STARTS:
                    raise
                fleet.stop()
        yield fleet
