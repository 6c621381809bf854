"""Metrics for Prometheus: frames, drops, latencies, simulators, faults. No label holds a value that clients choose."""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.flight.tracks import TrackState
from server.simulator import Simulator, Taken, Watch
from server.supervision import Faults

CONTENT_TYPE = CONTENT_TYPE_LATEST
BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
DROPS = ("superseded", "stale", "bad", "failed")


class Metrics(Collector):
    """The server's metrics, in a registry of their own; a listener.

    Args:
        faults: our own errors.
    """

    def __init__(self, faults: Faults) -> None:
        self._simulators: list[Simulator] = []
        # Sums of the counts of simulators that have disconnected.
        self._past = Counts[str]()
        self._connected = 0
        self._counters: list[tuple[str, str, str, Callable[[], Mapping[str, int]]]] = []
        self._registry = CollectorRegistry()

        def histogram(name: str, meaning: str) -> Histogram:
            return Histogram(f"followme_{name}_seconds", meaning, registry=self._registry, buckets=BUCKETS_S)

        self._queue = histogram("queue_age", "Age of a frame when perception took it up")
        self._decode = histogram("decode", "Time to decode a frame's camera image")
        self._inference = histogram("inference", "Time in the network, of the frame's whole batch")
        self._command = histogram("frame_to_command", "From a frame's arrival until it was answered")
        self._detections = Counter(
            "followme_detections", "Frames with a candidate for the hero", registry=self._registry
        )
        self._commands = Counter("followme_commands", "Events sent to simulators", ["event"], registry=self._registry)
        self._pictures = Counter("followme_pictures", "Overlay images drawn", registry=self._registry)
        self._registry.register(self)
        self.counter("internal_errors", "Errors of the server's own code", "place", lambda: faults.counts)

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read for each request.

        Args:
            name: without the prefix.
            meaning: help text of the metric.
            read: returns the value.
        """
        Gauge(f"followme_{name}", meaning, registry=self._registry).set_function(read)

    def counter(self, name: str, meaning: str, label: str, read: Callable[[], Mapping[str, int]]) -> None:
        """Add a counter that is read for each request.

        Args:
            name: without the prefix and without `_total`.
            meaning: help text of the metric.
            label: name of its label.
            read: returns the counts by the label's value.
        """
        self._counters.append((f"followme_{name}", meaning, label, read))

    def connected(self, simulator: Simulator) -> "MetricsWatch":
        """Count a simulator from now on."""
        self._simulators.append(simulator)
        self._connected += 1
        return MetricsWatch(simulator, self)

    def disconnected(self, simulator: Simulator) -> None:
        """Keep the counts of a simulator that has disconnected."""
        self._simulators.remove(simulator)
        self._past.update(simulator.session.state.counts._asdict())

    def taken(self, taken: Taken) -> None:
        """Count the commands of an event."""
        for command in taken.commands:
            self._commands.labels(command.event).inc()

    def answered(self, taken: Taken, latency_s: float) -> None:
        """Note an answered frame, after its commands were sent."""
        self._command.observe(latency_s)
        spent = None if taken.perceived is None else taken.perceived.spent
        if taken.view is not None and spent is not None:
            self._queue.observe(spent.queue_s)
            self._decode.observe(spent.decode_s)
            self._inference.observe(spent.inference_s)
            self._detections.inc(any(sighting.is_candidate for sighting in taken.view.sightings))

    def show(self, picture: object) -> None:
        """Count an overlay image that was drawn."""
        self._pictures.inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format, whose content type is `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing, because registering must not read the state of a server that is still being built."""
        return []

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        states = [simulator.session.state for simulator in self._simulators]
        counts = sum((Counts(state.counts._asdict()) for state in states), self._past)
        yield CounterMetricFamily("followme_frames_received", "Frames received", value=counts["received"])
        yield CounterMetricFamily(
            "followme_frames_answered", "Frames understood in time and answered", value=counts["understood"]
        )
        dropped = CounterMetricFamily(
            "followme_frames_dropped", "Frames that led to no decision, by reason", labels=["reason"]
        )
        for reason in DROPS:
            dropped.add_metric([reason], counts[reason])
        yield dropped
        for name, meaning, label, read in self._counters:
            family = CounterMetricFamily(name, meaning, labels=[label])
            for value, count in read().items():
                family.add_metric([value], count)
            yield family
        yield CounterMetricFamily("followme_sessions_started", "Simulators so far", value=self._connected)
        sessions = GaugeMetricFamily("followme_sessions", "Simulators connected, by tracker state", labels=["state"])
        for track_state in TrackState:
            sessions.add_metric([track_state.value], sum(state.tracker.state is track_state for state in states))
        yield sessions
        # The tracker's state is not enough, because the tracker follows people while the drone is on hold, too.
        told = sum(state.is_told_to_follow is True for state in states)
        yield GaugeMetricFamily("followme_sessions_told_to_follow", "Simulators told to follow", value=told)
        held = sum(state.is_held for state in states)
        yield GaugeMetricFamily("followme_sessions_held", "Simulators held by hand", value=held)


class MetricsWatch(Watch):
    """Counts the events of one simulator, as its watch."""

    def __init__(self, simulator: Simulator, metrics: Metrics) -> None:
        self._simulator, self._metrics = simulator, metrics

    def taken(self, taken: Taken) -> None:
        """See `Watch`."""
        self._metrics.taken(taken)

    def answered(self, taken: Taken, now_s: float) -> None:
        """See `Watch`."""
        assert taken.frame is not None
        self._metrics.answered(taken, now_s - taken.frame.arrival_s)

    def disconnected(self) -> None:
        """See `Watch`."""
        self._metrics.disconnected(self._simulator)
