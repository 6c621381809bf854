"""How a sighting is compared with the truth, in a view drawn by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.seen import sighting

from tools.measure_range import LEAST_PX, measured, table
from tools.simulator.scene import NOBODY

BOX = np.s_[100:150, 120:136]  # of `support.seen.sighting`


def observed(person: np.ndarray) -> SimpleNamespace:
    """A view in which person n is n metres away."""
    return SimpleNamespace(view=SimpleNamespace(person=person, depth_m=person.astype(np.float32)))


def nobody() -> np.ndarray:
    return np.full((256, 256), NOBODY, np.uint8)


@pytest.mark.parametrize(("position_m", "found"), [((10.0, 2.0, 1.0), (10.0, 0.2)), (None, (np.nan, np.nan))])
def test_a_sighting_is_compared_with_the_person_with_the_most_pixels_in_its_box(position_m, found):
    person = nobody()
    person[BOX] = 12
    person[100:110, 120:136] = 7
    person[:90] = 9  # more pixels, but outside of the box
    assert measured(sighting(position_m), observed(person)) == pytest.approx((12.0, *found), nan_ok=True)


def test_a_sighting_of_hardly_anybody_is_not_compared():
    person = nobody()
    person[100, 120 : 120 + LEAST_PX - 1] = 12
    assert measured(sighting(), observed(person)) is None


def test_a_distance_at_which_nobody_could_be_placed_is_shown():
    # 0.5 m of 5 m is 10 %, half a standard deviation.
    lines = table(np.array([[5.0, 5.5, 1.0], [60.0, np.nan, np.nan], [70.0, np.nan, np.nan]])).splitlines()
    shown = {" ".join(line.split()) for line in lines[1:]}
    nearby = "1 100% 10.0% 10% 100% 100%"
    assert shown == {f"0 to 10 m {nearby}", "50 to 100 m 2 0%", f"0 to 30 m {nearby}"}
