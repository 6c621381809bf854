"""Plays a QuadSim without faults against a running server, and reports the server's answers."""

import http.client
import statistics
import time
from collections.abc import Iterator

import numpy as np

from model.command import one_line
from model.engines.self_test import KNOWN_FRAME
from server.sight.geometry import QUADSIM_CAMERA
from server.wire.messages import FOLLOW, PATROL
from tools.diagnosis.finding import Finding, Mark
from tools.simulator.address import ServerAddress
from tools.simulator.frames import sensor_frame_fields
from tools.simulator.recorded import CAMERA_POSE
from tools.simulator.wire import QuadSimClient

FRAMES, PERIOD_S = 10, 0.2
DISTANCE_M = 8.0  # depth of the whole known frame, because it was recorded without depth
ANSWER_S = 5.0


def try_server(server: ServerAddress) -> Iterator[Finding]:
    """Ask a server for its health, and send it some frames with the hero near, at QuadSim's pace.

    Raises:
        OSError: if nobody listens there.
    """
    try:
        report = server.ask_health()
    except (http.client.HTTPException, ValueError) as error:
        fix = (
            "if a follow-me server refuses (401, 403), docs/connect.md says why; else end the other program, and start "
            ".venv/bin/python server/follower.py weights/model_weights"
        )
        text = f"expected a follow-me server at {server}, got {one_line(error)}"
        yield Finding(Mark.WRONG, "server", text, fix=fix)
        return
    if report.get("ready") is not True:
        yield Finding(Mark.WRONG, "server", f"not ready: {report.get('trouble')}", fix="look at the server's log")
        return
    yield Finding(Mark.OK, "server", f"ready, {report.get('engine')}")
    if report.get("records_all"):
        text = "the server records every session (--record): this check leaves a recording of two seconds there"
        yield Finding(Mark.NOTE, "recordings", text)
    with QuadSimClient(*server) as client:
        answers_s: list[float] = []
        try:
            for number in range(1, FRAMES + 1):
                sent_s = client.send_frame(_fields(), number=number)
                client.wait_answered(number, ANSWER_S)
                answers_s.append(time.monotonic() - sent_s)
                time.sleep(max(sent_s + PERIOD_S - time.monotonic(), 0.0))
        except (TimeoutError, ConnectionError) as error:
            fix = "look at the server's log; other servers than this project's do not acknowledge frames"
            yield Finding(Mark.WRONG, "frames", f"{len(answers_s)} of {FRAMES} answered, then: {error}", fix=fix)
        else:
            text = f"all {FRAMES} answered, in {1e3 * statistics.median(answers_s):.0f} ms (median)"
            yield Finding(Mark.OK, "frames", text)
        yield from _commands(client)


def _fields() -> dict[str, str]:
    depth_m = np.full((QUADSIM_CAMERA.image_px, QUADSIM_CAMERA.image_px), DISTANCE_M)
    return sensor_frame_fields(KNOWN_FRAME.read_bytes(), depth_m, CAMERA_POSE)


def _commands(client: QuadSimClient) -> Iterator[Finding]:
    events = [event for event in client.events if event.name in (FOLLOW, PATROL)]
    if not events:
        expected = f"{PATROL} after the first frame"
        yield Finding(Mark.WRONG, "commands", "none received", expected=expected, fix="look at the server's log")
    elif events[-1].name == FOLLOW:
        x_m, y_m, z_m = events[-1].argument["coords"]
        yield Finding(Mark.OK, "commands", f"led to the hero at ({x_m:.1f}, {y_m:.1f}, {z_m:.1f}) m")
    else:
        text = (
            "told to patrol, though the hero is in the picture. Possible reasons: a drone of this machine is on hold, "
            "or the server follows another target or has another network than the shipped one"
        )
        yield Finding(Mark.NOTE, "commands", text)
    if client.violations:
        expected = "events with one argument, a JSON object"
        yield Finding(Mark.WRONG, "messages", "QuadSim could not parse one", client.violations[0], expected)
    round_trips_s = client.round_trips_s
    if round_trips_s:
        yield Finding(Mark.OK, "pings", f"answered in {1e3 * statistics.median(round_trips_s):.0f} ms (median)")
    else:
        yield Finding(Mark.WRONG, "pings", "not answered: QuadSim would go back to patrol after 3 s")
