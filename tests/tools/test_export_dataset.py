"""Which frames are exported from recordings to train on, and that the training's own reader accepts them."""

import base64
import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.fake_engine import DOG
from support.recorded_session import FORMAT_1, FORMAT_2, FORMAT_7, happened, rewritten
from support.seen import sighting, stranger

from model.dataset import list_pairs, read_pair
from model.scoring import CLASSES, HERO
from server.flight.events import Received, Retarget, Seen, Tick
from server.flight.session import SessionState
from server.flight.tracks import Tracker, TrackState
from server.settings import TrackerConfig
from server.sight.geometry import Camera
from server.watch.recording import restore
from server.watch.recording.format import Happened, Start
from server.wire.messages import parse_sensor_frame
from tools import export_dataset
from tools.export_dataset import dataset_image, dataset_mask
from tools.exporting.choosing import Chooser
from tools.simulator.frames import encode_jpeg

SURE, UNSURE, STRANGER = sighting(), sighting(evidence=1.0), stranger()


@pytest.fixture(scope="module")
def file(recorded_session, tmp_path_factory):
    """A recording in which the hero is followed, gone for 3.4 s, and back.

    Frames came as fast as the machine answered them; here they come as their timestamps say, ten a second.
    """
    at_s = 0.0

    def spread(number, event):
        nonlocal at_s
        if number == 0:
            at_s = event["monotonic_s"]
        elif event["kind"] == "received":
            at_s += 0.1
        times = {name: at_s for name in ("at_s", "arrival_s") if name in event}
        return event | times

    return rewritten(recorded_session[0], tmp_path_factory.mktemp("spread"), spread)


def exported(out, *files):
    return export_dataset.main([*map(str, files), "--out", str(out)])


def test_of_frames_without_a_mask_only_the_latest_are_kept(monkeypatch):
    numbers = [each.event.frame for each in happened(FORMAT_2) if isinstance(each.event, Seen)]
    assert len(list(export_dataset.chosen_frames(FORMAT_2, numbers, "reading"))) == len(numbers)
    monkeypatch.setattr(restore, "MOST_WAITING", 0)
    assert list(export_dataset.chosen_frames(FORMAT_2, numbers, "reading")) == []


def names(out):
    return sorted(file.name for folder in ("images", "masks") for file in (out / folder).iterdir())


# --- which


def a_chooser(target="hero", state=None):
    """A chooser for a recording that begins with the hero."""
    start = Start("drone", Camera(), TrackerConfig(), {}, 1.0, 8, None, None, {}, "none", 1.7e9, 99.0, state)
    return Chooser(start, target)


def choice(happened, **options):
    chooser = a_chooser(**options)
    for each in happened:
        chooser.take(each)
    return chooser.choice()


def choose(happened):
    """The reasons by the frames' numbers."""
    return choice(happened).reasons


def test_what_was_seen_in_a_frame_is_not_kept():
    chooser, (frame,) = a_chooser(), seen((1, PATROL, [UNSURE]))
    before = sys.getrefcount(frame.event)
    chooser.take(frame)
    after = sys.getrefcount(frame.event)
    assert after == before
    assert chooser.choice().reasons == {0: "unsure"}


def test_frames_are_taken_in_which_the_target_was_looked_for():
    """Frames 0 to 5 are of the hero. Frame 6 came before the change, and was answered after it."""
    frames, dog = seen((20, PATROL, [UNSURE])), Retarget(101.201, TrackerConfig(profile=DOG))
    happened = [*frames[:6], Happened(dog, PATROL, []), *frames[6:]]
    assert choice(happened) == ({0: "unsure", 5: "unsure"}, 6, 14)
    assert choice(happened, target="dog") == ({7: "unsure", 12: "unsure", 17: "unsure"}, 13, 7)


def test_settings_of_the_same_target_leave_no_frame_out():
    changed = Happened(Retarget(100.1, TrackerConfig(remember_s=5.0)), PATROL, [])
    assert choice([changed, *seen((3, PATROL, []))]) == ({}, 3, 0)


