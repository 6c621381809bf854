"""An MCAP file that can be opened at any moment while it grows, also after its writer was killed.

Foxglove's SDK makes the file's content in memory. This module writes the content to the disk itself, in order to notice
errors of the disk. Each write ends with the tail of an MCAP file without an index, and the next write replaces that
tail. A closed file has an index, with which players can seek at once.

Format: https://mcap.dev/spec
"""

import contextlib
import errno
import io
import os
from pathlib import Path
from typing import Any

import foxglove
from foxglove.mcap import MCAPWriteOptions

# Records DataEnd (without a checksum) and Footer (without a summary), each an opcode, a length and its content; magic.
TAIL = b"\x0f" + (4).to_bytes(8, "little") + bytes(4)
TAIL += b"\x02" + (20).to_bytes(8, "little") + bytes(20) + b"\x89MCAP0\r\n"


# A program that reads the file holds a whole chunk in memory.
CHUNK_BYTES = 10_000_000


class McapFile:
    """One growing file; channels made with its `context` write into it.

    Args:
        path: path of the new file.

    Attributes:
        context: context for the file's channels.

    Raises:
        OSError: if the file can't be created; FileExistsError if it already exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.context = foxglove.Context()
        self._buffer = _Buffer()
        self._end = 0  # size of the data on the disk, at which the tail begins
        # Windows would write each line end as two bytes without O_BINARY, which no other system has.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        self._writer = foxglove.open_mcap(
            self._buffer,
            context=self.context,
            writer_options=MCAPWriteOptions(
                disable_seeking=True,
                chunk_size=CHUNK_BYTES,  # `flush` ends a chunk, too
                compression_threads=0,
                calculate_data_section_crc=False,
            ),
        )

    @property
    def written_bytes(self) -> int:
        """Size of the file on the disk."""
        return self._end + len(TAIL) if self._end else 0

    def flush(self) -> None:
        """Write the logged data to the disk.

        Raises:
            OSError: if that fails, or the file has been moved or removed.
        """
        self._writer.flush()
        data = self._buffer.take()
        self._write(data + TAIL)
        self._end += len(data)
        self._check_place()

    def close(self) -> None:
        """Write the remaining data and the index to the disk.

        Raises:
            OSError: as for `flush`; the file is left as by `abandon`.
        """
        try:
            self._writer.close()
            data = self._buffer.take()
            self._write(data)
            self._end += len(data)
            os.ftruncate(self._file, self._end)
            self._check_place()
        except OSError:
            self._end_with_tail()
            raise
        finally:
            os.close(self._file)

    def abandon(self) -> None:
        """Leave the file as it was after the latest successful `flush`; remove it if there was none."""
        with contextlib.suppress(Exception):  # closing fails if there is no space for the remaining data
            self._writer.close()
        self._end_with_tail()
        os.close(self._file)

    def _end_with_tail(self) -> None:
        with contextlib.suppress(OSError):  # players open a file that is cut off, too
            if self._end == 0:
                self._check_place()
                self.path.unlink()
                return
            # There is space for this tail, because a tail has been there before.
            self._write(TAIL)
            os.ftruncate(self._file, self._end + len(TAIL))

    def _write(self, data: bytes) -> None:
        # Usually one call, so that a kill comes before or after it. On a full disk, the first call writes a part, and
        # the second raises the error.
        os.lseek(self._file, self._end, os.SEEK_SET)
        written = 0
        while written < len(data):
            written += os.write(self._file, memoryview(data)[written:])

    def _check_place(self) -> None:
        try:
            is_there = self.path.stat().st_ino == os.fstat(self._file).st_ino
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise FileNotFoundError(errno.ENOENT, "it has been removed or moved away", str(self.path))


class _Buffer(io.RawIOBase):
    """The data that the SDK has written and `take` has not returned yet. The SDK only appends."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._position

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
