"""The judgement of drones' commands, the table, and the relay that fails; test_fleet.py has a real fleet."""

import math
import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from support.waiting import PATIENCE_S, wait_until

from model.engines import load_engine
from server.sight.geometry import QUADSIM_CAMERA
from server.sight.sight import Sight
from server.wire.messages import Frame
from tools.fault_injection.drones import Judgement, ReceivedCommand, Sent, combined, draw_scenes, judge, scene_at
from tools.fault_injection.relay import Relay
from tools.fault_injection.watching import back_after_s
from tools.fleet_faults import GRACE_S, Outcome
from tools.simulator.server_process import SHIPPED_WEIGHTS
from tools.simulator.world import FRAMES_PER_S

# --- what drones are told

# The hero walks one metre a second along x.
SENT = [Sent(at_s, np.array([at_s, 0.0])) for at_s in np.arange(0.0, 10.0, 0.5)]


def follow(at_s: float, x_m: float) -> ReceivedCommand:
    return ReceivedCommand(at_s, np.array([x_m, 0.0]))


def patrol(at_s: float) -> ReceivedCommand:
    return ReceivedCommand(at_s, None)


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        # From 2 to 8 s: the order of 1 s lasts for 2 s, the last one until the end.
        ([follow(1, 1), follow(3, 3), follow(7, 7)], Judgement(2, 0, 0, 0.0, 4.0)),
        ([follow(1, 1), follow(1.5, 1.5)], Judgement(0, 0, 0, 0.0, 6.5)),
        ([follow(1, 1), patrol(3), follow(3.7, 3.7), patrol(7)], Judgement(1, 0, 1, 1.0, 3.3)),
        ([patrol(1), follow(2.5, 2.5)], Judgement(1, 0, 1, 1.5, 5.5)),
        # At 5 s the frames of the latest second show the hero from 4 to 5 m.
        ([follow(5, 3.1), follow(5.1, 5.9)], Judgement(2, 0, 0, 0.0, 2.9)),
        ([follow(5, 2.9), follow(5.1, 6.1)], Judgement(2, 2, 0, 0.0, 2.9)),
        ([], Judgement(0, 0, 0, 0.0, 0.0)),
    ],
)
def test_a_drone_is_judged_by_where_it_is_led_and_for_how_long_it_is_not(received, expected):
    got = judge(SENT, received, begin_s=2.0, end_s=8.0, fresh_s=1.0)
    assert got == pytest.approx(expected)


def test_without_a_recent_frame_an_order_to_follow_is_stale():
    assert judge(SENT, [follow(11.0, 9.5)], 2.0, 12.0, fresh_s=1.0).wrong == 1


def test_drones_are_judged_together():
    assert combined([Judgement(3, 1, 1, 0.5, 0.2), Judgement(4, 0, 0, 0.0, 0.9)]) == Judgement(7, 1, 1, 0.5, 0.9)


@pytest.mark.slow
def test_answers_that_are_mixed_up_between_drones_lead_to_wrong_places():
    sight, scenes = Sight(load_engine("openvino", SHIPPED_WEIGHTS), QUADSIM_CAMERA), draw_scenes()
    drones, rounds = range(3), range(8)
    sent = [[] for _ in drones]
    received = {is_mixed_up: [[] for _ in drones] for is_mixed_up in (False, True)}
    for at_s in (number / FRAMES_PER_S for number in rounds):
        seen = [scene_at(scenes, drone, at_s) for drone in drones]
        frames = [Frame.read(1, at_s, scene.frame.fields(at_s)) for scene in seen]
        decoded = [sight.decode(frame.content) for frame in frames]
        answers = sight.infer([image for image, _ in decoded], [None] * len(frames))
        for drone in drones:
            sent[drone].append(Sent(at_s, seen[drone].hero_m))
            depth_255 = sight.decode_depth(frames[drone].content)
            # Mixed up, each drone gets the answer to the image of the one before.
            for is_mixed_up, answer in ((False, answers[drone]), (True, answers[drone - 1])):
                found = sight.find(frames[drone], *decoded[drone], answer, depth_255).sightings
                hero = max(found, key=lambda sighting: sighting.evidence)
                received[is_mixed_up][drone].append(ReceivedCommand(at_s, np.array(hero.place.position_m[:2])))
    end_s = len(rounds) / FRAMES_PER_S
    for is_mixed_up, all_received in received.items():
        got = combined([judge(*each, 0.0, end_s, fresh_s=1.25) for each in zip(sent, all_received, strict=True)])
        assert got.follow_commands == len(drones) * len(rounds)
        assert (got.wrong > 0) == is_mixed_up


