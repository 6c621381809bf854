"""Finish recordings that were cut off, in place, so that every program for MCAP files opens them.

    python tools/repair.py recordings/*.mcap

A server that is killed leaves a recording without a summary. A copy that is broken off ends within a record. The tools
of this project read both as far as they go, but strict readers need the summary. The command copies all whole records
into a new file beside the recording, with the same times and topics, and replaces the recording by this file. A whole
file is left as it is. All files are checked before the first one is changed, and a file that is named twice is finished
once. Takes a second for each 20 MB.

Exit status: 0, all files are whole now; 2, refused for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import os
import shutil
import stat
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, NamedTuple

from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, DataEnd, Header, McapRecord, Message, Metadata, Schema
from mcap.writer import MCAP0_MAGIC, CompressionType, Writer

from model.bars import BYTES, counting_bar
from model.command import command, command_parser, print_text, printable, run_command
from model.pair_files import partial_file
from server.watch.recording.records import UnreadableRecordingError, read_records

# A file that changed within this time counts as still written: a server that records writes twice a second, even if
# nothing happens.
STILL_WRITTEN_S = 10.0
# At the end of a file: the record Footer (opcode, length, start of the summary, start of the offsets, checksum), magic.
FOOTER_BYTES = 1 + 8 + (8 + 8 + 4) + len(MCAP0_MAGIC)
PIECE_BYTES = 1_000_000


class Version(NamedTuple):
    """Shows whether a file has changed: its place, its size in bytes and the time of its latest change."""

    device: int
    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> "Version":
        """The present version of a file."""
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path}: expected a file")
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class CopyResult(NamedTuple):
    """Result of a copy: number of messages, and bytes of an unfinished record at the end, which are left out."""

    messages: int
    left_out_bytes: int


@command("repair", interrupted="interrupted; the recording in work is as it was")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    versions = {path: check(path) for path in distinct(options.recordings)}
    for path, version in versions.items():
        print_text(f"{path}: {'whole, left as it is' if version is None else finish(path, version)}")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("recordings", type=Path, nargs="+", metavar="FILE", help="recordings, *.mcap")
    return parser.parse_args(arguments)


def distinct(paths: Iterable[Path]) -> list[Path]:
    """The paths without those that lead to the same file as an earlier one, such as a link and the file itself."""
    by_file: dict[str, Path] = {}
    for path in paths:
        by_file.setdefault(os.path.realpath(path), path)  # `Path.resolve` raises RuntimeError for a loop of links
    return list(by_file.values())


def check(path: Path) -> Version | None:
    """Check whether a file is cut off and can be finished.

    Returns:
        The version of the file that was checked; None if the file is whole.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is damaged, no MCAP file, or still written.
    """
    version = Version.of(path)
    with path.open("rb") as source:
        if source.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
            raise UnreadableRecordingError(f"{path}: expected a whole MCAP file, or one that was cut off")
        if has_summary(source, version.size):
            return None
        age_s = time.time() - version.changed_ns / 1e9
        if abs(age_s) < STILL_WRITTEN_S:
            raise _still_written(path, f"changed {abs(age_s):.0f} s ago")
        with Path(os.devnull).open("wb") as nowhere:
            copy(source, Writer(nowhere, compression=CompressionType.NONE), path, version.size, "checking")
    return version


def has_summary(file: IO[bytes], size: int) -> bool:
    """Whether a file of this size, in bytes, ends with a footer that points to an undamaged summary."""
    file.seek(max(0, size - FOOTER_BYTES))
    footer = file.read(FOOTER_BYTES)
    if len(footer) < FOOTER_BYTES:
        return False
    start, checksum = int.from_bytes(footer[9:17], "little"), int.from_bytes(footer[25:29], "little")
    if footer[0] != Opcode.FOOTER or not footer.endswith(MCAP0_MAGIC) or not 0 < start <= size - FOOTER_BYTES:
        return False
    file.seek(start)
    found, left_bytes = 0, size - start - 4 - len(MCAP0_MAGIC)
    while left_bytes > 0 and (piece := file.read(min(left_bytes, PIECE_BYTES))):  # its size is only claimed
        found, left_bytes = zlib.crc32(piece, found), left_bytes - len(piece)
    return checksum in (0, found)


def finish(path: Path, version: Version) -> str:
    """Put a finished copy in the place of a file.

    Args:
        path: the file.
        version: its version when it was checked.

    Returns:
        Text for people: what was done.

    Raises:
        OSError: if the copy cannot be written; the file is as it was.
        ValueError: if the file has changed since it was checked; it is not touched.
    """
    file = path.resolve()
    partial = partial_file(file)
    try:
        with file.open("rb") as source, partial.open("wb") as target:
            kept = copy(source, Writer(target), path, version.size, "copying")
            target.flush()
            os.fsync(target.fileno())
        shutil.copymode(file, partial)
        if Version.of(file) != version:
            raise _still_written(path, "changed meanwhile")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    left_out = f"; {kept.left_out_bytes} bytes of an unfinished record left out" if kept.left_out_bytes else ""
    return f"finished with {kept.messages} messages{left_out}"


def copy(source: IO[bytes], writer: Writer, path: Path, size: int, description: str) -> CopyResult:
    """Copy all whole records, and end the copy as a whole file.

    Args:
        source: the file.
        writer: writes the copy.
        path: the file's name, for errors.
        size: of the file, bytes.
        description: what is being done, for the progress bar.

    Raises:
        UnreadableRecordingError: if the file is damaged, or no MCAP file.
    """
    copier, end, is_over = _Copier(writer, path), 0, False
    source.seek(0)
    with counting_bar(size, desc=printable(f"{path.name}: {description}"), **BYTES) as progress:
        for record in read_records(source, path, size):
            end = source.tell()
            progress.update(end - progress.n)
            if isinstance(record, DataEnd):  # nothing but a summary can follow
                is_over = True
                break
            copier.take(record)
        progress.update(size - progress.n)
    copier.finish()
    if not is_over and _ends_with_magic(source, size):
        raise UnreadableRecordingError(f"{path}: expected a whole MCAP file, got damage after byte {end}")
    return CopyResult(copier.messages, 0 if is_over else size - end)


class _Copier:
    """Writes records of one file into another, which numbers its schemas and channels anew."""

    def __init__(self, writer: Writer, path: Path) -> None:
        self._writer, self._path, self._has_begun, self.messages = writer, path, False, 0
        self._records: dict[tuple[type, int], Schema | Channel] = {}
        # Old number → new number.
        self._schemas, self._channels = {0: 0}, dict[int, int]()

    def take(self, record: McapRecord) -> None:
        """Write a record; indexes are not copied because the writer makes its own.

        Raises:
            UnreadableRecordingError: if the record contradicts those before it.
        """
        if not self._has_begun:
            if not isinstance(record, Header):
                raise self._error("a header first", type(record).__name__)
            self._writer.start(record.profile, record.library)
            self._has_begun = True
        match record:
            case Schema() if self._is_new(record):
                self._schemas[record.id] = self._writer.register_schema(record.name, record.encoding, record.data)
            case Channel() if self._is_new(record):
                schema = self._schemas.get(record.schema_id)
                if schema is None:
                    raise self._error(f"schema {record.schema_id} before its channel", "none")
                self._channels[record.id] = self._writer.register_channel(
                    record.topic, record.message_encoding, schema, record.metadata
                )
            case Message():
                channel = self._channels.get(record.channel_id)
                if channel is None:
                    raise self._error(f"channel {record.channel_id} before its message", "none")
                self._writer.add_message(channel, record.log_time, record.data, record.publish_time, record.sequence)
                self.messages += 1
            case Attachment():
                self._writer.add_attachment(
                    record.create_time, record.log_time, record.name, record.media_type, record.data
                )
            case Metadata():
                self._writer.add_metadata(record.name, record.metadata)

    def finish(self) -> None:
        """Write the end.

        Raises:
            UnreadableRecordingError: if there was no header.
        """
        if not self._has_begun:
            raise self._error("an MCAP file", "one without a header")
        self._writer.finish()

    def _is_new(self, record: Schema | Channel) -> bool:
        """Whether a schema or a channel is the first of its number; it may be repeated, but not changed."""
        before = self._records.setdefault((type(record), record.id), record)
        if before != record:
            raise self._error(f"one {type(record).__name__} of the number {record.id}", "two different ones")
        return before is record

    def _error(self, expected: str, received: str) -> UnreadableRecordingError:
        return UnreadableRecordingError(f"{self._path}: expected {expected}, got {received}")


def _ends_with_magic(file: IO[bytes], size: int) -> bool:
    """Whether a file ends with MCAP's magic bytes, so that it cannot have been cut off."""
    file.seek(max(0, size - len(MCAP0_MAGIC)))
    return size > len(MCAP0_MAGIC) and file.read() == MCAP0_MAGIC


def _still_written(path: Path, received: str) -> ValueError:
    return ValueError(f"{path}: expected a recording that no server is writing any more, got one that {received}")


if __name__ == "__main__":
    run_command(main)