def test_a_frame_from_before_the_change_of_the_target_is_left_out_in_the_middle_of_a_session_too():
    frames = seen((2, PATROL, [UNSURE]))
    assert choice(frames, state=SessionState(bad_at_s=100.0)) == ({1: "unsure"}, 1, 1)
    assert choice(frames, state=SessionState()) == ({0: "unsure"}, 2, 0)


def test_a_track_that_is_lost_with_the_first_frame_of_a_recording_is_lost():
    """The recording begins while the hero is followed, with the answer to a frame in work."""
    following = SessionState(Tracker(state=TrackState.COASTING))
    assert choice(seen((1, LOST, [])), state=following).reasons == {0: "lost"}
    assert choice(seen((1, LOST, [])), state=SessionState()).reasons == {}


def test_no_frame_is_chosen_of_which_only_a_part_was_looked_at():
    frames = seen((3, TrackState.FOLLOWING, [UNSURE]))
    parts = [each._replace(event=replace(each.event, is_part=True)) for each in frames]
    assert choose(frames)
    assert choose(parts) == {}


def seen(*spans):
    """Frames seen, 5 a second, counted from 0; each span is (frames, state, sightings)."""
    frames = [(state, sightings) for count, state, sightings in spans for _ in range(count)]
    return [
        Happened(Seen(100.01 + number / 5, number, 100 + number / 5, None, tuple(sightings)), state, [])
        for number, (state, sightings) in enumerate(frames)
    ]


def chosen(*spans):
    """The frames' numbers and reasons."""
    return choose(seen(*spans))


PATROL, CONFIRMING, FOLLOWING, COASTING, LOST = TrackState


def test_of_frames_without_a_doubt_none_is_chosen():
    spans = (20, PATROL, []), (20, PATROL, [STRANGER] * 3), (3, CONFIRMING, [SURE]), (40, FOLLOWING, [STRANGER, SURE])
    assert chosen(*spans) == {}


@pytest.mark.parametrize(
    ("nats", "reason"),
    [
        ([2.0], None),
        ([1.99], "unsure"),
        ([0.0], "unsure"),
        ([-1.99], "unsure"),
        ([-2.0], None),
        ([-5.0, -1.0], "unsure"),  # by the likeliest
        ([-1.0, 3.0], None),
        ([0.1, 0.1], "several"),
        ([3.0, 5.0, -5.0], "several"),
        ([3.0, 0.0], None),  # 0 speaks for nobody
    ],
)
def test_a_frame_is_chosen_by_who_in_it_may_be_the_hero(nats, reason):
    found = chosen((1, PATROL, [sighting(evidence=each) for each in nats]))
    assert found == ({} if reason is None else {0: reason})


def test_of_doubtful_frames_one_a_second_is_chosen():
    assert chosen((12, PATROL, [UNSURE])) == {0: "unsure", 5: "unsure", 10: "unsure"}


def test_each_reason_has_its_own_second():
    spans = (2, PATROL, [UNSURE]), (2, PATROL, [SURE, UNSURE]), (3, PATROL, [UNSURE])
    assert chosen(*spans) == {0: "unsure", 2: "several", 5: "unsure"}


def test_a_followed_hero_who_is_not_found_is_missed():
    assert chosen((10, FOLLOWING, [SURE]), (2, COASTING, []), (10, FOLLOWING, [SURE])) == {10: "missed"}


def test_a_loss_is_chosen_from_before_the_last_sighting_to_a_second_after():
    """Last seen in frame 29, lost in frame 37: from 2.5 s before that, frame 25, to 1 s after it, frame 42."""
    spans = (30, FOLLOWING, [SURE]), (7, COASTING, []), (30, LOST, [])
    assert chosen(*spans) == {25: "lost", 30: "lost", 35: "lost", 40: "lost"}


def test_a_drone_that_was_stopped_for_want_of_frames_has_lost_nothing():
    assert choose([*seen((10, FOLLOWING, [SURE])), Happened(Tick(103.0), LOST, [])]) == {}


# --- as what


