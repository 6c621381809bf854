"""Reading recordings: whole ones of the real server, and those that a kill, a bad disk or another program leave."""

import io
import tracemalloc
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
import zstandard
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from PIL import Image
from support.recorded_session import SHIPPED, happened, read, rewritten

from model.card import read_card
from model.loading import weights_sha256
from server.flight.events import Received, Seen
from server.flight.tracks import TrackState
from server.settings import TrackerConfig
from server.sight.geometry import Camera
from server.watch.recording import reader, records
from server.watch.recording.format import FORMAT, Happened
from server.watch.recording.reader import Mask, Recording
from server.watch.recording.records import UnreadableRecordingError
from server.wire.messages import Command


@pytest.fixture(scope="module")
def file(recorded_session):
    return recorded_session[0]


# --- whole ones


def test_the_start_tells_all_that_the_session_was_made_of(file):
    with Recording(file) as recording:
        start = recording.start
    assert (start.camera, start.tracker, start.watchdog_s) == (Camera(), TrackerConfig(), 3.0)
    assert (start.weights, start.weights_sha256) == (str(SHIPPED), weights_sha256(SHIPPED))
    assert (start.parts_sha256 or {}).keys() >= {"card", "second look"}
    assert start.min_blob_px == read_card(SHIPPED.with_suffix(".keras")).min_blob_px
    assert start.engine.startswith("OpenVINO ")
    assert start.state is None


def test_events_come_in_the_order_in_which_they_happened(file):
    recording, entries = read(file)
    assert recording.end_reason == "the server was shut down"
    events = [entry.event for entry in entries if isinstance(entry, Happened)]
    assert isinstance(events[0], Received)
    assert all(before.at_s <= after.at_s for before, after in pairwise(events))
    assert recording.start.monotonic_s >= events[0].at_s, "the recording begins with its first frame"
    received = [event.frame for event in events if isinstance(event, Received)]
    assert received == list(range(1, len(received) + 1))


def test_each_frame_that_was_seen_is_followed_by_its_mask(file):
    _, entries = read(file)
    for before, entry in pairwise(entries):
        seen = before.event if isinstance(before, Happened) and isinstance(before.event, Seen) else None
        assert isinstance(entry, Mask) == (seen is not None)
        if isinstance(entry, Mask):
            classes = np.asarray(Image.open(io.BytesIO(entry.png)))
            assert classes.shape == (256, 256, 3)
            of_one_class, black = ((classes.sum(axis=-1, dtype=int) == value).sum() for value in (255, 0))
            looked_at = 160 * 96 if seen.is_part else 256 * 256
            assert (of_one_class, black) == (looked_at, 256 * 256 - looked_at)
            # The server ignores people of fewer than six pixels.
            assert not seen.sightings or (classes[..., 1:] == 255).sum() >= 6
            # If the server is sure that a person is the hero, most of the person's pixels are the hero's.
            sure_px = max((sighting.area_px for sighting in seen.sightings if sighting.evidence == 5.0), default=0)
            assert (classes[..., 2] == 255).sum() >= sure_px / 2
    assert sum(isinstance(entry, Mask) for entry in entries) == 72, "38 frames with a hero and 34 without"


def test_numbers_come_back_to_the_last_bit(recorded_session):
    file, sent, told = recorded_session
    first = next(event for event in told if event.name == "object_detected")
    seen = next(each for each in happened(file) if each.state is TrackState.FOLLOWING)
    assert seen.commands[0] == Command("object_detected", first.argument)
    assert seen.event.sightings[0].is_candidate
    assert seen.event.timestamp_s == float(sent[seen.event.frame - 1]["timestamp"])


# --- those that others leave


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
        assert len(entries) < len(whole)


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


def test_a_folder_is_no_recording(tmp_path):
    with pytest.raises(UnreadableRecordingError, match=r"expected a recording \(\*\.mcap\), got a folder"):
        Recording(tmp_path)


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
    with pytest.raises(UnreadableRecordingError, match="expected a recording of this server"):
        read(written(tmp_path / "other.mcap", ("/camera", b"{}")))


EXPECTED = f"expected a recording of format 1 to {FORMAT}"


@pytest.mark.parametrize(
    ("spoiled", "complaint"),
    [
        ({"format": FORMAT + 1}, f"{EXPECTED}, got format {FORMAT + 1}: it was made by another version"),
        ({"format": "x"}, f"{EXPECTED}, got format 'x'"),
        ({"format": [1]}, f"{EXPECTED}, got format list of 1"),
        ({"kind": "frame"}, "expected a message of the kind start, got 'frame'"),
        ({"watchdog_s": float("nan")}, "expected a finite number, got NaN"),
        ({"weights": 5}, "Expected `str | null`, got `int`"),
        # The page would draw a picture of this height, in gigabytes.
        ({"camera": asdict(Camera()) | {"image_px": 12_000}}, "expected image_px of 1 to 2048, got 12000"),
    ],
)
def test_a_start_that_makes_no_sense_is_refused_in_one_line(file, tmp_path, spoiled, complaint):
    copy = rewritten(file, tmp_path, lambda number, event: event | ({} if number else spoiled))
    with pytest.raises(UnreadableRecordingError) as told:
        Recording(copy)
    assert str(told.value).startswith(f"{copy}: cannot understand ")
    assert complaint in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("spoiled", [{"kind": "land"}, {"kind": "tick"}, {"at_s": float("inf")}, {"argument": 5}])
