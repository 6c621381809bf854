"""How fast somebody walks and how fast the world moves, by distances calculated by hand."""

import math

import pytest

from server.flight.strides import FASTEST_PACE, PACE_S, STRIDE_S, STRIDE_STD_M, Stride, updated_pace

FRAME_S = 0.2
NEAR_M = 0.15  # standard deviation of a place
BRISK_MPS = 2.0


def walked(*sightings: tuple[float, float, float], std_m: float = NEAR_M) -> Stride:
    """After sightings of (time, x, y)."""
    stride = Stride()
    for time_s, x_m, y_m in sightings:
        stride = stride.after(time_s, x_m, y_m, std_m)
    return stride


def test_a_speed_is_the_way_over_ground_by_the_time_since_the_measurement_began():
    # 0.3 m and 0.4 m in each frame: 0.5 m in 0.2 s.
    frames = [(5.0 + FRAME_S * number, 0.3 * number, -0.4 * number) for number in range(7)]
    assert [walked(*frames[: count + 1]).speed_mps for count in range(3)] == [None] * 3, "too short a time"
    assert walked(*frames[:4]).speed_mps == pytest.approx(2.5)
    stopped = [*frames[:4], *((time_s, *frames[3][1:]) for time_s, *_ in frames[4:])]
    assert walked(*stopped[:6]).speed_mps == pytest.approx(2.5), "the latest measurement counts"
    assert walked(*stopped).speed_mps == 0.0


def test_three_frames_are_time_enough_however_their_times_are_rounded():
    assert STRIDE_S > 1.4 - 0.8
    assert walked((0.8, 0.0, 0.0), (1.4, 0.6, 0.0)).speed_mps == pytest.approx(1.0)


def test_after_a_gap_a_speed_is_measured_anew_and_the_former_one_is_kept():
    before = walked((0.0, 0.0, 0.0), (0.6, 0.6, 0.0))
    assert before.after(1.7, 2.8, 0.0, NEAR_M).speed_mps == pytest.approx(2.0)
    after = before.after(1.9, 3.0, 0.0, NEAR_M)
    assert after.speed_mps == before.speed_mps == pytest.approx(1.0)
    assert after.after(2.5, 4.8, 0.0, NEAR_M).speed_mps == pytest.approx(3.0)


def test_of_somebody_far_away_nothing_is_measured():
    """At that distance, the noise of the places is as large as a step."""
    frames = [(FRAME_S * number, 1.0 * number, 0.0) for number in range(8)]
    assert walked(*frames, std_m=STRIDE_STD_M + 0.01) == Stride()
    assert walked(*frames).after(1.6, 8.0, 0.0, STRIDE_STD_M + 0.01) == Stride()


def test_without_anybody_nearby_the_pace_stays():
    assert updated_pace(3.0, [], FRAME_S, BRISK_MPS) == 3.0


@pytest.mark.parametrize(
    ("speeds_mps", "pace"),
    [
        ([0.0, 0.5], 1.0),  # a standing person says nothing
        ([0.0, 6.0, 50.0], 3.0),  # the one in the middle
        ([50.0], FASTEST_PACE),
    ],
)
def test_the_pace_becomes_what_most_of_those_nearby_walk(speeds_mps, pace):
    assert updated_pace(2.0, speeds_mps, 100.0, BRISK_MPS) == pytest.approx(pace)


def test_the_pace_is_learned_little_by_little_and_alike_by_long_and_by_short_steps():
    long = updated_pace(1.0, [6.0], PACE_S, BRISK_MPS)
    assert long == pytest.approx(3.0 - 2.0 / math.e)
    pace = 1.0
    for _ in range(round(PACE_S / FRAME_S)):
        pace = updated_pace(pace, [6.0], FRAME_S, BRISK_MPS)
    assert pace == pytest.approx(long)