def test_the_pairs_are_a_data_set(file, tmp_path, capsys):
    assert exported(tmp_path, file) == 0
    pairs = list_pairs(tmp_path)
    events = {each.event.frame: each.event for each in happened(file) if isinstance(each.event, Seen)}
    arguments = {each.event.frame: each.argument for each in happened(file) if isinstance(each.event, Received)}
    reasons = choose(happened(file))
    assert "lost" in reasons.values()
    assert len(pairs) == len(reasons) > 1
    shown = 0
    for image, mask in pairs:
        number = int(image.stem[-5:])
        assert image.stem == mask.stem == f"{file.stem}_{number:05d}"
        assert number in reasons
        assert image.read_bytes() == parse_sensor_frame(json.loads(arguments[number])).rgb_image
        pixels, classes = read_pair(image, mask, 256)
        assert pixels.shape == (256, 256, 3)
        assert set(np.unique(classes)) <= set(range(len(CLASSES)))
        is_shown = any(sighting.evidence > 2 for sighting in events[number].sightings)
        assert not is_shown or (classes == HERO).sum() > 20
        shown += is_shown
    assert 0 < shown < len(pairs), "some from before the loss, some from after"
    output = capsys.readouterr().out
    assert f"{len(pairs)} of 72 frames chosen" in output
    assert f"{list(reasons.values()).count('lost')} lost" in output
    assert "correct them" in output


@pytest.mark.parametrize("path", [FORMAT_1, FORMAT_2])
def test_recordings_of_an_older_version_are_taken_too(path, tmp_path, capsys):
    assert exported(tmp_path, path) == 0
    assert len(list_pairs(tmp_path)) >= 3
    assert " lost" in capsys.readouterr().out


def test_a_second_run_writes_nothing_and_leaves_corrected_masks(file, tmp_path, capsys):
    exported(tmp_path, file)
    mask = next((tmp_path / "masks").iterdir())
    mask.write_bytes(b"corrected")
    before = names(tmp_path)
    capsys.readouterr()
    assert exported(tmp_path, file) == 0
    assert "; 0 pairs written" in capsys.readouterr().out
    assert mask.read_bytes() == b"corrected"
    assert names(tmp_path) == before


def test_what_a_kill_left_half_done_is_done(file, tmp_path, capsys):
    exported(tmp_path, file)
    before = names(tmp_path)
    masks = sorted((tmp_path / "masks").iterdir())
    masks[0].rename(masks[0].with_name(f".part-{masks[0].name}"))
    masks[1].unlink()
    capsys.readouterr()
    assert exported(tmp_path, file) == 0
    assert "; 2 pairs written" in capsys.readouterr().out
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "numbers", "left_out"), [([], range(1, 35), 12), (["--target", "dog"], range(35, 47), 33)]
)
def test_a_set_is_of_one_target(tmp_path, capsys, options, numbers, left_out):
    """The dog is looked for from frame 35 on."""

    def doubtful(number, event):
        for each in event.get("sightings", []):
            each[4] = 1.0
        return event

    copy = rewritten(FORMAT_7, tmp_path, doubtful)
    assert exported(tmp_path / "out", copy, *options) == 0
    assert f"pairs written; {left_out} frames of another target left out" in capsys.readouterr().out
    taken = {int(image.stem[-5:]) for image, _ in list_pairs(tmp_path / "out")}
    assert taken
    assert taken <= set(numbers)


@pytest.mark.parametrize(("first", "second"), [("hero", "dog"), ("dog", "hero")])
def test_frames_of_another_target_are_not_added_to_a_set(tmp_path, capsys, first, second):
    assert exported(tmp_path / "out", FORMAT_7, "--target", first) == 0
    before = names(tmp_path / "out")
    assert exported(tmp_path / "out", FORMAT_7, "--target", second) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"export_dataset: expected --target {first}, which the masks in {tmp_path / 'out'} show, got {second}: "
        "choose another --out"
    )
    assert names(tmp_path / "out") == before
    assert exported(tmp_path / "out", FORMAT_7, "--target", first) == 0


def test_recordings_without_reasons_give_none(file, tmp_path, capsys):
    def change(number, event):
        return event | ({"state": "patrol", "sightings": []} if number and event["kind"] != "end" else {})

    sure = rewritten(file, tmp_path, change)
    assert exported(tmp_path / "out", sure) == 0
    assert ": 0 of 72 frames chosen; 0 pairs written" in capsys.readouterr().out
    assert names(tmp_path / "out") == []


