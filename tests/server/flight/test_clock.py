"""Steps of session time, from timestamps that can be trusted and from those that cannot."""

import math

import numpy as np
import pytest

from server.flight.clock import FrameClock, FrameTime

UTC_S = 1504814505.0


def ticks(*frames: tuple[float | None, float]) -> list[FrameTime]:
    """The frame times that a new clock gives for (timestamp, arrival) pairs."""
    return run(*frames)[1]


def run(*frames: tuple[float | None, float]) -> tuple[FrameClock, list[FrameTime]]:
    clock, times = FrameClock(), []
    for timestamp_s, arrival_s in frames:
        clock, time = clock.tick(timestamp_s, arrival_s)
        times.append(time)
    return clock, times


def times_s(*frames: tuple[float | None, float]) -> list[float]:
    return [time.time_s for time in ticks(*frames)]


def test_session_time_starts_at_zero_and_takes_the_timestamps_steps_not_the_arrivals():
    # The second frame was held up by the network for 0.1 s, the third not.
    assert times_s((UTC_S, 50.0), (UTC_S + 0.2, 50.3), (UTC_S + 0.4, 50.4)) == pytest.approx([0.0, 0.2, 0.4])


def test_a_simulator_in_lock_step_may_run_faster_or_slower_than_real_time():
    assert times_s((UTC_S, 0.0), (UTC_S + 0.2, 0.02), (UTC_S + 0.4, 0.04)) == pytest.approx([0.0, 0.2, 0.4])
    assert times_s((UTC_S, 0.0), (UTC_S + 0.2, 1.0), (UTC_S + 0.4, 2.0)) == pytest.approx([0.0, 0.2, 0.4])


@pytest.mark.parametrize("missing_s", [None, math.nan, math.inf])
def test_without_a_timestamp_the_arrival_counts(missing_s):
    assert times_s((missing_s, 7.0), (missing_s, 7.25), (missing_s, 7.5)) == pytest.approx([0.0, 0.25, 0.5])


def test_a_frame_without_a_timestamp_among_others_does_not_shift_them():
    # 0.15 s by arrival in between; the third is 0.4 s after the first by its timestamp.
    assert times_s((UTC_S, 0.0), (None, 0.15), (UTC_S + 0.4, 0.45)) == pytest.approx([0.0, 0.15, 0.4])


@pytest.mark.parametrize("arrival_s", [16.0, 20.0, 40.0, 59.0])
def test_a_long_pause_is_believed_if_the_arrivals_show_it_too(arrival_s):
    # 30 s by timestamps: within a factor of 2.
    last = ticks((UTC_S, 0.0), (UTC_S + 30.0, arrival_s))[-1]
    assert last == FrameTime(30.0, is_stale=False, is_rebased=False)


@pytest.mark.parametrize("arrival_s", [14.0, 61.0])
def test_a_long_pause_is_not_believed_if_the_arrivals_show_another(arrival_s):
    last = ticks((UTC_S, 0.0), (UTC_S + 30.0, arrival_s))[-1]
    assert last == FrameTime(arrival_s, is_stale=False, is_rebased=True)


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, -5.0, 3.0, 1e300, -1e300])
def test_a_jump_that_the_arrivals_do_not_show_is_replaced_by_their_step(jump_s):
    # 0.2 s by arrival instead of the jump; then 0.2 s by timestamps again, counted from the jump's far side.
    jumped = UTC_S + jump_s
    frames = ticks((UTC_S, 0.0), (jumped, 0.2), (jumped + 0.2, 0.5))
    assert [frame.is_rebased for frame in frames[:2]] == [False, True]
    assert frames[1].time_s == pytest.approx(0.2)
    if abs(jump_s) < 1e6:  # 1e300 + 0.2 = 1e300: a clock without steps
        assert frames[2].time_s == pytest.approx(0.4)


