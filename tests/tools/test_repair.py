"""Recordings that were cut off become whole files, with all that was in them."""

import errno
import os
import time
import tracemalloc

import foxglove
import pytest
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.writer import Writer
from support.recorded_session import FORMAT_1, read

from server.watch.recording.mcap_file import McapFile
from tools import repair, replay

LONG_AGO_S = 1.5e9


def left(file, data):
    """A file that was written long ago."""
    file.write_bytes(data)
    os.utime(file, (LONG_AGO_S, LONG_AGO_S))
    return file


@pytest.fixture
def cut(tmp_path):
    return tmp_path / "cut.mcap"


def summary(file):
    """The summary, which readers ask for first; None if there is none or it cannot be read."""
    with file.open("rb") as source:
        try:
            return make_reader(source).get_summary()
        except (McapError, ValueError):  # raised for invalid bytes
            return None


def content(file):
    """All messages with their topics and schemas, in the file's order."""
    with file.open("rb") as source:
        return [
            (
                schema and (schema.name, schema.encoding, schema.data),
                (channel.topic, channel.message_encoding, channel.metadata),
                (message.log_time, message.publish_time, message.sequence, message.data),
            )
            for schema, channel, message in make_reader(source).iter_messages(log_time_order=False)
        ]


def chunks():
    with FORMAT_1.open("rb") as source:
        return make_reader(source).get_summary().chunk_indexes


WHOLE = FORMAT_1.read_bytes()
CHUNK = chunks()[-1]
FIRST = chunks()[0]


@pytest.mark.parametrize(
    "length",
    [
        FIRST.chunk_start_offset,
        FIRST.chunk_start_offset + 5,
        FIRST.chunk_start_offset + FIRST.chunk_length // 2,
        FIRST.chunk_start_offset + FIRST.chunk_length,
        CHUNK.chunk_start_offset + CHUNK.chunk_length - 1,
        CHUNK.chunk_start_offset + CHUNK.chunk_length + 3,
        len(WHOLE) - 500,
        len(WHOLE) - 1,
    ],
)
def test_a_file_cut_anywhere_becomes_whole_with_all_that_it_had(cut, capsys, length):
    left(cut, WHOLE[:length])
    entries = read(cut)[1] if length > FIRST.chunk_start_offset + FIRST.chunk_length else None
    assert summary(cut) is None
    assert repair.main([str(cut)]) == 0
    assert f"{cut}: finished with " in capsys.readouterr().out
    found, whole = content(cut), content(FORMAT_1)
    assert found == whole[: len(found)]
    assert len(found) == len(whole) or length < CHUNK.chunk_start_offset + CHUNK.chunk_length
    assert summary(cut).statistics.message_count == len(found)
    assert entries is None or read(cut)[1] == entries
    assert list(cut.parent.iterdir()) == [cut]
    assert repair.main([str(cut)]) == 0, "and is then left as it is, however new it is"
    assert f"{cut}: whole, left as it is" in capsys.readouterr().out


def test_what_a_killed_server_leaves_becomes_whole(cut, tmp_path):
    growing = McapFile(tmp_path / "growing.mcap")
    channels = [
        foxglove.Channel(topic, schema={"title": topic, "type": "object"}, context=growing.context)
        for topic in ("/events", "/other")
    ]
    for number in range(20):
        channels[number % 2].log({"number": number}, log_time=1000 - number)
        growing.flush()
    left(cut, growing.path.read_bytes())
    before = content(cut)
    assert len(before) == 20
    assert summary(cut) is None
    assert repair.main([str(cut)]) == 0
    assert content(cut) == before
    assert {channel.topic for channel in summary(cut).channels.values()} == {"/events", "/other"}
    growing.abandon()