def test_an_event_that_makes_no_sense_is_refused_in_one_line(file, tmp_path, spoiled):
    copy = rewritten(file, tmp_path, lambda number, event: spoiled if number == 3 else event)
    with pytest.raises(UnreadableRecordingError) as told:
        read(copy)
    assert str(told.value).startswith(f"{copy}: cannot understand ")
    assert "\n" not in str(told.value)


def written(path, *messages, compression=CompressionType.NONE, encoding="json"):
    """A file with messages, each (topic, data)."""
    with path.open("wb") as target:
        writer = Writer(target, compression=compression)
        writer.start()
        for topic, data in messages:
            writer.add_message(writer.register_channel(topic, encoding, 0), 0, data, 0)
        writer.finish()
    return path


@pytest.fixture(scope="module")
def start(file) -> bytes:
    """The first message."""
    with file.open("rb") as source:
        _, _, message = next(make_reader(source).iter_messages(topics=["/events"], log_time_order=False))
    return message.data


def test_a_mask_that_is_no_foxglove_image_is_refused(tmp_path, start):
    copy = written(tmp_path / "copy.mcap", ("/events", start), ("/mask", b"\x0a\x04\x08\x05\x10\x07"))
    with pytest.raises(UnreadableRecordingError, match="expected a mask in protobuf, got json"):
        read(copy)


@pytest.mark.parametrize("nested", [b"[" * 100_000, b'{"kind":' * 100_000])
def test_a_message_that_is_nested_too_deeply_is_refused(tmp_path, start, nested):
    with pytest.raises(UnreadableRecordingError, match="recursion"):
        read(written(tmp_path / "deep.mcap", ("/events", start), ("/events", nested)))


def test_a_message_that_is_too_long_is_refused(tmp_path, start, monkeypatch):
    monkeypatch.setattr(reader, "LARGEST_MESSAGE_BYTES", 5000)
    with pytest.raises(UnreadableRecordingError, match="expected a message of at most 5000 bytes, got 6000"):
        read(written(tmp_path / "long.mcap", ("/events", start), ("/events", b" " * 6000)))


def test_a_chunk_is_refused_for_its_size_before_it_is_unpacked(tmp_path, start, monkeypatch):
    monkeypatch.setattr(records, "LARGEST_CHUNK_BYTES", 1_000_000)

    def fail(*_):
        raise AssertionError("unpacked")

    monkeypatch.setattr(zstandard, "decompress", fail)
    bomb = written(tmp_path / "bomb.mcap", ("/events", bytes(2_000_000)), compression=CompressionType.ZSTD)
    assert bomb.stat().st_size < 2000
    with pytest.raises(UnreadableRecordingError, match="expected chunks of at most 1000000 bytes, got one of 2000"):
        read(bomb)


def test_a_chunk_of_many_small_messages_takes_no_more_memory_than_its_content(tmp_path, start):
    """A list of these messages would take twenty megabytes, as would one of their index."""
    small = tmp_path / "small.mcap"
    with small.open("wb") as target:
        writer = Writer(target, compression=CompressionType.ZSTD, chunk_size=10_000_000)
        writer.start()
        writer.add_message(writer.register_channel("/events", "json", 0), 0, start, 0)
        other = writer.register_channel("/other", "json", 0)
        for _ in range(130_000):
            writer.add_message(other, 0, b"", 0)
        writer.finish()
    with small.open("rb") as source:
        (chunk,) = make_reader(source).get_summary().chunk_indexes
    tracemalloc.start()
    try:
        assert read(small)[1] == []
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert chunk.uncompressed_size > 4_000_000
    assert peak_bytes < 2 * chunk.uncompressed_size


@pytest.mark.parametrize("use_chunking", [True, False])
@pytest.mark.parametrize(("count", "size"), [(1001, 0), (11, 100_000)])
def test_schemas_and_channels_are_refused_where_they_are_more_than_a_recording_has(
    tmp_path, start, use_chunking, count, size
):
    many = tmp_path / "many.mcap"
    with many.open("wb") as target:
        writer = Writer(target, use_chunking=use_chunking)
        writer.start()
        writer.add_message(writer.register_channel("/events", "json", 0), 0, start, 0)
        for number in range(count):
            schema = writer.register_schema(str(number), "jsonschema", bytes(size))
            writer.add_message(writer.register_channel(str(number), "json", schema), 0, b"", 0)
        writer.finish()
    with pytest.raises(UnreadableRecordingError, match="expected at most 1000 schemas, channels and metadata of"):
        read(many)


def test_more_entries_than_memory_is_meant_for_are_refused(file, monkeypatch):
    _, entries = read(file)
    monkeypatch.setattr(reader, "MOST_ENTRIES", len(entries) - 1)
    with pytest.raises(UnreadableRecordingError, match=f"expected at most {len(entries) - 1} entries, got more"):
        read(file)


def test_a_chunk_that_the_server_would_not_pack_like_this_is_refused(tmp_path, start):
    with pytest.raises(UnreadableRecordingError, match="expected chunks compressed with zstd, got 'lz4'"):
        read(written(tmp_path / "lz4.mcap", ("/events", start), compression=CompressionType.LZ4))
