"""Reading recordings: whole ones of the real server, and such as a kill, a bad disk or another program leave."""

import io
import json
from itertools import pairwise

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.writer import Writer
from PIL import Image
from support.recorded_session import FCN4, record_everything, rewritten

from model.loading import weights_sha256
from server.flight.tracks import TrackState
from server.settings import TrackerConfig
from server.sight.geometry import Camera
from server.watch.recording.reader import Answer, Arrival, Mask, Recording, UnreadableRecordingError
from server.wire.messages import Command


@pytest.fixture(scope="module")
def session(tmp_path_factory, data_dir):
    return record_everything(tmp_path_factory.mktemp("recorded"), data_dir)


@pytest.fixture(scope="module")
def file(session):
    return session[0]


def read(file):
    with Recording(file) as recording:
        entries = list(recording.entries("reading"))
    return recording, entries


# --- whole ones


def test_the_start_tells_all_that_the_session_was_made_of(file):
    with Recording(file) as recording:
        start = recording.start
    assert (start.camera, start.tracker, start.watchdog_s) == (Camera(), TrackerConfig(), 1.0)
    assert (start.weights, start.weights_sha256) == (str(FCN4), weights_sha256(FCN4))
    assert start.min_blob_px == json.loads(FCN4.with_suffix(".json").read_text()).get("min_blob_px", 8)
    assert start.engine.startswith("OpenVINO ")
    assert start.snapshot is None


def test_entries_come_in_the_order_in_which_they_happened(file):
    recording, entries = read(file)
    assert recording.end_reason == "the server was shut down"
    known = set()
    latest_s = recording.start.monotonic_s
    for entry in entries:
        if isinstance(entry, Arrival):
            known.add(entry.arrival_s)
        elif isinstance(entry, Answer):
            assert entry.now_s >= latest_s
            latest_s = entry.now_s
            assert entry.arrival_s is None or entry.arrival_s in known


def test_each_frame_that_was_seen_is_followed_by_its_mask(file):
    _, entries = read(file)
    masks = 0
    for before, entry in pairwise(entries):
        assert isinstance(entry, Mask) == (isinstance(before, Answer) and before.kind == "seen")
        if isinstance(entry, Mask):
            masks += 1
            classes = np.asarray(Image.open(io.BytesIO(entry.png)))
            assert classes.shape == (160, 160, 3)
            assert (classes.sum(axis=-1, dtype=int) == 255).all()
            # The server believes at least eight of the hero's pixels.
            assert not before.sighted or (classes[..., 2] == 255).sum() >= 8
    assert masks > 60


def test_numbers_come_back_to_the_last_bit(session):
    file, sent, told = session
    _, entries = read(file)
    arrivals = [entry for entry in entries if isinstance(entry, Arrival)]
    assert arrivals[0].parse().timestamp_s == float(sent[0]["timestamp"])
    first = next(event for event in told if event.name == "object_detected")
    answer = next(entry for entry in entries if isinstance(entry, Answer) and entry.state is TrackState.FOLLOWING)
    assert answer.commands[0] == Command("object_detected", first.argument)
    assert answer.sighted[0].is_convincing


# --- what is left of others


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.999])
def test_a_file_that_was_cut_anywhere_is_read_as_far_as_it_goes(file, tmp_path, share):
    data = file.read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(data[: int(share * len(data))])
    recording, entries = read(cut)
    _, whole = read(file)
    assert entries == whole[: len(entries)]
    if share < 0.9:  # the index, which is not needed, takes the rest
        assert recording.end_reason is None
        assert (share - 0.2) * len(whole) < len(entries) < len(whole)


