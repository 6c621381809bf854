"""The server as shipped, on real frames from QuadSim: the shipped weights, a real process, QuadSim's dialect."""

import time
from pathlib import Path

import pytest
from support.live import answers

from tools.simulator.frames import sensor_frame_fields
from tools.simulator.recorded import image_files, mask_files, read_frames
from tools.simulator.server_process import REPOSITORY, ServerProcess, running_server
from tools.simulator.wire import QuadSimClient


@pytest.fixture(scope="module")
def server(data_dir):
    with running_server(REPOSITORY / "weights" / "model_weights") as process:
        yield process


def followed(server: ServerProcess, folder: Path, frames: int) -> int:
    """Number of a folder's first frames after which the drone follows; depth is flat ground with the masks' people.

    Each frame is sent after the answer to the one before; the timestamps are 0.2 s apart.
    """
    files, begin_s, count, is_following = image_files(folder)[:frames], time.time(), 0, False
    with QuadSimClient(port=server.port) as client:
        for number, frame in enumerate(read_frames(files, mask_files(files))):
            payload = sensor_frame_fields(
                frame.image, frame.depth_m, frame.gimbal_pose, timestamp_s=begin_s + 0.2 * number
            )
            told = [event.name for event in answers(client, payload)]
            is_following = (is_following or "object_detected" in told) and "object_lost" not in told
            count += is_following
        assert client.violations == ()
    return count


def test_a_near_hero_is_followed(server, data_dir):
    # The first frames confirm; one of the set shows no hero.
    assert followed(server, data_dir / "sample_evaluation_data" / "following_images", 100) >= 95


def test_without_a_hero_the_drone_patrols(server, data_dir):
    assert followed(server, data_dir / "sample_evaluation_data" / "patrol_non_targ", 100) <= 2
