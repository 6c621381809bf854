"""The player against a scripted peer: what it sends, what it says, and how it fails."""

import json
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from support.command import exit_status
from support.waiting import PATIENCE_S

from server.sight.geometry import QUADSIM_CAMERA, project
from tools import play_frames
from tools.simulator import player
from tools.simulator.recorded import CAMERA_POSE, UnreadableImageError, image_files, mask_files, read_frames
from tools.simulator.wire import QuadSimClient

FOLLOW = '42["object_detected",{"coords":[3.25,-0.5,0.9]}]'
PATROL = '42["object_lost",{"data":""}]'
ANSWERED = '42["answered",{}]'


@pytest.fixture
def folder(tmp_path):
    """Four small images, two JPEG of QuadSim's size and two others."""
    for index, (suffix, size) in enumerate([(".jpeg", 256), (".jpeg", 256), (".png", 256), (".jpg", 100)]):
        image = np.full((size, size, 3), 40 * index, np.uint8)
        Image.fromarray(image).save(tmp_path / f"frame_{index}{suffix}")
    return tmp_path


def played(peer, folder, *options):
    return play_frames.main([str(folder), "--server", f"http://127.0.0.1:{peer.port}", "--fps", "50", *options])


@pytest.fixture
def unhurried(monkeypatch):
    """The player waits for the peer's answer to each frame, or the end, in place of the time until the next frame."""
    clients = []

    class CountingClient(QuadSimClient):
        sent = 0

        def connect(self):
            clients.append(self)
            super().connect()

        def send_frame(self, payload, number=None):
            self.sent += 1
            return super().send_frame(payload, number)

    def wait_until_answered(_):
        (client,) = clients
        deadline_s = time.monotonic() + PATIENCE_S
        while client.is_connected and sum(event.name == "answered" for event in client.events) < client.sent:
            assert time.monotonic() < deadline_s
            time.sleep(0.001)

    monkeypatch.setattr(player, "QuadSimClient", CountingClient)
    monkeypatch.setattr(player, "time", SimpleNamespace(monotonic=time.monotonic, sleep=wait_until_answered))


def answering(*replies):
    """A peer that answers the n-th frame with the n-th list of events, and then with `ANSWERED`."""
    remaining = iter(replies)
    return lambda text: [*next(remaining, []), ANSWERED] if text.startswith("42") else ["3"]


def frames_sent(peer, count):
    return [json.loads(text[2:])[1] for text in peer.events(count)]


# What it says


def test_each_frame_gets_a_line_with_the_decision_and_how_long_it_took(peer, unhurried, folder, capsys):
    peer.answer = answering([PATROL], [], [FOLLOW], [])
    assert played(peer, folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:4]] == [
        ["1", "frame_0.jpeg"],
        ["2", "frame_1.jpeg"],
        ["3", "frame_2.png"],
        ["4", "frame_3.jpg"],
    ]
    assert "PATROL" in lines[0]
    assert lines[0].endswith(" ms")
    assert lines[1].endswith("PATROL, no change since frame 1")
    assert "FOLLOW (   3.25,   -0.50,   0.90) m" in lines[2]
    assert lines[3].endswith("FOLLOW (   3.25,   -0.50,   0.90) m, no change since frame 3")


def test_it_ends_with_a_summary(peer, unhurried, folder, capsys):
    peer.answer = answering([PATROL], [FOLLOW], [FOLLOW], [FOLLOW])
    played(peer, folder)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("4 frames, following after 3 of them (75%), median response ")
    assert last.endswith("ms over 4 answers")


def test_only_the_latest_response_times_are_kept_of_many(peer, unhurried, folder, capsys, monkeypatch):
    monkeypatch.setattr(player, "MOST_RESPONSES", 2)
    peer.answer = answering([PATROL], [FOLLOW], [FOLLOW], [FOLLOW])
    played(peer, folder)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("4 frames, following after 3 of them (75%), median response ")
    assert last.endswith("ms over 2 answers")


def test_only_the_latest_events_are_kept_of_many(peer, folder, monkeypatch):
    clients = []

    class NotedClient(QuadSimClient):
        def connect(self):
            clients.append(self)
            super().connect()

    monkeypatch.setattr(player, "QuadSimClient", NotedClient)
    monkeypatch.setattr(player, "MOST_EVENTS", 3)
    peer.answer = answering(*[[FOLLOW] * 5] * 4)
    assert played(peer, folder) == 0
    (client,) = clients
    assert len(client.events) <= 3