def test_images_of_other_sizes_come_out_as_the_dataset_has_them():
    wide = io.BytesIO()
    Image.fromarray(np.full((100, 200, 3), 90, np.uint8)).save(wide, "PNG")
    with Image.open(io.BytesIO(dataset_image(wide.getvalue()))) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (256, 256), "RGB")
        np.testing.assert_allclose(np.asarray(image), 90, atol=2)


def test_masks_keep_one_class_a_pixel_when_they_are_enlarged():
    classes = np.random.default_rng(0).integers(0, 3, (160, 160))
    file = io.BytesIO()
    Image.fromarray(np.eye(3, dtype=np.uint8)[classes] * np.uint8(255)).save(file, "PNG")
    enlarged = np.asarray(Image.open(io.BytesIO(dataset_mask(file.getvalue()))))
    assert enlarged.shape == (256, 256, 3)
    assert (np.sort(enlarged, axis=-1) == [0, 0, 255]).all()
    # Pixel (0, 0) of 160 covers pixels 0 to 1.6 of 256.
    np.testing.assert_array_equal(enlarged[0, 0].argmax(), classes[0, 0])


# --- how it fails


def test_a_target_that_nobody_looked_for_is_refused_before_anything_is_written(tmp_path, capsys):
    assert exported(tmp_path / "out", FORMAT_7, "--target", "cat") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "export_dataset: expected --target of the recordings (dog, hero), got cat"
    )
    assert [file for file in (tmp_path / "out").rglob("*") if file.is_file()] == []


def test_a_file_that_is_no_recording_is_told(tmp_path, capsys):
    file = tmp_path / "none.mcap"
    file.write_bytes(b"none")
    assert exported(tmp_path, file) == 2
    assert capsys.readouterr().err.startswith(f"export_dataset: {file}: expected a")


@pytest.mark.parametrize(("argument", "complaint"), [('{"pose": 1}', "rgb_image: expected"), ("{", "Expecting")])
def test_a_frame_that_cannot_be_understood_is_told_with_its_file_and_number(
    file, tmp_path, capsys, argument, complaint
):
    spoiled = rewritten(
        file,
        tmp_path,
        lambda number, event: event | ({"argument": argument} if event["kind"] == "received" else {}),
    )
    assert exported(tmp_path / "out", spoiled) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"export_dataset: {spoiled}: frame ")
    assert complaint in error


@pytest.mark.parametrize("png", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_mask_is_refused(png):
    with pytest.raises(ValueError, match="expected a mask, a PNG of at most"):
        dataset_mask(png)


def test_a_mask_of_too_many_pixels_is_refused():
    large = io.BytesIO()
    Image.new("RGB", (2000, 1000)).save(large, "PNG")
    with pytest.raises(ValueError, match="got 2000×1000 pixels"):
        dataset_mask(large.getvalue())


def test_two_recordings_of_one_name_are_refused_before_anything_is_written(file, tmp_path, capsys):
    assert exported(tmp_path / "out", file, tmp_path / file.name) == 2
    assert f"got 2 of {file.stem}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_recording_of_the_same_name_is_refused_before_anything_is_written(tmp_path, capsys):
    plain = base64.b64encode(encode_jpeg(np.full((256, 256, 3), 90, np.uint8))).decode()

    def with_other_images(number, event):
        if event["kind"] == "received":
            event["argument"] = json.dumps(json.loads(event["argument"]) | {"rgb_image": plain})
        return event

    assert exported(tmp_path / "out", FORMAT_2) == 0
    first, *others = sorted((tmp_path / "out" / "images").iterdir())
    for image in others:
        image.unlink()
    other = rewritten(FORMAT_2, tmp_path, with_other_images)
    before = names(tmp_path / "out")
    assert exported(tmp_path / "out", FORMAT_1, other) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    number = int(first.stem[-5:])
    assert error.startswith(f"export_dataset: expected frame {number} of {other} in {first}, got another image")
    assert names(tmp_path / "out") == before


def test_a_folder_that_cannot_be_made_is_told(file, tmp_path, capsys):
    (tmp_path / "out").write_bytes(b"")
    assert exported(tmp_path / "out", file) == 2
    assert str(tmp_path / "out") in capsys.readouterr().err
