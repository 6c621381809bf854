"""The end of the process comes in time, whatever its main thread does."""

import os
import signal
import subprocess
import sys

import pytest

from server.wire.signals import SIGNALS
from tools.simulator.server_process import REPOSITORY

# With signals blocked, the main thread learns of none, as when one comes just before a long sleep.
HANGING = """
import signal, time
from server.wire.signals import on_signals
on_signals(lambda: print("told", flush=True), lambda: print("reload", flush=True), deadline_s=0.1)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_process_that_hangs_is_ended_after_the_deadline(number):
    with subprocess.Popen(
        [sys.executable, "-c", HANGING], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "told\n"
        assert process.wait(timeout=60) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_a_hangup_that_somebody_sends_reloads_and_ends_nothing():
    with subprocess.Popen(
        [sys.executable, "-c", HANGING], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
            assert process.stdout.readline() == "reload\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "told\n"
        assert process.wait(timeout=60) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
@pytest.mark.parametrize(("inherited", "said"), [("SIG_DFL", "told"), ("SIG_IGN", "reload")])
def test_the_end_of_the_terminal_ends_the_process_unless_nohup_started_it(inherited, said):
    program = f"""
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGHUP, signal.{inherited})
{HANGING}"""
    terminal, end = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        stdin=end,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # without a terminal, until it takes that one
    ) as process:
        os.close(end)
        assert process.stdout.readline() == "ready\n"
        os.close(terminal)
        assert process.stdout.readline() == f"{said}\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 1


def test_other_signals_end_nothing():
    # It ends by itself, longer after the signal than the deadline.
    program = HANGING.replace("time.sleep(600)", "came.wait()\ntime.sleep(0.5)")
    program = f"""
import signal, threading
came = threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: came.set())
{program}"""
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.wait(timeout=60) == 0
