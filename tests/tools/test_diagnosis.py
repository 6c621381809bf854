"""The doctor's findings about a client's frames and about a machine, without a server."""

import errno
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from support.fake_engine import ColourEngine
from support.live import POSE, fields
from support.waiting import PATIENCE_S

from model.engines import load_engine
from server.sight.geometry import QUADSIM_CAMERA
from tools.diagnosis import machine
from tools.diagnosis.advice import from_complaint
from tools.diagnosis.finding import Finding, Mark
from tools.diagnosis.frames import FrameCheck, sample
from tools.diagnosis.machine import check_machine, check_port
from tools.simulator.frames import encode_depth_png, encode_jpeg, sensor_frame_fields

BEGIN_S = 1504814505.0


def frame(timestamp_s=BEGIN_S, width=256, height=256, depth_px=None, depth_m=12.0, **options):
    depth = encode_depth_png(np.full(depth_px or (height, width), depth_m), QUADSIM_CAMERA.far_m)
    image = encode_jpeg(np.zeros((height, width, 3), np.uint8))
    return sensor_frame_fields(image, depth, options.pop("gimbal_pose", POSE), timestamp_s=timestamp_s, **options)


def found(frames, period_s=0.2):
    """All findings of frames that come once in a period, by subject and mark."""
    check = FrameCheck()
    findings = [finding for number, each in enumerate(frames) for finding in check.take(number * period_s, each)]
    findings += check.judge((len(frames) - 1) * period_s)
    return {(finding.subject, finding.mark): finding for finding in findings}


def test_nothing_is_wrong_with_a_quadsim():
    findings = found([frame(BEGIN_S + 0.2 * number) for number in range(20)])
    assert set(findings) == {("frames", Mark.OK), ("timestamp", Mark.OK)}
    assert findings["frames", Mark.OK].text == "5.0 a second"
    assert findings["timestamp", Mark.OK].text == "the clock runs like this machine's: 3.8 s in 3.8 s"


@pytest.mark.parametrize(
    ("step_s", "text"),
    [
        (0.4, "the clock runs at 2×"),
        (0.02, "the clock runs at 0.1×"),
        (0.0, "the clock stands still or goes back"),
        (-1.0, "the clock stands still or goes back"),
    ],
)
def test_a_clock_that_does_not_run_in_seconds_is_told(step_s, text):
    finding = found([frame(BEGIN_S + step_s * number) for number in range(20)])["timestamp", Mark.WRONG]
    assert finding.text == text
    assert finding.received == f"{19 * step_s:.1f} s in 3.8 s"
    assert finding.fix


def test_frames_without_a_time_are_noted():
    finding = found([{**frame(), "timestamp": "noon"}] * 10)["timestamp", Mark.NOTE]
    assert finding.received == "'noon'"
    assert "1504814505.23149" in finding.expected


def test_a_single_frame_tells_nothing_of_the_clock_but_whether_its_time_is_understood():
    for timestamp, findings in (("1504814505.2", set()), ("noon", {("timestamp", Mark.NOTE)})):
        check = FrameCheck()
        check.take(0.0, {**frame(), "timestamp": timestamp})
        assert {(each.subject, each.mark) for each in check.judge(5.0)} == {("frames", Mark.WRONG), *findings}


@pytest.mark.parametrize(("period_s", "is_rare"), [(0.03, False), (0.5, False), (0.6, True), (5.0, True)])
def test_frames_that_are_too_rare_are_told(period_s, is_rare):
    findings = found([frame(BEGIN_S + period_s * number) for number in range(40)], period_s)
    assert (("frames", Mark.WRONG) in findings) == is_rare


def test_two_frames_in_five_seconds_are_too_rare_and_two_in_a_moment_say_nothing_yet():
    check = FrameCheck()
    for arrival_s in (0.0, 0.2):
        check.take(arrival_s, frame(BEGIN_S + arrival_s))
    assert check.judge(0.4) == check.judge(4.9) == []
    assert check.judge(5.0)[0].text == "too few: one every 5.0 s"
    assert check.judge(9.0) == []  # once


@pytest.mark.parametrize(
    ("changes", "subject", "text"),
    [
        ({"gimbal_pose": None}, "gimbal_pose", "no such key among"),
        ({"gimbal_pose": "1,2,3"}, "gimbal_pose", "'1,2,3' (3 numbers)"),
        ({"rgb_image": "AAAA"}, "rgb_image", "begins with"),
    ],
)
def test_a_field_that_is_not_understood_is_told_with_a_sample_and_how_to_fix_it(changes, subject, text):
    sent = fields(**changes)
    finding = found([sent])[subject, Mark.WRONG]
    assert text in finding.text
    assert finding.received == sample(sent)
    assert "'timestamp': '" in finding.received
    assert finding.expected
    assert finding.fix


def test_what_is_no_frame_at_all_is_told():
    assert found(["hello"])["sensor_frame", Mark.WRONG].received == "'hello'"
    assert found([{}])["rgb_image", Mark.WRONG].received == "an empty object"


def test_decimal_commas_are_noted_as_understood():
    finding = found([frame(locale="de")])["numbers", Mark.NOTE]
    assert finding.received == "10,0000,20,0000,8,0000,0,0000,20,0000,30,0000"


def test_thousands_separators_of_an_english_machine_are_no_decimal_commas():
    assert ("numbers", Mark.NOTE) not in found([frame(gimbal_pose=POSE._replace(x_m=-1234.5))])


def test_other_sizes_than_quadsims_are_noted():
    findings = found([frame(width=320, height=240, depth_px=(120, 160))])
    assert (findings["rgb_image", Mark.NOTE].received, findings["rgb_image", Mark.NOTE].expected) == (
        "320×240",
        "256×256",
    )
    assert findings["depth_image", Mark.NOTE].text == "got 160×120"


