"""What Prometheus may ask: frames, drops, latencies, sessions. Labels come from fixed sets; none names a session."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.flight.session import Counts
from server.flight.tracks import TrackState
from server.sight.perception import Spent

CONTENT_TYPE = CONTENT_TYPE_LATEST
BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
DROPS = ("superseded", "stale", "bad", "failed")


class Reading(NamedTuple):
    """The server at one moment.

    Args:
        received: frames so far.
        counts: of all sessions, those gone included.
        states: of the sessions that there are.
        held: how many of them are held.
        recorded: how many of them are being recorded.
        sessions: how many there have been.
        viewers: of the page.
        is_ready: as /healthz tells it.
    """

    received: int
    counts: Counts
    states: Sequence[TrackState]
    held: int
    recorded: int
    sessions: int
    viewers: int
    is_ready: bool


class Metrics:
    """The server's metrics, in a registry of their own.

    Args:
        read: tells the server's state when it is asked for.
    """

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Server(read))

        def histogram(name: str, meaning: str) -> Histogram:
            return Histogram(f"followme_{name}_seconds", meaning, registry=self._registry, buckets=BUCKETS_S)

        self._queue = histogram("queue_age", "Age of a frame when perception took it up")
        self._decode = histogram("decode", "Time on a frame's camera image")
        self._inference = histogram("inference", "Time in the network, of the frame's whole batch")
        self._command = histogram("frame_to_command", "From a frame's arrival until it was answered")
        self._detections = Counter(
            "followme_detections", "Frames in which something may be the hero", registry=self._registry
        )
        self._commands = Counter("followme_commands", "Events sent to simulators", ["event"], registry=self._registry)
        self._pictures = Counter("followme_pictures", "Overlay images drawn", registry=self._registry)

    def on_seen(self, spent: Spent, has_targets: bool) -> None:
        """Note a frame that perception understood."""
        self._queue.observe(spent.queue_s)
        self._decode.observe(spent.decode_s)
        self._inference.observe(spent.inference_s)
        if has_targets:
            self._detections.inc()

    def on_answered(self, latency_s: float) -> None:
        """Note how long a frame took from arrival to answer."""
        self._command.observe(latency_s)

    def on_command(self, event: str) -> None:
        """Note an event sent to a simulator."""
        self._commands.labels(event).inc()

    def on_picture(self) -> None:
        """Note an overlay image drawn."""
        self._pictures.inc()

    def text(self) -> bytes:
        """All of them in Prometheus' text format, whose type is `CONTENT_TYPE`."""
        return generate_latest(self._registry)


class _Server(Collector):
    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing: to register must not read a server that is still being built."""
        return []

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        reading = self._read()
        yield CounterMetricFamily("followme_frames_received", "Frames received", value=reading.received)
        yield CounterMetricFamily(
            "followme_frames_answered", "Frames understood in time and answered", value=reading.counts.understood
        )
        dropped = CounterMetricFamily("followme_frames_dropped", "Frames not followed upon", labels=["reason"])
        for reason in DROPS:
            dropped.add_metric([reason], getattr(reading.counts, reason))
        yield dropped
        yield CounterMetricFamily("followme_sessions_started", "Simulators so far", value=reading.sessions)
        sessions = GaugeMetricFamily("followme_sessions", "Simulators connected, by state", labels=["state"])
        for state in TrackState:
            sessions.add_metric([state.value], list(reading.states).count(state))
        yield sessions
        yield GaugeMetricFamily("followme_sessions_held", "Simulators held by hand", value=reading.held)
        yield GaugeMetricFamily("followme_sessions_recorded", "Simulators being recorded", value=reading.recorded)
        yield GaugeMetricFamily("followme_viewers", "Open pages", value=reading.viewers)
        yield GaugeMetricFamily("followme_ready", "1 if /healthz says ready", value=reading.is_ready)
