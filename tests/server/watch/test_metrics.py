"""What Prometheus reads, parsed by its own client."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.flight.session import Counts
from server.flight.tracks import TrackState
from server.sight.perception import Spent
from server.watch.metrics import Metrics, Reading

READING = Reading(
    received=20,
    counts=Counts(received=18, understood=9, superseded=4, stale=3, bad=2, failed=1),
    states=[TrackState.FOLLOWING, TrackState.FOLLOWING, TrackState.LOST],
    held=1,
    recorded=2,
    sessions=7,
    viewers=2,
    is_ready=True,
)


def values(metrics: Metrics) -> dict[str, float]:
    """Of each sample, by its name and its labels' values."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_the_servers_state_is_read_when_it_is_asked_for():
    told = values(Metrics(lambda: READING))
    assert told["followme_frames_received_total"] == 20
    assert told["followme_frames_answered_total"] == 9
    drops = [told[f"followme_frames_dropped_total {reason}"] for reason in ("superseded", "stale", "bad", "failed")]
    assert drops == [4, 3, 2, 1]
    assert [told[f"followme_sessions {state}"] for state in TrackState] == [0, 0, 2, 0, 1]
    assert told["followme_sessions_held"] == 1
    assert told["followme_sessions_recorded"] == 2
    assert told["followme_sessions_started_total"] == 7
    assert told["followme_viewers"] == 2
    assert told["followme_ready"] == 1
    assert values(Metrics(lambda: READING._replace(is_ready=False)))["followme_ready"] == 0


def test_a_frames_times_fall_into_their_buckets():
    metrics = Metrics(lambda: READING)
    metrics.on_seen(Spent(queue_s=0.004, decode_s=0.0005, inference_s=0.012), has_targets=True)
    metrics.on_seen(Spent(queue_s=0.3, decode_s=0.0005, inference_s=0.012), has_targets=False)
    metrics.on_answered(0.018)
    told = values(metrics)
    assert told["followme_queue_age_seconds_bucket 0.005"] == 1
    assert told["followme_queue_age_seconds_count"] == 2
    assert told["followme_queue_age_seconds_sum"] == pytest.approx(0.304)
    assert told["followme_decode_seconds_bucket 0.001"] == 2
    assert told["followme_inference_seconds_bucket 0.01"] == 0
    assert told["followme_inference_seconds_bucket 0.015"] == 2
    assert told["followme_frame_to_command_seconds_bucket 0.02"] == 1
    assert told["followme_detections_total"] == 1


def test_commands_are_counted_by_their_event_and_pictures_too():
    metrics = Metrics(lambda: READING)
    for event in ("object_lost", "object_detected", "object_detected"):
        metrics.on_command(event)
    metrics.on_picture()
    told = values(metrics)
    assert told["followme_commands_total object_detected"] == 2
    assert told["followme_commands_total object_lost"] == 1
    assert told["followme_pictures_total"] == 1


def test_two_servers_in_one_process_have_metrics_of_their_own():
    one, other = Metrics(lambda: READING), Metrics(lambda: READING)
    one.on_picture()
    assert values(other)["followme_pictures_total"] == 0
