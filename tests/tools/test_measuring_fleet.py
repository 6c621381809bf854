"""How a fleet is measured: with another machine's answers at a known delay, and on a real Ray."""

import pytest
from support.inference_server import InferenceServer

from model.engines import load_engine
from tools.measuring import fleet
from tools.measuring.figures import values_of
from tools.measuring.fleet import measure_added, measure_fleet, measure_rate
from tools.simulator.load import encoded_frames
from tools.simulator.server_process import SHIPPED_WEIGHTS

WEIGHTS = SHIPPED_WEIGHTS.with_name("fcn4")
DELAY_S = 0.3


@pytest.fixture(scope="module")
def frames():
    return encoded_frames(None)[:4]


def test_what_a_fleet_adds_is_at_least_the_delay_of_its_answers(frames):
    engine = load_engine("openvino", WEIGHTS, "f32")
    elsewhere = InferenceServer(engine, "fcn4", engine.weights_sha256)
    elsewhere.delay_s = DELAY_S
    value = values_of(measure_added(elsewhere.url, WEIGHTS, frames, seconds=2.4))
    elsewhere.stop()
    assert elsewhere.seen >= 12  # 3 frames in each of 4 turns, and a known one at the start
    assert value["fleet_latency"] >= 1e3 * DELAY_S
    assert value["local_latency"] > 0
    for percentile in ("", "_p95"):
        added = value[f"fleet_latency{percentile}"] - value[f"local_latency{percentile}"]
        assert value[f"fleet_added{percentile}"] == pytest.approx(added)


class Counting:
    """An engine that fails at each third batch."""

    most_per_batch = 2

    def __init__(self, clock) -> None:
        self.clock, self.batches = clock, []

    def infer(self, images):
        self.clock.now_s += 0.1
        self.batches.append(len(images))
        if len(self.batches) % 3 == 0:
            raise fleet.UnavailableError("late")
        return images


def test_the_rate_is_that_of_the_images_that_are_answered(monkeypatch):
    class Clock:
        now_s = 0.0

        def perf_counter(self):
            return self.now_s

    clock = Clock()
    monkeypatch.setattr(fleet, "time", clock)
    engine = Counting(clock)
    monkeypatch.setattr(fleet, "WARM_UP_S", 0.45)
    # After 5 batches to warm up: 9 of 2 images in 0.9 s, of which the 6th, 9th and 12th fail: 12 images.
    assert measure_rate(engine, fleet.np.zeros((5, 8, 8, 3), "uint8"), 0.85) == pytest.approx(12 / 0.9)
    assert set(engine.batches) == {2}


def test_a_real_fleet_is_measured(frames, monkeypatch):
    pytest.importorskip("ray", reason="NO RAY: 'make fleet-test' installs it and runs these tests")
    monkeypatch.setattr(fleet, "REPLICAS", (1,))
    value = values_of(measure_fleet(WEIGHTS, frames * 2, seconds=2.0))
    assert min(value[key] for key in ("local_rate", "local_latency", "fleet_latency")) > 0
    assert value["fleet_failed"] <= 100
    assert {"fleet_rate_1", "fleet_added", "fleet_added_p95"} < value.keys()
