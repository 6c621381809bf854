"""The log: bounded, and nobody waits for it."""

import logging
import subprocess
import sys
import threading

import pytest
from support.clock import Clock

from server.logs import (
    MOST_FIRST_LINES,
    MOST_LAST_LINES,
    MOST_LINES_A_SECOND,
    MOST_WAITING,
    LineLimit,
    LogHandler,
    NonBlockingStream,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_lines_beyond_the_limit_of_a_second_are_left_out_and_counted_with_the_next(clock):
    limit = LineLimit(clock)
    passed = [limit.passed(f"line {number}") for number in range(MOST_LINES_A_SECOND + 7)]
    clock.now_s = 1.0
    assert passed == [f"line {number}\n" for number in range(MOST_LINES_A_SECOND)] + [None] * 7
    assert limit.passed("late") == "(7 lines left out) late\n"
    assert limit.passed("later") == "later\n"


def test_a_traceback_counts_as_its_lines(clock):
    limit = LineLimit(clock)
    assert limit.passed("\n".join(["line"] * MOST_LINES_A_SECOND))
    assert limit.passed("one more\nof two lines") is None
    clock.now_s = 1.0
    assert limit.passed("late") == "(2 lines left out) late\n"


def test_an_urgent_text_passes_beyond_the_limit_and_tells_what_was_left_out(clock):
    limit = LineLimit(clock)
    for number in range(MOST_LINES_A_SECOND + 3):
        limit.passed(f"line {number}")
    assert limit.passed("ours", is_urgent=True) == "(3 lines left out) ours\n"
    long = limit.passed("\n".join(["frame"] * 1000), is_urgent=True)
    assert len(long.splitlines()) == MOST_FIRST_LINES + 1 + MOST_LAST_LINES


def test_clients_cannot_hide_an_error_by_lines_that_they_cause(clock):
    written = []
    stream = NonBlockingStream(written.append, clock)
    logger = logging.Logger("test")
    logger.addHandler(LogHandler(stream))
    for number in range(2 * MOST_LINES_A_SECOND):
        logger.info("line %d", number)
    logger.error("internal error")
    assert stream.wait_written(timeout_s=60)
    assert len(written) == MOST_LINES_A_SECOND + 1
    assert written[-1] == f"({MOST_LINES_A_SECOND} lines left out) internal error\n"


def test_the_middle_of_a_long_text_is_left_out(clock):
    text = "\n".join(f"frame {number}" for number in range(1000))
    passed = LineLimit(clock).passed(text).splitlines()
    assert passed[MOST_FIRST_LINES] == f"({1000 - MOST_FIRST_LINES - MOST_LAST_LINES} lines left out)"
    assert (passed[0], passed[-1]) == ("frame 0", "frame 999")
    assert len(passed) == MOST_FIRST_LINES + 1 + MOST_LAST_LINES


def test_whoever_writes_to_a_stuck_stream_does_not_wait_and_hears_what_was_dropped(clock):
    stuck, is_free, written = threading.Event(), threading.Event(), []

    def write(text: str) -> None:
        stuck.set()
        assert is_free.wait(60)
        written.append(text)

    stream = NonBlockingStream(write, clock)
    stream.write("first\n")
    assert stuck.wait(60)
    for number in range(MOST_WAITING + 9):
        clock.now_s += 1.0
        stream.write(f"line {number}\n")
    assert not stream.wait_written(timeout_s=0.01)
    is_free.set()
    assert stream.wait_written(timeout_s=60)
    clock.now_s += 1.0
    stream.write("last\n")
    assert stream.wait_written(timeout_s=60)
    assert len(written) == 1 + MOST_WAITING + 1
    assert written[-1] == "(9 lines left out) last\n"


def test_a_line_written_in_pieces_is_one(clock):
    written = []
    stream = NonBlockingStream(written.append, clock)
    for piece in ("a ", "line\nand", " another", "\n"):
        stream.write(piece)
    assert stream.wait_written(timeout_s=60)
    assert written == ["a line\n", "and another\n"]


def test_a_stream_that_nobody_reads_any_more_is_no_error(clock):
    def write(text: str) -> None:
        raise BrokenPipeError

    stream = NonBlockingStream(write, clock)
    stream.write("first\nsecond\n")
    assert stream.wait_written(timeout_s=60)


def test_a_logged_traceback_arrives_whole(clock):
    written = []
    stream = NonBlockingStream(written.append, clock)
    logger = logging.Logger("test")
    logger.addHandler(logging.StreamHandler(stream))
    try:
        raise ZeroDivisionError("ours")
    except ZeroDivisionError:
        logger.exception("internal error")
    assert stream.wait_written(timeout_s=60)
    lines = "".join(written).splitlines()
    assert (lines[0], lines[-1]) == ("internal error", "ZeroDivisionError: ours")


def test_a_file_that_is_opened_while_standard_error_is_closed_gets_no_log_lines(tmp_path):
    file = tmp_path / "file"
    program = (
        "import logging, sys; from server import logs; logs.set_up('info'); file = open(sys.argv[1], 'w'); "
        "logging.getLogger('server').warning('a line'); logs.end_process(0)"
    )
    closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", program, str(file)]
    subprocess.run(closed, check=True, timeout=60)
    assert file.read_text() == ""
