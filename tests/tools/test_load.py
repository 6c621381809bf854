"""Which answer belongs to which frame; the benchmark itself is no test."""

import pytest

from tools.simulator.load import answer_delays_s


@pytest.mark.parametrize(
    ("sent_s", "answered_s", "delays_s"),
    [
        ([0.0, 0.2, 0.4], [0.01, 0.22, 0.43], [0.01, 0.02, 0.03]),
        ([0.0, 0.2, 0.4], [0.01, 0.43], [0.01, 0.03]),  # the second frame has no answer
        ([0.0, 0.2], [0.05, 0.06, 0.25], [0.05, 0.05]),  # only the first of two answers counts
        ([1.0], [0.5, 1.1], [0.1]),  # an answer before the first frame belongs to none
        ([0.0], [], []),
    ],
)
def test_a_frame_is_answered_by_the_first_answer_before_the_next_frame(sent_s, answered_s, delays_s):
    assert answer_delays_s(sent_s, answered_s) == pytest.approx(delays_s)