def test_the_last_of_several_decisions_on_a_frame_counts(peer, unhurried, folder, capsys):
    peer.answer = answering([FOLLOW, PATROL])
    played(peer, folder, "--limit", "1")
    assert "PATROL" in capsys.readouterr().out.splitlines()[0]


def test_a_server_that_says_nothing_is_said_to(peer, folder, capsys):
    played(peer, folder, "--limit", "1")
    assert capsys.readouterr().out.splitlines() == [
        "    1  frame_0.jpeg                 no decision yet",
        "1 frames, following after 0 of them (0%), median response none over 0 answers",
    ]


def test_what_quadsim_could_not_parse_is_told_and_fails(peer, unhurried, folder, capsys):
    peer.answer = answering(['42["object_lost"]'])
    assert played(peer, folder, "--limit", "1") == 1
    assert "message that QuadSim cannot parse: expected exactly one argument" in capsys.readouterr().out


# What it sends


def test_quadsims_jpegs_are_sent_untouched_and_others_become_them(peer, folder):
    played(peer, folder)
    frames = list(read_frames(image_files(folder)))
    assert frames[0].image == (folder / "frame_0.jpeg").read_bytes()
    assert frames[2].image.shape == frames[3].image.shape == (256, 256, 3)
    sent = frames_sent(peer, 4)
    assert [list(fields) for fields in sent] == [["timestamp", "pose", "gimbal_pose", "rgb_image", "depth_image"]] * 4
    timestamps = [float(fields["timestamp"]) for fields in sent]
    assert timestamps == sorted(set(timestamps))


def test_the_limit_is_kept(peer, folder):
    played(peer, folder, "--limit", "3")
    assert len(frames_sent(peer, 3)) == 3