@pytest.mark.parametrize(
    ("seen", "expected_s"),
    [
        ([(10.1, True), (10.2, True)], 0.0),
        ([(10.1, True), (10.2, False), (10.3, True), (10.4, False), (10.5, True)], 0.5),
        ([(10.1, True), (10.2, False)], math.nan),
        ([], math.nan),
    ],
)
def test_the_fleet_is_back_when_it_infers_for_good(seen, expected_s):
    assert back_after_s(seen, begin_s=10.0) == pytest.approx(expected_s, nan_ok=True)


@pytest.mark.parametrize(
    ("wrong", "longest_patrol_s", "longest_silence_s", "back_s", "is_good"),
    [
        (0, 1.0, 1.0, 0.0, True),
        (0, 1.0, 1.0, 13.2, True),
        (1, 0.0, 0.0, 0.0, False),
        (0, 1.01 + GRACE_S, 0.0, 0.0, False),
        (0, 0.0, 1.01 + GRACE_S, 0.0, False),
        (0, 1.0, 1.0, math.nan, False),
    ],
)
def test_a_fault_came_out_well_if_nobody_was_misled_or_left_alone_and_the_fleet_is_back(
    wrong, longest_patrol_s, longest_silence_s, back_s, is_good
):
    judgement = Judgement(9, wrong, 2, longest_patrol_s, longest_silence_s)
    assert Outcome("delay", judgement, 3, 10.0, back_s).is_good(watchdog_s=1.0) is is_good


def test_the_row_of_a_fault_says_what_the_drones_noticed():
    judgement = Judgement(90, 0, 2, 0.514, 0.987)
    assert Outcome("a fault", judgement, 3, 10.04, 13.25).row(12) == (
        "| a fault | 3 | 2 of 12 | 0.51 s | 0.99 s | 0 of 90 | 10.0 s | 13.2 s |"
    )
    assert Outcome("a fault", judgement, 0, 1.0, 0.0).row(12).endswith("| all the time |")
    assert Outcome("a fault", judgement, 0, 1.0, math.nan).row(12).endswith("| not again |")


# --- the relay


class Echo:
    """Answers what it is sent, after its own name."""

    def __init__(self, name: bytes) -> None:
        self._name, self._listener = name, socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            while piece := connection.recv(1000):
                connection.sendall(self._name + piece)


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay(Echo(b"one:").port)
    yield made
    made.close()


def connected(relay: Relay) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(relay.url.rpartition(":")[2])), PATIENCE_S)


def asked(connection: socket.socket, question: bytes = b"GET /v2/models/a/infer") -> bytes:
    connection.sendall(question)
    return connection.recv(1000)


def test_a_relay_passes_on_what_is_asked_and_answered(relay):
    with connected(relay) as one, connected(relay) as other:
        assert asked(one) == b"one:GET /v2/models/a/infer"
        assert asked(other, b"x") == b"one:x"
        assert asked(one, b"y") == b"one:y"


def test_each_answer_can_be_late(relay):
    relay.delay_s = 0.2
    with connected(relay) as connection:
        begin_s = time.monotonic()
        assert asked(connection, b"x") == b"one:x"
        assert asked(connection, b"y") == b"one:y"
        assert time.monotonic() - begin_s >= 0.4


def test_an_answer_can_have_one_byte_of_another_value(relay):
    relay.is_corrupt = True
    with connected(relay) as connection:
        got = asked(connection, b"x" * 500)
    right = b"one:" + b"x" * 500
    assert sum(one != other for one, other in zip(got, right, strict=True)) == 1


def test_another_network_can_be_asked_for(relay):
    relay.replaced_model = "a", "other"
    with connected(relay) as connection:
        assert asked(connection) == b"one:GET /v2/models/other/infer"
        assert asked(connection, b"/v2/models/b") == b"one:/v2/models/b"


def test_a_relay_leads_elsewhere_and_loses_what_was_open(relay):
    with connected(relay) as before:
        assert asked(before, b"x") == b"one:x"
        relay.forward_to(Echo(b"two:").port)
        wait_until(lambda: is_lost(before), "its end")
    with connected(relay) as after:
        assert asked(after, b"x") == b"two:x"


def test_where_nobody_is_the_connection_is_lost(relay):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        relay.forward_to(taken.getsockname()[1])
    with connected(relay) as connection:
        assert is_lost(connection)


def is_lost(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
