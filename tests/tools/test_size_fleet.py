"""The simulation of a fleet: latencies and shares that can be worked out by hand, and the command."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tools import size_fleet
from tools.sizing.fleet import MOST_TOGETHER, Fleet, Replica
from tools.sizing.queues import Line, ReplicaQueue, Timeline
from tools.sizing.simulation import most_drones, simulate

# 1 Gbit/s: 1 MB takes 8 ms on a link.
LIGHT = Fleet(
    replicas=4,
    replica=Replica(0.005, 0.02),
    loop_s=0.001,
    before_s=0.002,
    after_s=0.003,
    proxy_s=0.004,
    request_bytes=1_000_000,
    answer_bytes=125_000,
)


def ends_s(replica: Replica, arrivals_s: list[float]) -> list[float]:
    """When each image is done, of images that arrive at one replica."""
    timeline, ends = Timeline(), []
    queue = ReplicaQueue[int](timeline, replica, lambda _: ends.append(timeline.now_s))
    for number, arrival_s in enumerate(arrivals_s):
        timeline.at(arrival_s, lambda number=number: queue.add(number))
    timeline.run(math.inf)
    return ends


def test_a_line_serves_one_after_the_other() -> None:
    timeline, ends = Timeline(), []
    line = Line(timeline)
    for arrival_s in (0.0, 0.5, 5.0):
        timeline.at(arrival_s, lambda: line.serve(1.0, lambda: ends.append(timeline.now_s)))
    timeline.run(math.inf)
    assert ends == [1.0, 2.0, 6.0]


@pytest.mark.parametrize(
    ("replica", "arrivals_s", "expected_s"),
    [
        (Replica(0.0, 1.0), [0.0, 0.5, 5.0], [1.0, 2.0, 6.0]),
        # The batch that collects while the first one is inferred: 1 + 3 * 0.5 s.
        (Replica(1.0, 0.5, 4), [0.0, 0.1, 0.2, 0.3], [1.5, 4.0, 4.0, 4.0]),
        # Five images: not more than four together.
        (Replica(1.0, 0.5, 4), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], [1.5, 4.5, 4.5, 4.5, 4.5, 6.0]),
        # Waits for a second image until 0.3 s, or until the batch is full.
        (Replica(1.0, 0.5, 2, wait_s=0.3), [0.0, 5.0, 5.1], [1.8, 7.1, 7.1]),
    ],
)
def test_a_replica_infers_in_batches(replica, arrivals_s, expected_s) -> None:
    assert ends_s(replica, arrivals_s) == pytest.approx(expected_s)


def test_a_lone_drone_waits_for_the_sum_of_all_parts() -> None:
    outcome = simulate(LIGHT, drones=1, seconds=10)
    # loop 1, before 2, link 8, proxy 4, replica 5 + 20, link back 1, after 3 ms
    np.testing.assert_allclose(outcome.latencies_s, 0.044)
    assert (outcome.sent, outcome.answered, outcome.dropped, outcome.failed) == (35, 35, 0, 0)


@pytest.mark.parametrize(
    ("part", "fleet"),
    [
        ("replicas", Fleet(replicas=2, replica=Replica(0.0, 0.1))),
        ("replicas", Fleet(replicas=1, replica=Replica(0.1, 0.025, most_per_batch=8, most_ongoing=16), servers=24)),
        ("proxy", Fleet(replicas=64, replica=Replica(0.0, 0.001), servers=4, proxies=2, proxy_s=0.05)),
        ("link", Fleet(replicas=64, replica=Replica(0.0, 0.001), request_bytes=5_000_000)),
        ("perception", Fleet(replicas=64, replica=Replica(0.0, 0.1), before_s=0.01, after_s=0.01)),
    ],
)
def test_under_overload_the_share_answered_is_capacity_over_demand(part, fleet) -> None:
    patient = replace(fleet, deadline_s=math.inf)
    limits = patient.limits()
    assert min(limits, key=limits.__getitem__) == part
    drones = max(math.ceil(3 * limits[part]), fleet.servers)
    assert simulate(patient, drones, seconds=30).answered_share == pytest.approx(limits[part] / drones, rel=0.15)


def test_batches_fill_only_if_a_replica_may_hold_more_than_one_of_them() -> None:
    fleet = Fleet(1, Replica(0.1, 0.025, most_per_batch=8), servers=24, deadline_s=math.inf)
    wide = replace(fleet, replica=replace(fleet.replica, most_ongoing=16))
    narrow_share, wide_share = (simulate(each, 24, seconds=20).answered_share for each in (fleet, wide))
    # One image, then the seven that came meanwhile, in 0.125 + 0.275 s; or eight in 0.3 s.
    assert narrow_share / wide_share == pytest.approx(0.3 / 0.4, rel=0.05)


def test_an_overloaded_event_loop_answers_later_and_later() -> None:
    fleet = Fleet(replicas=64, replica=Replica(0.0, 0.001), loop_s=0.02)
    assert fleet.limits()["event loop"] == pytest.approx(10)
    assert simulate(fleet, 20, seconds=20).latency_s(95) > 5


def test_frames_whose_answers_are_late_fail() -> None:
    slow = Fleet(replicas=1, replica=Replica(0.0, 0.6))
    outcome = simulate(slow, drones=1, seconds=20)
    assert outcome.answered == 0
    assert math.isnan(outcome.latency_s(50))
    # Each round ends at the deadline, 0.5 s; the next one begins with the newest frame at once.
    assert outcome.failed / outcome.sent == pytest.approx(0.2 / 0.5, rel=0.1)


def test_a_batch_is_lost_with_its_slowest_answer() -> None:
    # Eight images for two replicas of 0.15 s each: the last one is done after 0.6 s.
    outcome = simulate(Fleet(replicas=2, replica=Replica(0.0, 0.15)), drones=4 * MOST_TOGETHER, seconds=20)
    assert outcome.answered < outcome.failed


def test_a_seed_decides_everything() -> None:
    crowded = [simulate(LIGHT, 40, 10, seed).latencies_s.tolist() for seed in (1, 1, 2)]
    assert crowded[0] == crowded[1] != crowded[2]


def test_twice_the_servers_and_replicas_carry_about_twice_the_drones() -> None:
    one = Fleet(replicas=8, replica=Replica(0.0, 0.03), before_s=0.003, after_s=0.003)
    two = Fleet(replicas=16, replica=Replica(0.0, 0.03), servers=2, before_s=0.003, after_s=0.003)
    few, many = (most_drones(fleet, 0.98, seconds=8) for fleet in (one, two))
    assert 0 < few <= one.limits()["perception"]
    assert many == pytest.approx(2 * few, rel=0.2)


def test_what_a_single_drone_overloads_carries_none() -> None:
    assert most_drones(Fleet(replicas=1, replica=Replica(0.0, 0.45)), 0.98, seconds=8) == 0


def test_the_command_tells_what_each_size_carries(capsys) -> None:
    arguments = ["--drones", "5", "40", "--replicas", "2", "64", "--seconds", "6"]
    assert size_fleet.main(arguments) == 0
    text = capsys.readouterr().out
    assert text.count("replicas carry") == 2
    assert "GPU" not in text
    rows = [line.split() for line in text.splitlines() if line.endswith("%")]
    assert [row[0] for row in rows] == ["5", "40", "5", "40"]
    assert float(rows[0][5].rstrip("%")) > float(rows[1][5].rstrip("%"))


def test_the_command_says_that_a_gpus_times_are_an_assumption(capsys) -> None:
    gpu = ["--gpu", "--drones", "5", "--replicas", "1", "--seconds", "4"]
    assert size_fleet.main(gpu) == 0
    assert "assumption" in capsys.readouterr().out
    assert size_fleet.main([*gpu, "--batch-ms", "3", "1"]) == 0
    assert "assumption" not in capsys.readouterr().out
