import logging

import pytest
from support.clock import Clock

from server.wire.complaints import MOST_PER_INTERVAL, REPEAT_AFTER_S, SERVER, RateLimitedWarnings


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def complaints(clock, caplog) -> RateLimitedWarnings:
    caplog.set_level(logging.WARNING)
    return RateLimitedWarnings(clock)


def test_the_first_warning_says_who_what_expected_and_received(complaints, caplog):
    complaints.warn("127.0.0.1:5", "pose", "six numbers", "three")
    assert caplog.messages == ["[127.0.0.1:5] pose: expected six numbers, got three"]


def test_repetitions_are_counted_and_told_once(complaints, clock, caplog):
    for _ in range(100):
        complaints.warn("a", "pose", "six numbers", "three")
    clock.now_s = REPEAT_AFTER_S
    complaints.warn("a", "pose", "six numbers", "four")
    assert caplog.messages[1:] == ["[a] pose: 99 more of the same", "[a] pose: expected six numbers, got four"]


def test_another_session_and_another_field_are_heard(complaints, caplog):
    complaints.warn("a", "pose", "six numbers", "three")
    complaints.warn("b", "pose", "six numbers", "three")
    complaints.warn("b", "rgb_image", "a JPEG", "nothing")
    assert len(caplog.messages) == 3


def test_a_storm_of_sessions_does_not_fill_the_log(complaints, clock, caplog):
    for number in range(10 * MOST_PER_INTERVAL):
        complaints.warn(f"session {number}", "pose", "six numbers", "three")
    assert len(caplog.messages) == MOST_PER_INTERVAL
    clock.now_s = REPEAT_AFTER_S
    complaints.warn("a", "pose", "six numbers", "three")
    assert f"{9 * MOST_PER_INTERVAL} more warnings from further sessions and fields" in caplog.messages


def test_the_servers_own_complaints_are_heard_in_a_storm_and_take_no_clients_place(complaints, clock, caplog):
    for _ in range(2):
        complaints.warn(SERVER, "sessions", "at most 500", "one more")
        for number in range(2 * MOST_PER_INTERVAL):
            complaints.warn(f"session {number}", "pose", "six numbers", "three")
        complaints.warn(SERVER, "connections", "at most 500", "one more")
        own = [message for message in caplog.messages if message.startswith(f"[{SERVER}]")]
        assert [words.split(":")[0] for words in own] == [f"[{SERVER}] sessions", f"[{SERVER}] connections"]
        assert len(caplog.messages) == MOST_PER_INTERVAL + 2
        clock.now_s += REPEAT_AFTER_S
        complaints.warn("a", "pose", "six numbers", "three")
        clock.now_s += REPEAT_AFTER_S
        caplog.clear()
