"""Check whether a machine has what the server needs, and how the server will use it.

Each check imports the libraries that it needs, so that a broken installation is reported, too.
"""

import contextlib
import http.client
import os
import platform
import shutil
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from model.command import check_output_folder, error_text, one_line
from tools.diagnosis.finding import Finding, Mark
from tools.simulator.address import ServerAddress

LEAST_PYTHON = (3, 11)
# TensorFlow alone takes 2 GB.
SETUP_BYTES = 3_000_000_000

Check = Callable[[], Finding]


def check_machine(port: int, recordings: Path) -> Iterator[Finding]:
    """Check this machine, one thing after the other.

    Args:
        port: the port on which the server will listen.
        recordings: folder to record into; it need not exist.
    """
    checks: list[tuple[str, Check]] = [
        ("Python", _python),
        ("libraries", _libraries),
        ("CPU", _cpu),
        ("GPU", _gpu),
        ("network", _network),
        ("cache", _cache),
        ("disk", lambda: _disk(recordings)),
        ("port", lambda: check_port(port)),
        ("browser", lambda: _browser(port)),
    ]
    for subject, check in checks:
        try:
            yield check()
        except Exception as error:  # a broken library raises nearly anything
            yield Finding(Mark.WRONG, subject, one_line(error), fix="set the project up: python make.py setup")
    if "microsoft" in platform.release().lower():
        text = "this is Linux in Windows (WSL); docs/connect.md says how QuadSim on Windows reaches it"
        yield Finding(Mark.NOTE, "WSL", text)


def check_port(port: int) -> Finding:
    """Check whether a port of 127.0.0.1 is free, or a follow-me server or another program uses it."""
    from tools.simulator.server_process import is_port_free

    subject = f"port {port}"
    if is_port_free(port):
        return Finding(Mark.OK, subject, "free")
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        report = ServerAddress("127.0.0.1", port).ask_health()
        trouble = report.get("trouble")
        text = f"a follow-me server has it, {'ready' if report['ready'] else f'not ready: {trouble}'}"
        return Finding(Mark.OK, subject, f"{text}. --server plays a good client against it")
    ask = f"netstat -ano | findstr :{port}" if os.name == "nt" else f"lsof -i :{port}"
    fix = f"end the other program ({ask} names it): QuadSim connects to no other port"
    return Finding(Mark.WRONG, subject, "another program has it", fix=fix)


def _python() -> Finding:
    text = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.version_info < LEAST_PYTHON or sys.maxsize < 2**32:
        fix = "install a Python of 64 bits, 3.11 or newer, and set up again with it"
        return Finding(Mark.WRONG, "Python", text, expected="3.11 or newer, of 64 bits", fix=fix)
    return Finding(Mark.OK, "Python", text)


def _libraries() -> Finding:
    import openvino  # noqa: F401  (native code, which may not fit the machine)

    versions = [f"{name} {version(name)}" for name in ("openvino", "eventlet", "python-socketio", "numpy")]
    return Finding(Mark.OK, "libraries", ", ".join(versions))


def _cpu() -> Finding:
    import openvino

    core = openvino.Core()
    name = str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
    kinds = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    fast = ", ".join(kind for kind in ("BF16", "FP16", "INT8") if kind in kinds) or "nothing but FP32"
    return Finding(Mark.OK, "CPU", f"{name}, {os.cpu_count()} cores; computes fast in {fast}")


def _gpu() -> Finding:
    if find_spec("tensorflow") is None:
        return Finding(Mark.OK, "GPU", "not asked for: TensorFlow is not installed, so the network runs on the CPU")
    from model.engines import tensorflow_sees_gpu

    text = "TensorFlow sees one and is used" if tensorflow_sees_gpu() else "TensorFlow sees none: the CPU is used"
    return Finding(Mark.OK, "GPU", text)


def _network() -> Finding:
    from model.engines import load_engine
    from tools.simulator.server_process import SHIPPED_WEIGHTS

    begin_s = time.monotonic()
    try:
        engine = load_engine("auto", SHIPPED_WEIGHTS)
    except (OSError, ValueError) as error:
        return Finding(Mark.WRONG, "network", error_text(error), fix="clone the repository again, whole")
    text = f"{engine.description}; loaded in {time.monotonic() - begin_s:.1f} s, and gives its known answer"
    return Finding(Mark.OK, "network", text)


def _cache() -> Finding:
    from model.engines.cache import cache_folder

    try:
        folder = cache_folder()
    except OSError as error:
        text = (
            f"cannot be written: {error_text(error)}. Other networks than the shipped ones take 8 s to convert at each "
            "start"
        )
        return Finding(Mark.NOTE, "cache", text, fix="set XDG_CACHE_HOME to a folder that can be written")
    used_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Finding(Mark.OK, "cache", f"{folder}, {used_bytes / 1e6:.0f} MB of converted networks")


def _disk(recordings: Path) -> Finding:
    from server.watch.recording.scribe import LEAST_FREE_BYTES

    try:
        check_output_folder(recordings)
    except OSError as error:
        fix = "the server records into this folder: make it writable, or move away a file of this name"
        return Finding(Mark.WRONG, "disk", str(error), fix=fix)
    folder = recordings.absolute()
    while not folder.exists():
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    text = f"{free_bytes / 1e9:.1f} GB free for {recordings}"
    if free_bytes < LEAST_FREE_BYTES:
        fix = f"free some: the server records only above {LEAST_FREE_BYTES / 1e6:g} MB"
        return Finding(Mark.WRONG, "disk", text, fix=fix)
    if free_bytes < SETUP_BYTES:
        return Finding(Mark.NOTE, "disk", f"{text}: an hour of recording takes up to 1 GB, the setup 3 GB")
    return Finding(Mark.OK, "disk", text)


def _browser(port: int) -> Finding:
    try:
        webbrowser.get()
    except webbrowser.Error:
        text = "none that can be opened here (no screen, or none installed)"
        fix = f"watch the page from another one: ssh -L {port}:127.0.0.1:{port} this-machine"
        return Finding(Mark.NOTE, "browser", text, fix=fix)
    return Finding(Mark.OK, "browser", f"found; the page is http://127.0.0.1:{port}/")
