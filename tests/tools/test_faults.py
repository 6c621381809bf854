"""Frames get lost, late, doubled and broken as often as asked, and the same ones for a seed."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from server.sight.images import decode_depth, decode_rgb
from server.wire.messages import BadFrameError, Pose, parse_sensor_frame, parse_timestamp
from tools.simulator.faults import FaultConfig, Faults
from tools.simulator.frames import encode_depth_png, encode_jpeg, sensor_frame_fields

POSE = Pose(1.0, 2.0, 3.0, 0.0, 30.0, 0.0)
JPEG = encode_jpeg(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
PNG = encode_depth_png(np.full((64, 64), 20.0), 100.0)


def payload(time_s=0.0, locale="en"):
    return sensor_frame_fields(JPEG, PNG, POSE, timestamp_s=1504814505.0 + time_s, locale=locale)


def stream(config, seed=0, frames=500, locale="en"):
    """The frames that arrive, of frames sent at 5 Hz: (frame's number, time of arrival, payload)."""
    faults = Faults(config, np.random.default_rng(seed))
    return [
        (number, at_s, arrived)
        for number in range(frames)
        for at_s, arrived in faults.pass_on(number / 5, payload(number / 5, locale))
    ]


def is_understood(fields):
    try:
        frame = parse_sensor_frame(fields)
        decode_rgb(frame.rgb_image, 64)
        decode_depth(frame.depth_image)
    except BadFrameError:
        return False
    return frame.timestamp_s is not None


def test_without_faults_every_frame_arrives_at_once_and_as_it_is():
    assert stream(FaultConfig(), frames=3) == [(n, n / 5, payload(n / 5)) for n in range(3)]


def test_a_share_of_the_frames_is_lost():
    assert len(stream(FaultConfig(drop=0.2))) == pytest.approx(400, abs=30)
    assert stream(FaultConfig(drop=1.0), frames=20) == []


def test_frames_are_late_by_the_delay():
    arrivals = [(number, at_s) for number, at_s, _ in stream(FaultConfig(delay=0.35), frames=20)]
    assert arrivals == [(number, number / 5 + 0.35) for number in range(20)]


def test_a_share_of_the_frames_comes_twice():
    numbers = [number for number, _, _ in stream(FaultConfig(duplicate=0.1))]
    assert len(numbers) == pytest.approx(550, abs=25)
    assert max(numbers.count(number) for number in numbers) == 2


def test_a_share_of_the_frames_is_broken_and_no_server_could_take_them_for_whole():
    arrived = stream(FaultConfig(corrupt=0.3), frames=200)
    broken = [fields for number, _, fields in arrived if fields != payload(number / 5)]
    assert len(broken) == pytest.approx(60, abs=20)
    assert not any(is_understood(fields) for fields in broken)
    assert is_understood(payload())


def test_a_frame_breaks_in_more_than_one_way():
    arrived = stream(FaultConfig(corrupt=1.0), frames=60)
    whole = payload()
    fields = {name for _, _, broken in arrived for name in whole if broken.get(name) != whole[name]} - {"timestamp"}
    assert fields == {"rgb_image", "depth_image", "pose", "gimbal_pose"}
    assert any(parse_timestamp(broken["timestamp"]) is None for _, _, broken in arrived)


@pytest.mark.parametrize("locale", ["en", "de"])
def test_the_frames_clock_jumps_and_goes_on_from_there(locale):
    arrived = stream(FaultConfig(clock_jump=10.0), frames=150, locale=locale)
    steps_s = np.diff([parse_timestamp(fields["timestamp"]) for _, _, fields in arrived])
    jumps = np.flatnonzero(np.abs(steps_s - 0.2) > 1e-3)
    assert jumps.tolist() == [49, 99]  # before the frames of 10 s and 20 s
    assert all(fields["pose"] == payload(0, locale)["pose"] for _, _, fields in arrived)


def test_the_connection_is_cut_every_so_often():
    faults = Faults(FaultConfig(disconnect=7.0), np.random.default_rng(0))
    assert [time_s for time_s in range(30) if faults.cuts(time_s)] == [7, 14, 21, 28]
    assert not Faults(FaultConfig(), np.random.default_rng(0)).cuts(1e9)


def test_the_same_seed_gives_the_same_faults():
    config = FaultConfig(drop=0.2, duplicate=0.2, corrupt=0.2, clock_jump=3.0)
    assert stream(config, seed=4, frames=60) == stream(config, seed=4, frames=60)
    assert stream(config, seed=4, frames=60) != stream(config, seed=5, frames=60)


def test_the_frame_given_is_left_as_it_is():
    given = payload()
    Faults(FaultConfig(corrupt=1.0), np.random.default_rng(0)).pass_on(0.0, given)
    assert given == payload()
    Image.open(io.BytesIO(base64.b64decode(given["rgb_image"]))).load()


@pytest.mark.parametrize(
    ("setting", "value"), [("drop", 1.5), ("corrupt", -0.1), ("delay", -1.0), ("delay", float("nan"))]
)
def test_settings_that_make_no_sense_are_refused(setting, value):
    with pytest.raises(ValueError, match=f"expected {setting} from 0 to"):
        FaultConfig(**{setting: value})
