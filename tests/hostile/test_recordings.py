"""Recordings from unknown sources: read as far as they go, or refused by the reader's own error."""

import json
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from support.fake_engine import FAKE_SERVER
from support.live import fields
from support.recorded_session import FORMAT_1, FORMAT_2, Sender, happened, read

from hostile.crowd import PATIENCE_S
from hostile.images import mutated
from server.watch.recording.reader import Recording
from server.watch.recording.records import UnreadableRecordingError
from tools.simulator.server_process import running_server
from tools.simulator.wire import QuadSimClient


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> list[Path]:
    """A recording of each format."""
    folder = tmp_path_factory.mktemp("recordings")
    with running_server("unused", "--record", str(folder), script=FAKE_SERVER) as server:
        with QuadSimClient(port=server.port) as client:
            sender = Sender(client)
            for _ in range(5):
                sender.send(fields())
            sender.send(fields(pose="1,2"))
        server.wait_for_log("recorded", PATIENCE_S)
    (file,) = folder.glob("*.mcap")
    assert happened(file)
    return [FORMAT_1, FORMAT_2, file]


@pytest.fixture(scope="module")
def target(tmp_path_factory) -> Path:
    """Path of the damaged files."""
    return tmp_path_factory.mktemp("damaged") / "damaged.mcap"


def read_or_refused(file: Path) -> int:
    """Number of entries of a file; only the reader's own error is caught."""
    try:
        with Recording(file) as recording:
            return sum(1 for _ in recording.entries("reading"))
    except UnreadableRecordingError as error:
        assert str(file) in str(error)
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
        return 0


@given(seed=st.integers(0, 2**32))
def test_a_damaged_recording_is_read_or_refused_in_memory_of_its_size(recordings, target, seed):
    rng = random.Random(seed)
    assert_bounded(target, mutated(rng.choice(recordings).read_bytes(), rng))


def test_a_length_within_a_record_takes_no_memory(target):
    """A chunk's head: its times, size and checksum, and then the length of a name, which is 2 GB."""
    head = bytes(8 + 8 + 8 + 4) + (2**31 - 1).to_bytes(4, "little") + bytes(8)
    assert_bounded(target, b"\x89MCAP0\r\n\x06" + len(head).to_bytes(8, "little") + head)


def assert_bounded(file: Path, data: bytes) -> None:
    """Check that a file of this content gives no more entries than bytes, and takes memory in proportion to them."""
    file.write_bytes(data)
    tracemalloc.start()
    try:
        entries = read_or_refused(file)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert entries < len(data)
    assert peak_bytes < 20 * len(data) + 5_000_000  # the server's chunks unpack to some times their size


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_message_with_other_values_is_read_or_refused(recordings, target, data):
    messages = [json.loads(message) for message in texts(data.draw(st.sampled_from(recordings)))]
    message = data.draw(st.sampled_from(messages))
    path = data.draw(st.sampled_from(list(places(message))))
    value = data.draw(JSON)
    inner = message
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    write(target, [json.dumps(each).encode() for each in messages])
    read_or_refused(target)


def places(value, path=()):
    """The path to each value within a value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*path, key)
        yield from places(part, (*path, key))


def texts(file: Path) -> list[bytes]:
    """The messages on /events."""
    with file.open("rb") as source:
        return [
            message.data
            for _, _, message in make_reader(source).iter_messages(topics=["/events"], log_time_order=False)
        ]


def write(file: Path, messages: list[bytes]) -> None:
    """A recording of these messages on /events."""
    with file.open("wb") as target:
        writer = Writer(target, compression=CompressionType.NONE)
        writer.start()
        channel = writer.register_channel("/events", "json", 0)
        for message in messages:
            writer.add_message(channel, 0, message, 0)
        writer.finish()


def test_a_recording_that_unpacks_to_thousands_of_times_its_size_is_refused(recordings, target):
    """Each chunk is within its limit, and its messages are of other topics; reading all of them would take minutes."""
    start, *_ = texts(recordings[-1])
    with target.open("wb") as file:
        writer = Writer(file, chunk_size=5_000_000, compression=CompressionType.ZSTD)
        writer.start()
        writer.add_message(writer.register_channel("/events", "json", 0), 0, start, 0)
        others = writer.register_channel("/others", "json", 0)
        for _ in range(40):
            writer.add_message(others, 0, bytes(5_000_000), 0)
        writer.finish()
    assert target.stat().st_size < 100_000
    with pytest.raises(UnreadableRecordingError, match="that unpack to at most 100000000 bytes and 500 times the"):
        read(target)
