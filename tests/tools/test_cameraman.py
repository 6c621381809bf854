"""Where a cameraman sends the drone of a recording."""

import numpy as np
import pytest

from server.wire.messages import Pose
from tools.simulator.cameraman import DIRECT_EVERY_S, Cameraman
from tools.simulator.drone import Drone

# The hero, three others who may be lookalikes, and the patrol: each far from all others.
CORNERS_M = np.array([[0.0, 0.0, 0.0], [200.0, 0.0, 0.0], [200.0, 200.0, 0.0], [0.0, 200.0, 0.0]])
PATROL_M = np.array([[100.0, 100.0, 6.0]])
NEAR_M, FLIGHT_S = 25.0, 1500.0


@pytest.mark.parametrize("lookalikes", [0, 3])
def test_it_goes_to_the_hero_and_to_each_lookalike_and_to_nobody_else(lookalikes):
    drone = Drone(PATROL_M, Pose(100.0, 100.0, 6.0, 0.0, 0.0, 0.0), fastest_mps=30.0)
    cameraman = Cameraman(drone, np.random.default_rng(0), lookalikes)
    is_near = []
    for number in range(round(FLIGHT_S / DIRECT_EVERY_S)):
        cameraman.direct(number * DIRECT_EVERY_S, CORNERS_M)
        drone.step(DIRECT_EVERY_S)
        camera_m = np.array(cameraman.camera_pose(CORNERS_M)[:3])
        is_near.append(np.linalg.norm(CORNERS_M - camera_m, axis=1) < NEAR_M)
    shares = np.mean(is_near, axis=0)
    assert (shares[: 1 + lookalikes] > 0.02).all(), shares
    assert (shares[1 + lookalikes :] == 0).all(), shares
    if lookalikes:
        assert shares.sum() > 0.3, "most of the time is for a near look"