def test_a_real_recording_is_replayed_as_before(recorded_session, cut, capsys):
    whole = recorded_session[0].read_bytes()
    left(cut, whole[: len(whole) // 2])
    before = replayed(cut, capsys)
    assert repair.main([str(cut)]) == 0
    assert replayed(cut, capsys) == before
    assert summary(cut).statistics.message_count == len(content(cut)) > 100


def replayed(file, capsys):
    capsys.readouterr()
    status = replay.main([str(file)])
    return status, capsys.readouterr().out


def test_attachments_metadata_and_channels_without_a_schema_are_kept(cut):
    with cut.open("wb") as target:
        writer = Writer(target)
        writer.start("profile", "library")
        schemas = [writer.register_schema(name, "jsonschema", name.encode()) for name in ("unused", "used")]
        plain = writer.register_channel("/plain", "json", 0, {"key": "value"})
        typed = writer.register_channel("/typed", "json", schemas[1])
        writer.add_attachment(1, 2, "picture", "image/png", b"png")
        writer.add_metadata("about", {"a": "b"})
        for number, channel in enumerate((plain, typed, plain)):
            writer.add_message(channel, 5 - number, b"{}", 7, number)
        writer.flush()
        end = target.tell()
        writer.finish()
    before, data = content(cut), cut.read_bytes()
    left(cut, data[:end])
    assert repair.main([str(cut)]) == 0
    assert content(cut) == before
    assert sorted(schema.name for schema in summary(cut).schemas.values()) == ["unused", "used"]
    with cut.open("rb") as source:
        reader = make_reader(source)
        assert (reader.get_header().profile, reader.get_header().library) == ("profile", "library")
        ((attachment,), (metadata,)) = list(reader.iter_attachments()), list(reader.iter_metadata())
    assert (attachment.create_time, attachment.log_time, attachment.name, attachment.data) == (1, 2, "picture", b"png")
    assert (metadata.name, metadata.metadata) == ("about", {"a": "b"})


def test_whole_files_are_left_as_they_are(cut, capsys):
    left(cut, WHOLE)
    assert repair.main([str(cut)]) == 0
    assert cut.read_bytes() == WHOLE
    assert cut.stat().st_mtime == LONG_AGO_S
    assert capsys.readouterr().out == f"{cut}: whole, left as it is\n"


def test_a_summary_that_claims_to_be_the_whole_file_is_not_read_at_once(cut):
    """A footer of twenty megabytes of summary, with its checksum."""
    footer = b"\x02" + (20).to_bytes(8, "little") + (1).to_bytes(8, "little") + bytes(8) + b"\1\2\3\4"
    left(cut, bytes(20_000_000) + footer + WHOLE[-8:])
    tracemalloc.start()
    try:
        with cut.open("rb") as source:
            assert not repair.has_summary(source, cut.stat().st_size)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 5_000_000


def test_the_permissions_of_a_file_are_kept_and_a_link_to_it(cut, tmp_path):
    left(cut, WHOLE[:-1000]).chmod(0o640)
    link = tmp_path / "link.mcap"
    link.symlink_to(cut)
    assert repair.main([str(link)]) == 0
    assert link.is_symlink()
    assert summary(cut) is not None
    assert cut.stat().st_mode & 0o777 == 0o640


def test_a_file_that_is_named_twice_is_finished_once(cut, tmp_path, capsys):
    left(cut, WHOLE[:-1000])
    link = tmp_path / "link.mcap"
    link.symlink_to(cut)
    names = [link, cut, cut, tmp_path / "." / "none" / ".." / "cut.mcap"]
    (tmp_path / "none").mkdir()
    assert repair.main([str(name) for name in names]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{link}: finished with ")
    assert link.is_symlink()
    assert summary(cut) is not None


# --- how it fails


def refused(capsys, *files):
    """The line that is printed when files are refused; checks that no file is changed."""
    before = {file: file.read_bytes() for file in files}
    folder = sorted(files[0].parent.iterdir())
    assert repair.main([str(file) for file in files]) == 2
    assert {file: file.read_bytes() for file in files} == before
    assert sorted(files[0].parent.iterdir()) == folder
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"repair: {files[-1]}: expected ")
    return line


def test_a_file_that_a_server_may_still_be_writing_is_refused_and_no_other_is_changed(cut, tmp_path, capsys):
    left(cut, WHOLE[:-1000])
    growing = tmp_path / "growing.mcap"
    growing.write_bytes(WHOLE[:-1000])
    now_s = time.time()
    for age_s in (0.0, 8.0):
        os.utime(growing, (now_s - age_s, now_s - age_s))
        assert "no server is writing any more, got one that changed" in refused(capsys, cut, growing)


def test_a_loop_of_links_is_refused(cut, capsys):
    cut.symlink_to(cut)
    assert repair.main([str(cut)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("description", ["checking", "copying"])
def test_a_file_that_grows_meanwhile_is_refused(cut, capsys, monkeypatch, description):
    left(cut, WHOLE[:-1000])
    copy = repair.copy

    def copy_and_grow(source, writer, path, size, what):
        kept = copy(source, writer, path, size, what)
        if what == description:
            with cut.open("ab") as file:
                file.write(b"more")
        return kept

    monkeypatch.setattr(repair, "copy", copy_and_grow)
    assert repair.main([str(cut)]) == 2
    assert cut.read_bytes() == WHOLE[:-1000] + b"more"
    assert list(cut.parent.iterdir()) == [cut]
    assert "got one that changed meanwhile" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no recording", bytes(1000), b"\x89MCAP0\r\n", WHOLE[:12]])
def test_what_is_no_mcap_is_refused(cut, capsys, content):
    refused(capsys, left(cut, content))


def test_damage_is_told_and_nothing_is_thrown_away(cut, capsys):
    middle = FIRST.chunk_start_offset + FIRST.chunk_length // 2
    for at, bad in ((middle, bytes(16)), (FIRST.chunk_start_offset + 1, b"\xff" * 8)):
        for end in (-1000, None):
            data = bytearray(WHOLE[:end])
            data[at : at + len(bad)] = bad
            data[-1000:] = data[-1000:] if end else bytes(991) + bytes(data[-9:])  # its summary does not count
            assert "damage" in refused(capsys, left(cut, bytes(data)))


def test_a_length_that_leads_beyond_the_end_is_damage_in_a_file_that_has_an_end(cut, tmp_path, capsys):
    """Without an end, the file may have been cut within that record."""
    growing = McapFile(tmp_path / "growing.mcap")
    channel = foxglove.Channel("/events", schema={"type": "object"}, context=growing.context)
    for number in range(5):
        channel.log({"number": number})
        growing.flush()
    data = bytearray(growing.path.read_bytes())
    growing.abandon()
    growing.path.unlink()
    chunk = data.index(b"\x06", data.index(b"\x01", 8) + 20)
    data[chunk + 3] = 1  # 65,536 bytes more
    assert "damage after byte " in refused(capsys, left(cut, bytes(data)))


def a_file(cut, *records):
    """A file of a header and these records, written one by one, without an end."""
    with cut.open("wb") as target:
        writer = Writer(target, use_chunking=False)
        writer.start()
        for record in records:
            getattr(writer, record[0])(*record[1:])
        writer.flush()
    return left(cut, cut.read_bytes())


def test_records_that_do_not_fit_are_refused(cut, capsys):
    a_file(cut, ("add_message", 7, 0, b"", 0))
    assert "expected channel 7 before its message, got none" in refused(capsys, cut)
    a_file(cut, ("register_channel", "/topic", "json", 7))
    assert "expected schema 7 before its channel, got none" in refused(capsys, cut)
    one = a_file(cut, ("register_schema", "one", "json", b"")).read_bytes()
    other = a_file(cut, ("register_schema", "two", "json", b"")).read_bytes()
    schema = other[other.index(b"\x03", 9) :]
    left(cut, one + schema)
    assert "expected one Schema of the number 1, got two different ones" in refused(capsys, cut)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2, "No space left"),
        (KeyboardInterrupt(), 130, "interrupted; the recording in work is as it was"),
    ],
)
def test_a_full_disk_and_ctrl_c_leave_the_file_as_it_was(cut, capsys, monkeypatch, error, status, words):
    left(cut, WHOLE[:-1000])

    def fail(_):
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    assert repair.main([str(cut)]) == status
    assert words in capsys.readouterr().err
    assert cut.read_bytes() == WHOLE[:-1000]
    assert list(cut.parent.iterdir()) == [cut]