def test_a_frame_sent_twice_is_stale_and_takes_no_time():
    frames = ticks((UTC_S, 0.0), (UTC_S + 0.2, 0.2), (UTC_S + 0.2, 0.21), (UTC_S + 0.4, 0.4))
    assert [frame.is_stale for frame in frames] == [False, False, True, False]
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 0.2, 0.2, 0.4])


def test_each_frame_sent_twice_is_stale_if_good_ones_come_in_between():
    frames = ticks(*((UTC_S + 0.2 * (number // 2), 0.1 * number) for number in range(8)))
    assert [frame.is_stale for frame in frames] == [False, True] * 4


def test_a_late_frame_is_stale():
    # Sent at 0.2 s, overtaken by the one of 0.4 s.
    frames = ticks((UTC_S, 0.0), (UTC_S + 0.4, 0.4), (UTC_S + 0.2, 0.45), (UTC_S + 0.6, 0.6))
    assert [frame.is_stale for frame in frames] == [False, False, True, False]
    assert frames[-1].time_s == pytest.approx(0.6)


def test_a_stuck_clock_gives_way_to_the_arrivals_after_one_frame_that_looks_like_a_copy():
    frames = ticks(*((UTC_S, 0.2 * step) for step in range(5)))
    assert [frame.is_stale for frame in frames] == [False, True, False, False, False]
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 0.0, 0.4, 0.6, 0.8])


def test_a_clock_set_back_by_a_second_costs_one_frame():
    # As NTP does. The second timestamp looks late, the third shows that the clock was set back; then all is well.
    frames = ticks((UTC_S, 0.0), (UTC_S - 0.8, 0.2), (UTC_S - 0.6, 0.4), (UTC_S - 0.4, 0.6))
    assert [frame.is_stale for frame in frames] == [False, True, False, False]
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 0.0, 0.4, 0.6])


def test_a_clock_that_runs_backward_costs_one_frame():
    frames = ticks(*((UTC_S - 0.2 * step, 0.2 * step) for step in range(5)))
    assert [frame.is_stale for frame in frames] == [False, True, False, False, False]
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 0.0, 0.4, 0.6, 0.8])


def test_two_frames_are_never_simultaneous():
    # Neither has a timestamp, both came in the same instant: 1 ms apart.
    assert times_s((None, 3.0), (None, 3.0)) == pytest.approx([0.0, 0.001])


def test_an_arrival_clock_that_goes_back_stands_still():
    assert times_s((None, 3.0), (None, 2.0), (None, 3.5)) == pytest.approx([0.0, 0.001, 0.501])


def test_time_never_goes_back_whatever_comes():
    rng = np.random.default_rng(0)
    clock = FrameClock()
    odd = [None, math.nan, math.inf, -math.inf, 0.0, -1e308, 1e308, UTC_S]
    last_s, arrival_s = -1.0, 0.0
    for _ in range(2000):
        timestamp_s = odd[rng.integers(len(odd))] if rng.random() < 0.5 else UTC_S + rng.uniform(-5, 5)
        arrival_s += rng.uniform(-0.1, 0.3)
        clock, frame = clock.tick(timestamp_s, arrival_s)
        assert math.isfinite(frame.time_s)
        assert frame.time_s == last_s if frame.is_stale else frame.time_s > last_s
        last_s = frame.time_s


def test_a_moment_after_the_latest_frame_is_as_much_later_in_session_time():
    assert FrameClock().time_at(99.0) == 0.0
    clock, _ = run((UTC_S, 100.0), (UTC_S + 0.2, 100.25))
    assert clock.time_at(100.30) == pytest.approx(0.25)
    assert clock.time_at(100.0) == pytest.approx(0.2)


@pytest.mark.parametrize("arrival_s", [math.nan, math.inf])
def test_an_arrival_that_is_no_time_is_refused(arrival_s):
    with pytest.raises(ValueError, match="expected arrival_s finite"):
        FrameClock().tick(UTC_S, arrival_s)
