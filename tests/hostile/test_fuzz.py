"""Messages on all levels, thousands by `make hostile`, against the real server.

A failure prints the seed, the number of the message and the latest messages. To send the same ones again:

    .venv/bin/python -m pytest tests/hostile/test_fuzz.py -o hostile_seed=SEED -o hostile_messages=NUMBER
"""

from collections import deque
from itertools import islice

import pytest
from support.fake_engine import FAKE_SERVER
from support.live import WATCHDOG
from support.recorded_session import SHIPPED, real_frames

from hostile.crowd import Attackers, Neighbours
from hostile.fuzzer import SESSIONS, Fuzzer
from hostile.inspection import Memory, assert_no_errors
from tools.simulator.frames import sensor_frame_fields
from tools.simulator.server_process import ServerProcess, running_server

# After this number of messages, the test waits until all of them are processed.
BATCH = 25
WARM_UP = 100


def attack(server: ServerProcess, seed: int, messages: int, shown: dict[str, str] | None = None) -> None:
    """Send messages while neighbours fly; `shown` is the frame of the neighbour that follows."""
    fuzzer = Fuzzer(seed)
    latest: deque[str] = deque(maxlen=BATCH)
    neighbours, attackers, memory = Neighbours(server, shown), Attackers(server, fuzzer), None
    for number in range(messages):
        message = fuzzer.next()
        latest.append(f"{number}: {message}")
        try:
            attackers.send(message)
            if number % BATCH == BATCH - 1 or number == messages - 1:
                attackers.settle()
                neighbours.fly()
                assert_no_errors(server)
                attackers.leave(number // BATCH % SESSIONS)
                if memory is not None:
                    memory.assert_bounded()
                elif number >= WARM_UP:
                    memory = Memory(server)
        except Exception as error:
            raise AssertionError("\n".join([f"seed {seed}, message {number}: {error!r}", *latest])) from error
    attackers.close()
    neighbours.close()
    assert_no_errors(server)


@pytest.fixture
def seed(pytestconfig) -> int:
    return int(pytestconfig.getini("hostile_seed"))


@pytest.fixture
def messages(pytestconfig) -> int:
    return int(pytestconfig.getini("hostile_messages"))


def test_nothing_that_clients_send_misleads_a_drone_or_stops_the_server(seed, messages, tmp_path):
    with running_server("unused", *WATCHDOG, "--record", str(tmp_path), script=FAKE_SERVER) as server:
        attack(server, seed, messages)


def test_with_a_real_network_nothing_misleads_a_drone_either(seed, messages, data_dir):
    frame = real_frames(data_dir, "following_images", 4)[3]
    with running_server(SHIPPED, *WATCHDOG) as server:
        attack(server, seed + 1, messages // 5, sensor_frame_fields(frame.image, frame.depth_m, frame.gimbal_pose))


def test_the_same_seed_gives_the_same_messages():
    def begin(seed: int) -> list[str]:
        fuzzer = Fuzzer(seed)
        return [str(message) for message in islice(iter(fuzzer.next, None), 50)]

    assert begin(1) == begin(1) != begin(2)
