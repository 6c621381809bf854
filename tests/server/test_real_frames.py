"""The server as shipped, on real frames from QuadSim: the shipped weights, a real process, QuadSim's dialect."""

from pathlib import Path

import pytest

from tools.simulator.player import Summary, play
from tools.simulator.recorded import image_files, mask_files, read_frames
from tools.simulator.server_process import REPOSITORY, ServerProcess, running_server
from tools.simulator.wire import QuadSimClient


@pytest.fixture(scope="module")
def server(data_dir):
    with running_server(REPOSITORY / "weights" / "model_weights") as process:
        yield process


def fly(server: ServerProcess, folder: Path, frames: int) -> Summary:
    """Play a folder's first frames at 20 a second; depth is that of flat ground with the masks' people on it."""
    files = image_files(folder)[:frames]
    with QuadSimClient(port=server.port) as client:
        return play(client, read_frames(files, mask_files(files)), frames_per_s=20.0)


def test_a_near_hero_is_followed(server, data_dir):
    summary = fly(server, data_dir / "sample_evaluation_data" / "following_images", 100)
    assert summary.frames == 100
    # The first frames confirm; one of the set shows no hero.
    assert summary.followed >= 95
    assert summary.violations == ()


def test_without_a_hero_the_drone_patrols(server, data_dir):
    summary = fly(server, data_dir / "sample_evaluation_data" / "patrol_non_targ", 100)
    assert summary.frames == 100
    assert summary.followed <= 2
    assert summary.violations == ()