class SlowClient:
    """Stands for a client that takes a while to send each frame, by a clock that only this client moves."""

    def __init__(self, *sending_s):
        self.now_s, self.sent_s = 100.0, []
        self._sending_s = iter(sending_s)
        self.is_connected, self.violations = True, ()

    def send_frame(self, fields):
        self.sent_s.append(self.now_s)
        self.now_s += next(self._sending_s)
        return self.sent_s[-1]

    def events_since(self, since_s):
        return []

    def monotonic(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


def test_frames_leave_at_the_rate_asked_for_and_a_late_one_delays_those_after_it(folder, monkeypatch):
    client = SlowClient(0.0, 0.09, 0.25, 0.0)
    monkeypatch.setattr(player, "time", client)
    player.play(client, read_frames(image_files(folder)), frames_per_s=10.0, summary=player.Summary())
    assert client.sent_s == pytest.approx([100.0, 100.1, 100.2, 100.45])


def test_an_images_folder_inside_is_used(folder):
    (folder / "images").mkdir()
    (folder / "frame_1.jpeg").rename(folder / "images" / "inner.jpeg")
    assert [file.name for file in image_files(folder)] == ["inner.jpeg"]


def test_without_masks_depth_is_that_of_flat_ground(folder):
    (frame, *_) = read_frames(image_files(folder))
    # The image's middle looks 30° down from 3 m: 3 / sin 30° along the axis.
    assert frame.depth_m[128, 128] == pytest.approx(6.0, rel=0.01)
    assert np.isinf(frame.depth_m[0, 0]) or frame.depth_m[0, 0] > 100


def test_people_in_a_data_sets_masks_stand_on_the_ground(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.zeros((256, 256, 3), np.uint8)).save(tmp_path / "images" / "run1_cam1_00005.jpeg")
    feet = project(np.array([4.0, 0.0, 0.0]), QUADSIM_CAMERA, CAMERA_POSE)
    chest = project(np.array([4.0, 0.0, 1.2]), QUADSIM_CAMERA, CAMERA_POSE)
    mask = np.zeros((256, 256, 3), np.uint8)
    mask[..., 0] = 255
    mask[int(chest.v_px) - 20 : int(feet.v_px) + 1, 120:136] = (0, 0, 255)
    Image.fromarray(mask).save(tmp_path / "masks" / "run1_mask_00005.png")
    files = image_files(tmp_path)
    (frame,) = read_frames(files, mask_files(files))
    assert frame.depth_m[int(chest.v_px), 128] == pytest.approx(chest.depth_m, abs=0.05)


def test_a_raw_recording_brings_its_own_depth(tmp_path):
    (tmp_path / "IMG").mkdir()
    for number, grey in ((1, 90), (2, 255), (3, 51), (4, 102)):
        shape = (256, 256, 3) if number == 1 else (256, 256)
        Image.fromarray(np.full(shape, grey, np.uint8)).save(tmp_path / "IMG" / f"cam{number}_00000.png")
    files = image_files(tmp_path)
    assert [file.name for file in files] == ["cam1_00000.png"]
    (frame,) = read_frames(files)
    np.testing.assert_allclose(frame.depth_m, 20.0)  # the hero's layer is nearest: 51/255 of 100 m


def test_depth_layers_of_several_sizes_are_told_as_an_unreadable_image(tmp_path):
    for number, px in ((1, 256), (2, 256), (3, 256), (4, 128)):
        Image.fromarray(np.zeros((px, px, 3), np.uint8)).save(tmp_path / f"cam{number}_00000.png")
    (told,) = read_frames(image_files(tmp_path))
    assert isinstance(told, UnreadableImageError)
    assert str(told) == f"expected depth layers of one size beside {tmp_path / 'cam1_00000.png'}, got several"


def test_photos_that_are_named_like_depth_layers_are_played(tmp_path):
    for name in ("cam2_00001.jpeg", "cam2_00002.jpeg", "cam3_00001.png"):
        (tmp_path / name).touch()
    assert [file.name for file in image_files(tmp_path)] == ["cam2_00001.jpeg", "cam2_00002.jpeg", "cam3_00001.png"]


# How it fails


def test_no_server_is_an_error_that_says_how_to_start_one(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert play_frames.main([str(folder), "--server", f"http://127.0.0.1:{port}"]) == 1
    error = capsys.readouterr().err
    assert f"expected a server at http://127.0.0.1:{port}, got:" in error
    assert "python server/follower.py weights/model_weights" in error


@pytest.mark.parametrize("name", [".", "missing"])
def test_a_folder_without_images_is_an_error(tmp_path, name, capsys):
    assert play_frames.main([str(tmp_path / name)]) == 2
    assert str(tmp_path / name) in capsys.readouterr().err


def test_unreadable_images_are_named_and_skipped(peer, folder, capsys):
    whole = (folder / "frame_0.jpeg").read_bytes()
    (folder / "frame_0.jpeg").write_bytes(whole[: len(whole) // 2])
    (folder / "frame_2.png").write_bytes(b"no image")
    assert played(peer, folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"skipped expected a whole JPEG or PNG in {folder / 'frame_0.jpeg'}, got: " in lines[0]
    assert f"skipped expected a whole JPEG or PNG in {folder / 'frame_2.png'}, got: " in lines[2]
    assert lines[-1].startswith("2 frames")
    assert lines[-1].endswith(", 2 unreadable images skipped")


def test_a_folder_of_rubbish_alone_ends_even_in_a_loop(peer, tmp_path, capsys):
    (tmp_path / "broken.jpeg").write_bytes(b"")
    assert played(peer, tmp_path, "--loop") == 1
    assert "0 frames" in capsys.readouterr().out
    assert isinstance(next(read_frames(image_files(tmp_path))), UnreadableImageError)


def test_a_server_that_goes_away_ends_it_with_the_frame_and_the_reason(peer, unhurried, folder, capsys):
    def close_on_the_second(text):
        if text.startswith("42") and len(peer.events()) == 2:
            peer.send(b"\x88\x02\x03\xe9")  # 1001, going away
            return []
        return [ANSWERED] if text.startswith("42") else ["3"]

    peer.answer = close_on_the_second
    assert played(peer, folder) == 1
    error = capsys.readouterr().err
    assert "stopped after frame 2" in error
    assert "status 1001" in error


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--fps", "0"], "expected --fps from 0.001 to 1000, got 0.0"),
        (["--limit", "-1"], "expected --limit of at least 1, got -1"),
        (["--server", "localhost"], "expected http://host:port, got 'localhost'"),
        (["--server", "http://localhost:port"], "expected http://host:port"),
    ],
)
def test_options_out_of_range_are_refused(options, complaint, capsys):
    assert exit_status(play_frames.main, [".", *options]) == 2
    assert complaint in capsys.readouterr().err


def test_ctrl_c_ends_a_loop_with_a_summary(peer, folder):
    command = [sys.executable, play_frames.__file__, str(folder), "--loop", "--fps", "100"]
    process = subprocess.Popen(
        [*command, "--server", f"http://127.0.0.1:{peer.port}"], stdout=subprocess.PIPE, text=True
    )
    peer.events(6)  # more than one round
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert " frames, following after 0 of them" in output.splitlines()[-1]
    assert process.returncode == 130
