"""The real server, whose frames are inferred by another machine: the commands to a drone if that machine fails."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from support.command import follower
from support.grpc_server import GrpcInferenceServer
from support.inference_server import InferenceServer
from support.live import WATCHDOG
from support.page import Flight, Viewer, flying
from support.waiting import PATIENCE_S, wait_until

from model.engines import load_engine
from model.engines.remote import InferenceHost, connect
from model.engines.self_test import known_frame
from server.flight.events import Received, answer
from server.flight.session import Session
from server.settings import TrackerConfig
from server.sight.geometry import Camera
from server.sight.sight import Sight
from server.wire.messages import Frame
from tools.simulator.frames import sensor_frame_fields
from tools.simulator.recorded import image_files, mask_files, read_frames
from tools.simulator.server_process import REPOSITORY, SHIPPED_WEIGHTS, ServerProcess, running_server

WEIGHTS = SHIPPED_WEIGHTS.with_name("fcn4")
FOLLOWER = REPOSITORY / "server" / "follower.py"


@pytest.fixture
def elsewhere(request) -> Iterator[InferenceServer]:
    """By HTTP, unless a test says another kind."""
    engine = load_engine("openvino", WEIGHTS, "f32")
    subject = getattr(request, "param", InferenceServer)(engine, "fcn4", engine.weights_sha256)
    yield subject
    subject.stop()


def is_remote(server: ServerProcess) -> bool:
    return server.health()[1]["is_remote"]


def wait_lost(flight: Flight, before: int) -> None:
    wait_until(lambda: any(event.name == "object_lost" for event in flight.client.events[before:]), "object_lost")


@pytest.mark.parametrize("elsewhere", [InferenceServer, GrpcInferenceServer], indirect=True)
def test_a_drone_is_told_of_the_failure_and_then_led_by_the_local_engine_until_the_machine_is_back(elsewhere):
    with (
        running_server(WEIGHTS, *WATCHDOG, "--engine", elsewhere.url, "--fallback") as server,
        flying(server, image=known_frame(256)[0]) as flight,
    ):
        place_m = flight.led_to()
        assert is_remote(server)
        assert server.metrics()["followme_remote"] == 1
        assert server.metrics()['followme_remote_images_total{outcome="answered"}'] > 0
        before = len(flight.client.events)
        elsewhere.stop()
        wait_lost(flight, before)
        np.testing.assert_allclose(flight.led_to(), place_m, atol=0.5)  # of an engine of another precision
        health = server.health()[1]
        assert not health["is_remote"]
        assert f"because {elsewhere.url}: " in health["engine"]
        assert server.metrics()["followme_remote"] == 0
        assert server.metrics()['followme_remote_images_total{outcome="failed"}'] == 1
        viewer = Viewer(server)
        told = viewer.next_that(lambda message: "network" in message)
        assert f"because {elsewhere.url}: " in told["network"]["engine"]
        viewer.close()
        elsewhere.start()
        wait_until(lambda: is_remote(server), "its return")
        flight.led_to()
        server.wait_for_log("answers again; frames are inferred there from now on", PATIENCE_S)
        assert not any("Traceback" in line for line in server.log)
        assert sum("frames are now inferred on this machine" in line for line in server.log) == 1


def test_without_a_fallback_the_drone_patrols_until_the_machine_is_back(elsewhere):
    with (
        running_server(WEIGHTS, *WATCHDOG, "--engine", elsewhere.url) as server,
        flying(server, image=known_frame(256)[0]) as flight,
    ):
        flight.led_to()
        before = len(flight.client.events)
        elsewhere.fault = "noise"
        wait_lost(flight, before)
        flight.wait_frames(3)
        status, health = server.health()
        assert (status, health["trouble"]) == (503, "perception failed on the last frame")
        since = len(flight.client.events)
        flight.wait_frames(3)
        assert not any(event.name == "object_detected" for event in flight.client.events[since:])
        elsewhere.fault = ""
        flight.led_to()
        assert sum("perception fails until it answers again" in line for line in server.log) == 1
        assert not any("Traceback" in line for line in server.log)


def test_a_wrong_network_and_wrong_options_end_the_start_in_one_line(elsewhere, tmp_path):
    elsewhere.metadata["parameters"]["weights_sha256"] = "1" * 64
    (tmp_path / "token").write_text("0123456789abcdef")
    for arguments, words in (
        (("--engine", elsewhere.url), "expected the network fcn4 with weights_sha256 "),
        (("--fallback",), "expected --engine http:// or grpc://HOST:PORT with --fallback, got auto"),
        (
            ("--engine-token-file", str(tmp_path / "token")),
            "with --engine-token-file, got auto",
        ),
    ):
        run = follower(str(WEIGHTS), *arguments, script=FOLLOWER)
        assert run.returncode == 2
        assert words in run.stderr
        assert run.stderr.count("\n") == 1, run.stderr


def commands(sight: Sight, frames: list[Frame]) -> list[str]:
    """The commands to a drone after each frame, by recorded time."""
    session, told = Session.begin("drone", TrackerConfig(), 1.0), []
    for frame in frames:
        session.take(Received(frame.arrival_s, frame.number, None, frame.arrival_s))
        event = answer(frame, sight.look(frame), frame.arrival_s + 0.05)
        told.append(json.dumps([(each.event, each.payload) for each in session.take(event)]))
    return told


def test_real_frames_give_the_same_commands_as_with_the_local_engine(data_dir):
    local, there = load_engine("openvino", SHIPPED_WEIGHTS), load_engine("openvino", SHIPPED_WEIGHTS)
    elsewhere = InferenceServer(there, "model_weights", there.weights_sha256)
    remote = connect(InferenceHost(elsewhere.url, PATIENCE_S), SHIPPED_WEIGHTS)
    frames = []
    for name, count in (("following_images", 40), ("patrol_with_targ", 20), ("patrol_non_targ", 20)):
        files = image_files(data_dir / "sample_evaluation_data" / name)[:count]
        for recorded in read_frames(files, mask_files(files)):
            at_s = 1000 + 0.2 * len(frames)
            content = sensor_frame_fields(
                recorded.image, recorded.depth_m, recorded.gimbal_pose, timestamp_s=1e9 + at_s
            )
            frames.append(Frame.read(len(frames) + 1, at_s, content))
    expected, got = commands(Sight(local, Camera()), frames), commands(Sight(remote, Camera()), frames)
    remote.close()
    elsewhere.stop()
    assert got == expected
    assert sum("object_detected" in each for each in expected) >= 35
