"""Sessions that are frozen at every moment of a flight and go on, thawed, as if nothing had been."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from server.watch.recording.snapshot import freeze, thaw
from support.seen import HERE, job, session, target

from server.flight.session import Session
from server.wire.messages import Command

Step = Callable[[Session], list[Command]]


def seen(time_s: float, *targets) -> Step:
    return lambda subject: subject.on_seen(job(time_s), targets, time_s + 0.01)


def flight() -> list[Step]:
    """A hero walks, hides, comes back; frames are bad, late, twice; somebody holds the drone; the server ends."""
    rng = np.random.default_rng(3)
    steps: list[Step] = [lambda subject: subject.on_received(0.0, False) or []]
    for number in range(60):
        time_s = 0.2 * number
        at = HERE + np.array([0.9 * time_s, 0.3 * time_s, 0.0]) + rng.normal(0, 0.05, 3)
        elsewhere = target(at + np.array([0.0, 9.0, 0.0]))._replace(confidence=0.6 + 0.39 * rng.random())
        if number in (20, 21, 40):
            steps.append(seen(time_s))
        elif number == 25:
            steps.append(lambda subject, time_s=time_s: subject.on_bad_frame(time_s, time_s + 0.001))
        elif number == 28:
            steps.append(lambda subject, time_s=time_s: subject.on_failure(time_s))
        elif number == 31:
            steps.append(lambda subject: subject.hold())
        elif number == 34:
            steps.append(lambda subject: subject.release())
        elif 42 <= number < 52:
            steps.append(lambda subject, time_s=time_s: subject.on_tick(time_s))
        elif number == 55:
            steps.append(seen(time_s, target(at)._replace(position_m=None, position_std_m=None, depth_m=None)))
        elif number == 57:
            steps.append(seen(time_s - 0.2, target(at)))  # sent twice
        else:
            steps.append(seen(time_s, target(at), elsewhere))
    return [*steps, lambda subject: subject.on_shutdown(13.0)]


def test_a_thawed_session_answers_as_the_frozen_one_does_from_any_moment_on():
    steps = flight()
    whole = session()
    answers = [step(whole) for step in steps]
    events = [command.event for answer in answers for command in answer]
    assert {"object_detected", "object_lost", "create_box_marker"} == set(events)
    assert events.count("object_lost") >= 4
    for begin in range(len(steps)):
        original = session()
        for step in steps[:begin]:
            step(original)
        text = json.dumps(freeze(original), allow_nan=False)
        thawed = thaw(json.loads(text))
        assert [step(thawed) for step in steps[begin:]] == answers[begin:], f"from step {begin} on"
        assert thawed.counts == whole.counts
        situations = [repr(subject.situation(13.5)) for subject in (thawed, whole)]
        assert situations[0] == situations[1]


def test_a_thawed_session_is_a_copy():
    original = session()
    thawed = thaw(freeze(original))
    flight()[1](thawed)
    assert original.counts.understood == 0


@pytest.mark.parametrize(
    "frozen",
    [
        None,
        [],
        {},
        {"Popen": {"args": "ls"}},
        {"Session": {"tracker": {"Tracker": {"_state": {"TrackState": "dancing"}}}}},
        {"TrackState": "patrol"},
        {"Session": 5},
        {"Session": {}},
        {"Fix": {"time_s": 1.0}},
    ],
)
def test_what_is_no_session_is_refused(frozen):
    with pytest.raises(ValueError):
        thaw(frozen)


def test_a_part_that_nobody_has_thought_of_is_refused_rather_than_left_out():
    subject = session()
    vars(subject)["surprise"] = object()
    with pytest.raises(TypeError, match="expected a part of a session"):
        freeze(subject)