def test_every_length_of_a_cut_file_is_read_or_refused_in_words(file, tmp_path):
    """The last chunk before the index, and the file's beginning: bytes that a kill may leave of a record."""
    data = file.read_bytes()
    cut = tmp_path / "cut.mcap"
    for length in [*range(0, 600, 7), *range(len(data) // 2, len(data) // 2 + 40_000, 997)]:
        cut.write_bytes(data[:length])
        try:
            read(cut)
        except UnreadableRecordingError as error:
            assert str(cut) in str(error)
            assert length < 20_000


def test_damage_within_is_told_with_its_place(file, tmp_path):
    data = bytearray(file.read_bytes())
    with file.open("rb") as source:
        chunks = make_reader(source).get_summary().chunk_indexes
    middle = chunks[len(chunks) // 2].chunk_start_offset + chunks[len(chunks) // 2].chunk_length // 2
    data[middle : middle + 16] = bytes(16)
    damaged = tmp_path / "damaged.mcap"
    damaged.write_bytes(data)
    with pytest.raises(
        UnreadableRecordingError, match=r"expected a whole MCAP file, got damage before byte \d+"
    ) as told:
        read(damaged)
    place = int(str(told.value).split("before byte ")[1].split(":")[0])
    assert middle <= place <= len(data)


@pytest.mark.parametrize("content", [b"", b"no recording", bytes(1000), b"\x89MCAP0\r\n"])
def test_what_is_no_mcap_is_refused(tmp_path, content):
    file = tmp_path / "none.mcap"
    file.write_bytes(content)
    with pytest.raises(UnreadableRecordingError, match=r"none\.mcap: expected a"):
        read(file)


def test_the_mcap_of_another_program_is_refused(tmp_path):
    file = tmp_path / "other.mcap"
    with file.open("wb") as target:
        writer = Writer(target)
        writer.start()
        channel = writer.register_channel("/camera", "json", 0)
        writer.add_message(channel, 0, b"{}", 0)
        writer.finish()
    with pytest.raises(UnreadableRecordingError, match="expected a recording of this server"):
        read(file)


@pytest.mark.parametrize(
    ("spoiled", "complaint"),
    [
        ({"format": 2}, "expected a start of format 1"),
        ({"camera": {"image_px": 0}}, "image_px"),
        ({"tracker": {"hits": 3}}, "hits"),
        ({"watchdog_s": "1"}, "expected a finite number"),
        ({"watchdog_s": float("nan")}, "expected a finite number"),
        ({"weights": 5}, "expected text"),
    ],
)
def test_a_start_that_makes_no_sense_is_refused(file, spoiled, complaint):
    copy = rewritten(file, lambda number, event: event | ({} if number else spoiled))
    with pytest.raises(UnreadableRecordingError, match=complaint):
        Recording(copy)


@pytest.mark.parametrize(
    ("spoiled", "complaint"),
    [
        ({"kind": "seen", "now_s": 1.0, "targets": 5}, "'int' object is not iterable"),
        ({"kind": "land"}, "expected an event of a known kind, got 'land'"),
        ({"kind": "frame", "argument": None}, "expected text, got None"),
        ({"kind": "tick", "now_s": 1.0, "state": "flying", "commands": []}, "flying"),
        ({"kind": "tick", "now_s": 1.0, "commands": []}, "no 'state'"),
    ],
)
def test_an_event_that_makes_no_sense_is_refused(file, spoiled, complaint):
    copy = rewritten(
        file, lambda number, event: event if number != 3 else {"arrival_s": 0.0, "is_superseding": False} | spoiled
    )
    with pytest.raises(UnreadableRecordingError, match=complaint):
        read(copy)


def test_a_mask_that_is_no_foxglove_image_is_refused(file, tmp_path):
    copy = tmp_path / "copy.mcap"
    start = None

    def keep(number, event):
        nonlocal start
        start = start or event
        return event

    rewritten(file, keep)
    with copy.open("wb") as target:
        writer = Writer(target)
        writer.start()
        events, masks = (writer.register_channel(topic, "json", 0) for topic in ("/events", "/mask"))
        writer.add_message(events, 0, json.dumps(start).encode(), 0)
        writer.add_message(masks, 0, b"\x0a\x04\x08\x05\x10\x07", 0)
        writer.finish()
    with pytest.raises(UnreadableRecordingError, match="expected a mask in protobuf, got json"):
        read(copy)
