"""What Prometheus reads, parsed by its own client."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.road import a_simulator, argument, view
from support.seen import bad, failed, seen, session, sighting, stranger

from server.flight.events import Hold, Received
from server.sight.frame_queue import Perceived, Spent
from server.simulator import Taken
from server.supervision import Faults
from server.watch.metrics import Metrics
from server.wire.messages import Frame, object_lost


def values(metrics: Metrics) -> dict[str, float]:
    """The value of each sample, by its name and its labels' values."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def taken(spent: Spent, *sightings) -> Taken:
    frame = Frame.read(1, 5.0, argument(1))
    return Taken(seen(5.0, *sightings), [object_lost()], frame, Perceived(frame, view(*sightings), spent))


def test_simulators_are_counted_while_they_are_there_and_their_frames_for_good():
    metrics = Metrics(Faults())
    following, held = session(), session()
    for number in range(3):
        following.take(Received(0.2 * number, number, number - 1 if number == 2 else None))
        following.take(seen(0.2 * number, sighting()))
    following.take(failed(0.7))
    following.take(seen(0.8, sighting()))
    held.take(Hold(0.0))
    held.take(Received(0.0, 1))
    held.take(bad(0.0))
    watch, _ = metrics.connected(a_simulator("a", following)), metrics.connected(a_simulator("b", held))
    told = values(metrics)
    assert told["followme_frames_received_total"] == 4
    assert told["followme_frames_answered_total"] == 4
    drops = [told[f"followme_frames_dropped_total {reason}"] for reason in ("superseded", "stale", "bad", "failed")]
    assert drops == [1, 0, 1, 1]
    assert (told["followme_sessions following"], told["followme_sessions patrol"]) == (1, 1)
    assert told["followme_sessions_held"] == 1
    watch.disconnected()
    told = values(metrics)
    assert told["followme_frames_answered_total"] == 4
    assert told["followme_sessions following"] == 0
    assert told["followme_sessions_started_total"] == 2


def test_a_drone_on_hold_follows_nobody_though_its_tracker_does():
    metrics, flown = Metrics(Faults()), session()
    metrics.connected(a_simulator("a", flown))
    assert values(metrics)["followme_sessions_told_to_follow"] == 0, "nothing has been told yet"
    for number in range(3):
        flown.take(seen(0.2 * number, sighting()))
    assert values(metrics)["followme_sessions_told_to_follow"] == 1
    flown.take(Hold(0.7))
    told = values(metrics)
    assert (told["followme_sessions following"], told["followme_sessions_told_to_follow"]) == (1, 0)


def test_a_frames_times_fall_into_their_buckets():
    metrics = Metrics(Faults())
    watch = metrics.connected(a_simulator())
    for frame in (
        taken(Spent(queue_s=0.004, decode_s=0.0005, inference_s=0.012), stranger(), sighting()),
        taken(Spent(queue_s=0.3, decode_s=0.0005, inference_s=0.012)),
    ):
        watch.taken(frame)
        watch.answered(frame, 5.018)
    told = values(metrics)
    assert told["followme_queue_age_seconds_bucket 0.005"] == 1
    assert told["followme_queue_age_seconds_count"] == 2
    assert told["followme_queue_age_seconds_sum"] == pytest.approx(0.304)
    assert told["followme_decode_seconds_bucket 0.001"] == 2
    assert told["followme_inference_seconds_bucket 0.01"] == 0
    assert told["followme_inference_seconds_bucket 0.015"] == 2
    assert told["followme_frame_to_command_seconds_bucket 0.02"] == 2
    assert told["followme_detections_total"] == 1
    assert told["followme_commands_total object_lost"] == 2


def test_only_somebody_who_may_be_the_hero_is_a_detection():
    metrics = Metrics(Faults())
    watch = metrics.connected(a_simulator())
    for people in ((), (stranger(),), (stranger(), stranger((3.0, 0.0, 1.0)))):
        watch.answered(taken(Spent(0.0, 0.0, 0.0), *people), 5.018)
    assert values(metrics)["followme_detections_total"] == 0
    # A person with evidence above 0, by this frame alone.
    watch.answered(taken(Spent(0.0, 0.0, 0.0), stranger(), sighting(evidence=0.1)), 5.018)
    assert values(metrics)["followme_detections_total"] == 1


def test_our_own_errors_are_counted_by_their_place():
    faults = Faults()
    metrics = Metrics(faults)
    for place in ("tick", "painter", "tick"):
        faults.report(place, ZeroDivisionError())
    told = values(metrics)
    assert told["followme_internal_errors_total tick"] == 2
    assert told["followme_internal_errors_total painter"] == 1


def test_others_can_add_gauges_that_are_read_when_asked():
    metrics, viewers = Metrics(Faults()), [0]
    metrics.gauge("viewers", "Open pages", lambda: viewers[0])
    viewers[0] = 3
    assert values(metrics)["followme_viewers"] == 3


def test_two_servers_in_one_process_have_metrics_of_their_own():
    one, other = Metrics(Faults()), Metrics(Faults())
    one.show(None)
    assert values(one)["followme_pictures_total"] == 1
    assert values(other)["followme_pictures_total"] == 0
