"""The messages of a recording, decoded by the schemas that the file itself carries, as a player does."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mcap.reader import make_reader
from PIL import Image

from model.card import Card
from server.flight.events import NotUnderstood, Received, Seen
from server.flight.session import Situation, Somebody
from server.flight.tracks import TrackState
from server.sight.geometry import Camera, world_from_camera
from server.sight.images import Size
from server.sight.people import Box, Sighting
from server.sight.sight import View
from server.watch.recording.items import Answered, Clock, Pending, Told
from server.watch.recording.mcap_file import McapFile
from server.watch.recording.topics import Topics, as_text
from server.wire.messages import Command, Frame, Pose, SensorFrame, object_lost

POSE, GIMBAL = Pose(1.0, 2.0, 3.0, 10.0, -20.0, 130.0), Pose(1.5, 2.0, 2.5, 5.0, 40.0, -60.0)
CARD, SIZE = Card(), Size(256, 256)
CLOCK = Clock(1_700_000_000_000_000_000, 100.0)
SIGHTING = Sighting((128.0, 128.0), (128.0, 150.0), Box(1.0, 2.0, 3.0, 4.0), 200, 0.1 + 0.2, -0.7)
MARKER_M = (0.7, 0.7, 2.0)
NOBODY = Situation(TrackState.PATROL, False, False, None, None, None, (), None, None, False, MARKER_M)
# Three people; the second is followed.
PEOPLE = (
    Somebody(1, 0.01, (1.0, 2.0, 0.5), is_in_view=True, is_refused=False),
    Somebody(2, 0.96789012, (4.0, 5.0, 1.0), is_in_view=True, is_refused=False),
    Somebody(7, 0.0, (-3.14159, 8.0, 1.0), is_in_view=False, is_refused=True),
)


def told(probabilities: np.ndarray, image: bytes = b"\xff\xd8jpeg", card: Card = CARD, size: Size = SIZE) -> Told:
    """A frame that was seen, as the thread gets it."""
    event = Seen(101.25, 7, 101.0, 1e9, (SIGHTING,))
    command = Command("object_detected", {"coords": [1.0, 2.0, 3.0]})
    content = SensorFrame(1e9, image, b"png", POSE, GIMBAL)
    view = View((SIGHTING,), Camera().of_shape(*size), size, probabilities, card)
    return Told(event, TrackState.FOLLOWING, [command], content=content, view=view)


def messages(path: Path, item) -> dict[str, list]:
    """The messages of an item, by topic: JSON, or (a decoded protobuf message, its log time)."""
    file = McapFile(path / "one.mcap")
    Topics(file.context, CLOCK, "drone").log(item)
    file.close()
    found: dict[str, list] = {}
    with file.path.open("rb") as opened:
        for schema, channel, message in make_reader(opened).iter_messages():
            if schema.encoding == "jsonschema":
                assert json.loads(schema.data)["type"] == "object"
                found.setdefault(channel.topic, []).append(json.loads(message.data, parse_constant=pytest.fail))
                continue
            pool = descriptor_pool.DescriptorPool()
            for description in descriptor_pb2.FileDescriptorSet.FromString(schema.data).file:
                pool.Add(description)
            kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(schema.name))
            found.setdefault(channel.topic, []).append(kind.FromString(message.data))
    return found


def matrix(turn) -> np.ndarray:
    """(3, 3): the rotation of a quaternion."""
    x, y, z, w = turn.x, turn.y, turn.z, turn.w
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


ARGUMENT = {"pose": 'a "b" \ud800', "odd": [float("nan"), float("inf")], "rgb_image": "x" * 1000}


def test_a_frame_is_recorded_with_its_argument_as_it_came(tmp_path: Path):
    (event,) = messages(tmp_path, Told(Received(101.5, 7, 6, 101.4), TrackState.LOST, [], ARGUMENT))["/events"]
    assert repr(json.loads(event.pop("argument"))) == repr(ARGUMENT)
    about = {"kind": "received", "at_s": 101.5, "frame": 7, "superseded": 6, "earliest_arrival_s": 101.4}
    assert event == {**about, "state": "lost", "commands": []}


def test_a_frame_in_work_is_recorded_with_its_argument_as_it_came(tmp_path: Path):
    frame = Frame.read(7, 99.0, ARGUMENT)._replace(expected_m=(1.0, 2.0, 0.5))
    (event,) = messages(tmp_path, Pending(frame))["/events"]
    assert repr(json.loads(event.pop("argument"))) == repr(ARGUMENT)
    assert event == {"kind": "in_work", "frame": 7, "arrival_s": 99.0, "expected_m": [1.0, 2.0, 0.5]}


def test_an_argument_that_cannot_be_written_keeps_the_texts_that_are_parsed():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert json.loads(as_text({"pose": "1,2", "deep": deep})) == {"pose": "1,2"}
    assert json.loads(as_text(deep)) == {}


def test_what_was_seen_becomes_image_mask_calibration_poses_and_command(tmp_path: Path):
    probabilities = np.zeros((8, 8, 3), np.float32)
    probabilities[..., 0] = 0.6
    probabilities[2:4, :, 1] = 0.7  # people
    probabilities[4:6, :, 2] = 1.0  # the hero, surer than his card's threshold though the others sum to less
    found = messages(tmp_path, told(probabilities))

    (event,) = found["/events"]
    assert (event["kind"], event["at_s"], event["frame"], event["arrival_s"]) == ("seen", 101.25, 7, 101.0)
    assert event["sightings"][0][4] == 0.1 + 0.2, "the evidence, to the last bit"
    assert event["commands"] == [["object_detected", {"coords": [1.0, 2.0, 3.0]}]]
    assert found["/commands"] == [{"event": "object_detected", "payload": {"coords": [1.0, 2.0, 3.0]}}]

    (camera,) = found["/camera"]
    assert (camera.data, camera.format, camera.frame_id) == (b"\xff\xd8jpeg", "jpeg", "camera_optical")
    assert camera.timestamp.ToNanoseconds() == CLOCK.wall_ns + 1_000_000_000

    (mask,) = found["/mask"]
    pixels = np.asarray(Image.open(io.BytesIO(mask.data)))
    assert pixels.shape == (8, 8, 3)
    assert pixels[:, 0].tolist() == [[255, 0, 0]] * 2 + [[0, 255, 0]] * 2 + [[0, 0, 255]] * 2 + [[255, 0, 0]] * 2

    (calibration,) = found["/camera/calibration"]
    focal_px = 128 / math.tan(math.radians(30))
    assert list(calibration.K) == pytest.approx([focal_px, 0, 128, 0, focal_px, 128, 0, 0, 1])

    by_child = {transform.child_frame_id: transform for transform in found["/tf"][0].transforms}
    for child, pose in (("quad", POSE), ("camera", GIMBAL)):
        at = by_child[child].translation
        assert by_child[child].parent_frame_id == "world"
        assert (at.x, at.y, at.z) == pose[:3]
        np.testing.assert_allclose(matrix(by_child[child].rotation), world_from_camera(pose)[:3, :3], atol=1e-12)
    assert by_child["camera_optical"].parent_frame_id == "camera"
    # Of the camera: forward, left, up. Right, down and forward in it:
    expected = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]]).T
    np.testing.assert_allclose(matrix(by_child["camera_optical"].rotation), expected, atol=1e-12)


def test_the_calibration_is_of_the_image_as_received(tmp_path: Path):
    """f = 240/2 / tan(60°/2) = 207.85 px for an image of 240 px height, whose middle is at (160, 120)."""
    probabilities = np.zeros((8, 8, 3), np.float32)
    (calibration,) = messages(tmp_path, told(probabilities, size=Size(320, 240)))["/camera/calibration"]
    assert (calibration.width, calibration.height) == (320, 240)
    assert list(calibration.K) == pytest.approx([207.846, 0, 160, 0, 207.846, 120, 0, 0, 1])
    assert list(calibration.P) == pytest.approx([207.846, 0, 160, 0, 0, 207.846, 120, 0, 0, 0, 1, 0])


def test_the_mask_of_a_network_that_knows_no_others_shows_the_hero(tmp_path: Path):
    probabilities = np.zeros((8, 8, 2), np.float32)
    probabilities[:4, :, 0] = probabilities[4:, :, 1] = 1.0
    (mask,) = messages(tmp_path, told(probabilities, card=Card(("surroundings", "hero"))))["/mask"]
    pixels = np.asarray(Image.open(io.BytesIO(mask.data)))
    assert pixels[:, 0].tolist() == [[255, 0, 0]] * 4 + [[0, 0, 255]] * 4


def test_the_mask_is_black_where_nothing_was_looked_at(tmp_path: Path):
    probabilities = np.zeros((8, 8, 3), np.float32)
    probabilities[4:, :, 0] = 1.0
    (mask,) = messages(tmp_path, told(probabilities))["/mask"]
    assert np.asarray(Image.open(io.BytesIO(mask.data)))[:, 0].tolist() == [[0, 0, 0]] * 4 + [[255, 0, 0]] * 4


def test_a_png_from_a_camera_is_called_one(tmp_path: Path):
    (camera,) = messages(tmp_path, told(np.zeros((8, 8, 3), np.float32), b"\x89PNG and more"))["/camera"]
    assert camera.format == "png"


def test_the_target_is_a_box_with_an_arrow_along_its_velocity(tmp_path: Path):
    velocity = (-0.6, 0.8, 0.5)
    situation = NOBODY._replace(state=TrackState.FOLLOWING, position_m=(4.0, 5.0, 1.0), velocity_mps=velocity)
    (update,) = messages(tmp_path, Answered(102.0, 0.013, situation, 12.5))["/target"]
    (entity,) = update.entities
    assert entity.id == "hero"
    assert entity.frame_id == "world"
    (cube,), (arrow,) = entity.cubes, entity.arrows
    assert (cube.pose.position.x, cube.pose.position.y, cube.pose.position.z) == (4.0, 5.0, 1.0)
    assert (cube.size.x, cube.size.y, cube.size.z) == (0.7, 0.7, 2.0)
    np.testing.assert_allclose(matrix(arrow.pose.orientation)[:, 0] * arrow.shaft_length, velocity)


def test_a_hero_who_stands_has_an_arrow_of_no_length(tmp_path: Path):
    situation = NOBODY._replace(position_m=(4.0, 5.0, 1.0), velocity_mps=(0.0, 0.0, 0.0))
    (update,) = messages(tmp_path, Answered(102.0, 0.013, situation, None))["/target"]
    assert update.entities[0].arrows[0].shaft_length == 0


def test_of_a_scene_without_anybody_all_is_deleted(tmp_path: Path):
    (update,) = messages(tmp_path, Answered(102.0, 0.013, NOBODY, None))["/target"]
    assert list(update.entities) == []
    assert [deletion.id for deletion in update.deletions] == ["hero", "others"]


def test_everybody_but_the_one_who_is_followed_is_marked_with_their_number(tmp_path: Path):
    situation = NOBODY._replace(position_m=(4.0, 5.0, 1.0), velocity_mps=(0.0, 0.0, 0.0), people=PEOPLE, followed=2)
    (update,) = messages(tmp_path, Answered(102.0, 0.013, situation, None))["/target"]
    hero, others = update.entities
    assert (hero.id, len(hero.cubes), others.id, others.frame_id) == ("hero", 1, "others", "world")
    places = [(cube.pose.position.x, cube.pose.position.y, cube.pose.position.z) for cube in others.cubes]
    assert places == [(1.0, 2.0, 0.5), (-3.14159, 8.0, 1.0)]
    assert [text.text for text in others.texts] == ["1", "7"]
    assert others.cubes[0].color.a > others.cubes[1].color.a, "fainter out of view"
    assert list(update.deletions) == []


def test_the_situation_is_told_with_everybody(tmp_path: Path):
    situation = Situation(
        TrackState.FOLLOWING, False, True, (4.0, 5.0, 1.0), (-0.6, 0.8, 0.5), 0.2, PEOPLE, 2, 2, False, MARKER_M
    )
    assert messages(tmp_path, Answered(102.0, 0.013, situation, 12.5))["/state"] == [
        {
            "state": "following",
            "is_held": False,
            "is_told_to_follow": True,
            "position_m": [4.0, 5.0, 1.0],
            "velocity_mps": [-0.6, 0.8, 0.5],
            "age_s": 0.2,
            "distance_m": 12.5,
            "latency_s": 0.013,
            "followed": 2,
            "chosen": 2,
            "is_undecided": False,
            "marker_m": list(MARKER_M),
            "people": [
                {
                    "number": 1,
                    "probability": 0.01,
                    "position_m": [1.0, 2.0, 0.5],
                    "is_in_view": True,
                    "is_refused": False,
                },
                {
                    "number": 2,
                    "probability": 0.9679,
                    "position_m": [4.0, 5.0, 1.0],
                    "is_in_view": True,
                    "is_refused": False,
                },
                {
                    "number": 7,
                    "probability": 0.0,
                    "position_m": [-3.14, 8.0, 1.0],
                    "is_in_view": False,
                    "is_refused": True,
                },
            ],
        }
    ]


def test_several_who_may_be_the_hero_are_told(tmp_path: Path):
    situation = NOBODY._replace(state=TrackState.CONFIRMING, people=PEOPLE, is_undecided=True)
    (state,) = messages(tmp_path, Answered(102.0, 0.013, situation, None))["/state"]
    assert (state["state"], state["is_undecided"], state["followed"], state["chosen"]) == (
        "confirming",
        True,
        None,
        None,
    )


def test_a_frame_that_was_not_understood_is_logged_in_words(tmp_path: Path):
    event = NotUnderstood(101.1, 7, 101.0, "pose", "six numbers", "'\ud800'")
    found = messages(tmp_path, Told(event, TrackState.LOST, [object_lost()]))
    assert found["/events"] == [
        {
            "kind": "not_understood",
            "at_s": 101.1,
            "frame": 7,
            "arrival_s": 101.0,
            "field": "pose",
            "expected": "six numbers",
            "received": "'\ud800'",
            "state": "lost",
            "commands": [["object_lost", {"data": ""}]],
        }
    ]
    (line,) = found["/log"]
    assert line.message == "pose: expected six numbers, got '?'"
    assert (line.name, line.level) == ("drone", 3)
