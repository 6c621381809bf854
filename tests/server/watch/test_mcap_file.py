"""The growing file, read by MCAP's own reader at moments when a kill could come."""

import json
import os
from pathlib import Path

import foxglove
import pytest
from mcap.reader import make_reader
from support.full_disk import files_of_at_most

from server.watch.recording import mcap_file
from server.watch.recording.mcap_file import TAIL, McapFile


def numbers(path: Path) -> list[int]:
    """The numbers that `log` has written, as far as a reader finds them."""
    with path.open("rb") as file:
        return [json.loads(message.data)["number"] for _, _, message in make_reader(file).iter_messages()]


def has_index(path: Path) -> bool:
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
    return bool(summary and summary.chunk_indexes)


@pytest.fixture
def file(tmp_path: Path) -> McapFile:
    return McapFile(tmp_path / "growing.mcap")


@pytest.fixture
def log(file: McapFile):
    channel = foxglove.Channel("/numbers", schema={"title": "Number", "type": "object"}, context=file.context)
    return lambda number: channel.log({"number": number, "noise": os.urandom(5000).hex()}, log_time=number)


def test_it_is_a_whole_file_after_each_flush_and_has_an_index_in_the_end(file: McapFile, log):
    for number in range(1, 6):
        log(number)
        file.flush()
        assert numbers(file.path) == list(range(1, number + 1))
        assert not has_index(file.path)
        assert file.path.stat().st_size == file.written_bytes
    log(6)
    file.close()
    assert numbers(file.path) == [1, 2, 3, 4, 5, 6]
    assert has_index(file.path)


def test_a_chunk_ends_before_it_is_too_large_to_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mcap_file, "CHUNK_BYTES", 50_000)
    file = McapFile(tmp_path / "growing.mcap")
    channel = foxglove.Channel("/numbers", schema={"title": "Number", "type": "object"}, context=file.context)
    for number in range(20):
        channel.log({"number": number, "text": 10_000 * "x"}, log_time=number)
    file.close()
    assert numbers(file.path) == list(range(20))
    with file.path.open("rb") as source:
        sizes = [chunk.uncompressed_size for chunk in make_reader(source).get_summary().chunk_indexes]
    assert len(sizes) > 2
    assert max(sizes) < 70_000


def test_it_is_written_with_what_windows_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    binary, flags, open_here = 1 << 30, [], os.open

    def open_as_there(path: Path, how: int, mode: int) -> int:
        flags.append(how & binary)
        return open_here(path, how & ~binary, mode)

    for name in ("O_CLOEXEC", "pwrite"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(os, "O_BINARY", binary, raising=False)
    monkeypatch.setattr(os, "open", open_as_there)
    file = McapFile(tmp_path / "growing.mcap")
    channel = foxglove.Channel("/numbers", schema={"title": "Number", "type": "object"}, context=file.context)
    for number in (1, 2):
        channel.log({"number": number}, log_time=number)
        file.flush()
        assert file.path.stat().st_size == file.written_bytes
    file.close()
    assert numbers(file.path) == [1, 2]
    assert flags == [binary], "line ends stay as they are"


def test_an_unindexed_end_is_an_mcap_file_by_itself(tmp_path: Path):
    path = tmp_path / "empty.mcap"
    with path.open("wb") as empty:
        empty.write(b"\x89MCAP0\r\n\x01" + (8).to_bytes(8, "little") + bytes(8) + TAIL)
    assert numbers(path) == []


def test_a_file_that_is_there_is_never_overwritten(file: McapFile):
    with pytest.raises(FileExistsError):
        McapFile(file.path)


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_that_has_gone_is_noticed_with_the_next_flush(file: McapFile, log, replace: bool):
    log(1)
    file.flush()
    file.path.unlink()
    if replace:
        file.path.write_bytes(b"another")
    log(2)
    with pytest.raises(FileNotFoundError, match="removed or moved away"):
        file.flush()
    file.abandon()


@pytest.mark.parametrize("ends", ["flush", "close"])
def test_a_disk_that_is_full_is_told_and_what_was_written_before_still_opens(file: McapFile, log, ends: str):
    log(1)
    file.flush()
    before = file.path.stat().st_size
    with files_of_at_most(before + 2000):
        log(2)
        with pytest.raises(OSError, match="File too large"):
            getattr(file, ends)()
        if ends == "flush":
            file.abandon()
        assert file.path.stat().st_size == before
    assert numbers(file.path) == [1]


def test_nothing_is_left_of_a_file_that_could_not_be_begun(file: McapFile, log):
    log(1)
    with files_of_at_most(100):
        with pytest.raises(OSError, match="File too large"):
            file.flush()
        file.abandon()
    assert not file.path.exists()
