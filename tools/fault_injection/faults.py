"""The faults of a fleet: each is a function that makes the fault happen, and returns when it is over."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from model.loading import network_name, resolve_weights
from tools.fault_injection.relay import Relay
from tools.simulator.fleet_process import FleetProcess, running_fleet
from tools.simulator.server_process import SHIPPED_WEIGHTS

REPLICAS = 2
MOST_S = 180.0
"""Longest time for a fault to be over; Serve takes most of a minute to replace a replica that hangs."""
FAULT_S, DELAY_S = 10.0, 0.3
_POLL_S = 0.2


class Fleet:
    """A fleet with two replicas and a second network, and a relay in front of it; see `running`.

    Args:
        weights: of the network.
        stack: stops the fleet and the relay when it is closed.

    Attributes:
        network: name of the network.
        other: name of the second network.
        process: the fleet.
        relay: the relay in front of the fleet.
    """

    def __init__(self, weights: str, stack: contextlib.ExitStack) -> None:
        self._weights, self._stack = weights, stack
        self.network = network_name(resolve_weights(weights))
        self.other = next(name for name in ("fcn4", "model_weights") if name != self.network)
        self.process = self._start()
        self.relay = Relay(self.process.port)
        stack.callback(self.relay.close)

    def restart(self) -> None:
        """Start another fleet in the place of one that was killed.

        Raises:
            FleetError: as `running_fleet` does.
        """
        self.process = self._start()
        self.relay.forward_to(self.process.port)

    def _start(self) -> FleetProcess:
        also = str(SHIPPED_WEIGHTS.with_name(self.other))
        fleet = running_fleet(also, weights=self._weights, replicas=REPLICAS, most_replicas=REPLICAS)
        return self._stack.enter_context(fleet)


@contextlib.contextmanager
def running(weights: str) -> Iterator[Fleet]:
    """Run a fleet, and a relay in front of it, until the block ends.

    Raises:
        FleetError: as `running_fleet` does.
    """
    with contextlib.ExitStack() as stack:
        yield Fleet(weights, stack)


class Fault(NamedTuple):
    """A fault: its name for people, and the function that makes it happen."""

    name: str
    happen: Callable[[Fleet], None]


def _nothing(_: Fleet) -> None:
    time.sleep(FAULT_S)


def _kill_replica(fleet: Fleet) -> None:
    _signal_and_await_replacement(fleet, fleet.process.replicas, signal.SIGKILL)


def _stop_replica(fleet: Fleet) -> None:
    _signal_and_await_replacement(fleet, fleet.process.replicas, signal.SIGSTOP)


def _kill_controller(fleet: Fleet) -> None:
    _signal_and_await_replacement(fleet, fleet.process.controllers, signal.SIGKILL)


def _kill_all(fleet: Fleet) -> None:
    fleet.process.kill()
    time.sleep(FAULT_S)
    fleet.restart()


def _delay(fleet: Fleet) -> None:
    fleet.relay.delay_s = DELAY_S
    time.sleep(FAULT_S)
    fleet.relay.delay_s = 0.0


def _corrupt(fleet: Fleet) -> None:
    fleet.relay.is_corrupt = True
    time.sleep(FAULT_S)
    fleet.relay.is_corrupt = False


def _serve_other_network(fleet: Fleet) -> None:
    fleet.relay.replaced_model = fleet.network, fleet.other
    time.sleep(FAULT_S)
    fleet.relay.replaced_model = None


def _signal_and_await_replacement(fleet: Fleet, processes: Callable[[], list[int]], signal_number: int) -> None:
    """Send a signal to the first of the processes, and wait until another process has replaced it.

    Raises:
        TimeoutError: if no process has replaced it within `MOST_S`.
    """
    before = processes()
    victim, until_s = before[0], time.monotonic() + MOST_S
    os.kill(victim, signal_number)
    while victim in (now := processes()) or len(now) < len(before):
        if time.monotonic() > until_s:
            raise TimeoutError(f"expected another process in the place of {victim} within {MOST_S:g} s, got none")
        time.sleep(_POLL_S)


FAULTS = {
    "none": Fault(f"nothing fails, for {FAULT_S:g} s", _nothing),  # shows the effects of this machine alone
    "killed-replica": Fault("a replica is killed", _kill_replica),
    "stopped-replica": Fault("a replica hangs (SIGSTOP)", _stop_replica),
    "killed-controller": Fault("Serve's controller is killed", _kill_controller),
    "delay": Fault(f"answers are {1e3 * DELAY_S:.0f} ms late, for {FAULT_S:g} s", _delay),
    "corruption": Fault(f"a byte of each answer is changed, for {FAULT_S:g} s", _corrupt),
    "wrong-network": Fault(f"another network answers, for {FAULT_S:g} s", _serve_other_network),
    "killed-head": Fault(f"all of Ray is killed, and started again {FAULT_S:g} s later", _kill_all),
}