def test_frames_without_depth_images_are_noted_as_understood():
    without = {name: value for name, value in frame().items() if name != "depth_image"}
    assert "as if they stood on flat ground" in found([without] * 10)["depth_image", Mark.NOTE].text
    assert ("depth_image", Mark.NOTE) not in found([without] * 9 + [frame()])


def test_an_image_that_is_too_large_is_told():
    assert "1000×1000" in found([frame(width=1000, height=1000)])["rgb_image", Mark.WRONG].text


def test_depth_images_with_nothing_in_them_are_told_unless_some_have_depth():
    empty, full = frame(depth_m=np.inf), frame()
    assert "no depth: 255 everywhere in all 10 frames" in found([empty] * 10)["depth_image", Mark.WRONG].text
    assert ("depth_image", Mark.WRONG) not in found([empty] * 9 + [full])


@pytest.mark.parametrize("speed", [1, 2, 5])
def test_the_gimbals_sweep_tells_how_fast_quadsims_world_runs(speed):
    poses = [POSE._replace(yaw_deg=-(7.0 * speed * number % 360)) for number in range(20)]  # 35°/s, 5 frames a second
    frames = [frame(BEGIN_S + 0.2 * number, gimbal_pose=pose, pose=POSE) for number, pose in enumerate(poses)]
    finding = found(frames).get(("time scale", Mark.NOTE))
    assert (finding and finding.text) == (f"the world runs at about {speed}.0×" if speed > 1 else None)


def test_a_drone_that_flies_or_a_still_gimbal_says_nothing_of_the_worlds_speed():
    flying = [POSE._replace(x_m=1.0 * number, yaw_deg=20.0 * number) for number in range(20)]
    for poses in (flying, [POSE] * 20):
        frames = [frame(BEGIN_S + 0.2 * number, gimbal_pose=pose, pose=pose) for number, pose in enumerate(poses)]
        assert ("time scale", Mark.NOTE) not in found(frames)


def test_a_finding_shows_what_there_is():
    assert str(Finding(Mark.OK, "disk", "full of room")) == "ok    disk: full of room"
    lines = str(from_complaint("event", "one of sensor_frame", "'telemetry'")).split("\n")
    assert lines[:2] == ["WRONG event: got 'telemetry'", "      expected: one of sensor_frame"]
    assert lines[2].startswith("      fix:      emit the event 'sensor_frame'")


# The machine


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """Checks this machine, with a cache of its own and the fake network; the findings by subject."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("model.engines.load_engine", lambda *_: ColourEngine())

    def check(recordings=tmp_path / "not" / "yet"):
        return {finding.subject: finding for finding in check_machine(4567, recordings)}

    return check


def test_a_machine_that_runs_the_tests_can_run_the_server(checked, tmp_path):
    findings = checked()
    for subject in ("Python", "libraries", "CPU", "GPU", "network", "cache"):
        assert findings[subject].mark is Mark.OK, findings[subject]
    assert "computes fast in " in findings["CPU"].text
    assert findings["network"].text.startswith("colours; loaded in ")
    assert str(tmp_path / "cache") in findings["cache"].text
    assert {"disk", "browser", "port 4567"} <= set(findings)


def test_a_missing_library_is_told_and_the_rest_is_checked_all_the_same(checked, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    findings = checked()
    assert findings["CPU"].mark is findings["libraries"].mark is Mark.WRONG
    assert findings["disk"].mark is not Mark.WRONG


@pytest.mark.parametrize("error", [RuntimeError("Device with CPU name is not registered"), SyntaxError("null bytes")])
def test_a_broken_library_is_told_and_the_rest_is_checked_all_the_same(checked, monkeypatch, error):
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=Mock(side_effect=error)))
    findings = checked()
    assert (findings["CPU"].mark, findings["CPU"].text) == (Mark.WRONG, str(error))
    assert findings["disk"].mark is not Mark.WRONG


def test_a_network_that_cannot_be_loaded_is_told(checked, monkeypatch):
    monkeypatch.setattr("model.engines.load_engine", load_engine)
    monkeypatch.setattr("tools.simulator.server_process.SHIPPED_WEIGHTS", Path("no/such/network"))
    finding = checked()["network"]
    assert finding.mark is Mark.WRONG
    assert "expected a network at no/such/network" in finding.text


def test_an_old_python_a_full_disk_and_a_cache_that_is_none_are_told(checked, tmp_path, monkeypatch):
    (tmp_path / "cache").touch()
    monkeypatch.setattr(machine, "LEAST_PYTHON", (9, 0))
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**6))
    findings = checked()
    assert findings["Python"].mark is findings["disk"].mark is Mark.WRONG
    assert findings["cache"].mark is Mark.NOTE


@pytest.mark.parametrize("trouble", ["Not a directory", "Permission denied"])
def test_a_folder_of_recordings_that_cannot_be_written_is_told(checked, tmp_path, monkeypatch, trouble):
    folder = tmp_path / "recordings"
    if trouble == "Not a directory":
        folder.touch()
    else:  # as root, the tests may write everywhere
        refuse = Mock(side_effect=PermissionError(errno.EACCES, trouble))
        monkeypatch.setattr("model.command.tempfile.TemporaryFile", refuse)
    finding = checked(folder)["disk"]
    expected = f"expected to be able to write into the folder {folder}, got: {trouble}"
    assert (finding.mark, finding.text) == (Mark.WRONG, expected)


def test_a_port_is_free_or_somebody_elses():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        port = listener.getsockname()[1]
        assert check_port(port).mark is Mark.WRONG
    assert check_port(port) == Finding(Mark.OK, f"port {port}", "free")
