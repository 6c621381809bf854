"""Send frames to a running server in QuadSim's protocol, and print its decision on each."""

import statistics
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from model.command import error_text, print_text
from server.wire.messages import FOLLOW, PATROL
from tools.simulator.address import ServerAddress
from tools.simulator.frames import sensor_frame_fields
from tools.simulator.inbox import ReceivedEvent
from tools.simulator.recorded import PlayedFrame, UnreadableImageError
from tools.simulator.wire import QuadSimClient

# Most events kept, for the decision on a frame, and most response times, for their median; playing may have no end.
MOST_EVENTS, MOST_RESPONSES = 1000, 10_000
FPS_LIMITS = (0.001, 1000.0)


def fps_check(fps: float) -> tuple[str, bool, str]:
    """The check of an option `fps`, for `model.options.check`."""
    least, most = FPS_LIMITS
    return "fps", least <= fps <= most, f"from {least:g} to {most:g}"


@dataclass
class Summary:
    """Results of sending frames.

    Args:
        frames: number of sent frames.
        followed: number of frames after which the drone was following.
        skipped: number of unreadable images.
        responses_ms: time from the first byte of a frame to the decision, for the latest answered frames.
        violations: descriptions of messages from the server that QuadSim cannot parse.
    """

    frames: int = 0
    followed: int = 0
    skipped: int = 0
    responses_ms: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_RESPONSES))
    violations: tuple[str, ...] = ()

    def __str__(self) -> str:
        share = self.followed / self.frames if self.frames else 0.0
        median = f"{statistics.median(self.responses_ms):.0f} ms" if self.responses_ms else "none"
        skipped = f", {self.skipped} unreadable images skipped" if self.skipped else ""
        broken = "".join(f"\nmessage that QuadSim cannot parse: {violation}" for violation in self.violations)
        return (
            f"{self.frames} frames, following after {self.followed} of them ({share:.0%}), "
            f"median response {median} over {len(self.responses_ms)} answers{skipped}{broken}"
        )


def play(
    client: QuadSimClient,
    frames: Iterable[PlayedFrame | UnreadableImageError],
    *,
    frames_per_s: float,
    summary: Summary,
) -> None:
    """Send frames at a constant rate, and print a line for each at the end of its period.

    While the drone follows, the server answers each frame; it sends "patrol" only once. So a frame without an answer
    does not change the decision, and its line says since which frame the decision holds.

    Args:
        client: a connected client.
        frames: frames to send; an error in place of a frame is printed and skipped.
        frames_per_s: rate of sending.
        summary: gets the results, which are up to date at any interruption.

    Raises:
        ConnectionError: if the server closes the connection.
    """
    period_s = 1.0 / frames_per_s
    decision, decided_at_frame, is_following = "no decision yet", 0, False
    due_s = time.monotonic()
    for frame in frames:
        if isinstance(frame, UnreadableImageError):
            summary.skipped += 1
            print_text(f"      skipped {frame}")
            continue
        fields = sensor_frame_fields(frame.image, frame.depth_m, frame.gimbal_pose)
        time.sleep(max(due_s - time.monotonic(), 0.0))
        sent_s = client.send_frame(fields)
        due_s = sent_s + period_s
        summary.frames += 1
        answers = _decisions(client, sent_s, until_s=due_s)
        if answers:
            decision, decided_at_frame = _describe(answers[-1]), summary.frames
            is_following = answers[-1].name == FOLLOW
            response_ms = 1e3 * (answers[0].arrived_s - sent_s)
            summary.responses_ms.append(response_ms)
            outcome = f"{decision:<37} {response_ms:5.0f} ms"
        else:
            since = f", no change since frame {decided_at_frame}" if decided_at_frame else ""
            outcome = f"{decision}{since}"
        summary.followed += is_following
        summary.violations = client.violations
        print_text(f"{summary.frames:5d}  {frame.name:<28} {outcome}")


def play_to(
    server: ServerAddress, command: str, frames: Iterable[PlayedFrame | UnreadableImageError], frames_per_s: float
) -> int:
    """Connect to a server, send it the frames, and print the results; returns the exit status of a command."""
    summary = Summary()
    try:
        with QuadSimClient(*server, kept=MOST_EVENTS) as client:
            play(client, frames, frames_per_s=frames_per_s, summary=summary)
    except KeyboardInterrupt:  # the way to end endless playing
        print()
        print_text(str(summary))
        raise
    except OSError as error:
        stopped = f"stopped after frame {summary.frames}: {error_text(error)}"
        failure = stopped if summary.frames else server.describe_failure(error)
        print_text(f"{command}: {failure}", file=sys.stderr)
        return 1
    print_text(str(summary))
    return 0 if summary.frames and not summary.violations else 1


def _decisions(client: QuadSimClient, sent_s: float, until_s: float) -> list[ReceivedEvent]:
    """Decisions that arrive between the sending of a frame and the time of the next."""
    time.sleep(max(until_s - time.monotonic(), 0.0))
    if not client.is_connected:
        raise ConnectionError(f"the connection is closed: {client.close_reason}")
    return [event for event in client.events_since(sent_s) if event.name in (FOLLOW, PATROL)]


def _describe(event: ReceivedEvent) -> str:
    if event.name == PATROL:
        return "PATROL"
    x_m, y_m, z_m = event.argument["coords"]
    return f"FOLLOW ({x_m:7.2f}, {y_m:7.2f}, {z_m:6.2f}) m"
