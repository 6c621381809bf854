"""Fixtures for the recorded dataset and the folders beside it; tests that skip without them say so."""

import logging
import os
import signal
from pathlib import Path

import pytest

import model  # noqa: F401  (imported before OpenVINO, so that no test reports to Google Analytics)

# With this set, each program that a test starts would compile all modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A script's `&` has Ctrl-C ignored, and each program that a test interrupts would inherit this and go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Modules and calls that start servers or browsers, render worlds, or train or convert networks.
SLOW_MODULES = (
    "hostile/test_recordings.py",
    "model/engines/test_engines.py",
    "model/engines/test_inference_client.py",
    "model/engines/test_kserve.py",
    "model/engines/test_remote.py",
    "model/test_training.py",
    "server/test_follower.py",
    "server/test_fronts.py",
    "server/test_real_frames.py",
    "server/test_remote_inference.py",
    "server/watch/test_reader.py",
    "test_lean_install.py",
    "tools/test_check_readme.py",
    "tools/test_closed_loop.py",
    "tools/test_cluster.py",
    "tools/test_commands.py",
    "tools/test_compare.py",
    "tools/test_learning_curve.py",
    "tools/test_convert.py",
    "tools/test_demo.py",
    "tools/test_doctor.py",
    "tools/test_evaluate.py",
    "tools/test_export_dataset.py",
    "tools/test_image.py",
    "tools/test_loop.py",
    "tools/test_measuring_fleet.py",
    "tools/test_quantize.py",
    "tools/test_recording.py",
    "tools/test_repair.py",
    "tools/test_replay.py",
    "tools/test_scene.py",
    "tools/test_simulate.py",
    "tools/test_soak.py",
    "tools/test_teach.py",
    "tools/test_world.py",
)
SLOW_FIXTURES = {"browser", "killed", "opened_alone", "samples", "searched", "server"}
SLOW_CALLS = {"in_fresh_python", "running_server"}  # of a test itself

DATA = Path(os.environ.get("FOLLOWME_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("hostile_messages", "how many messages tests/hostile sends to a server")
    parser.addini("hostile_seed", "decides which")


def pytest_report_header() -> str:
    if DATA.is_dir():
        return f"dataset: {DATA}"
    return f"dataset: NONE at {DATA} (set FOLLOWME_DATA): every test on real frames will be skipped"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, which `make quick` leaves out."""
    tests = Path(__file__).parent
    for name in SLOW_MODULES:
        assert (tests / name).exists(), f"expected the slow tests {name}, found none"
    for item in items:
        assert isinstance(item, pytest.Function)
        if (
            item.path.relative_to(tests).as_posix() in SLOW_MODULES
            or SLOW_FIXTURES.intersection(item.fixturenames)
            or SLOW_CALLS.intersection(item.function.__code__.co_names)
        ):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The dataset: `train`, `validation`, `sample_evaluation_data`."""
    return _existing(DATA)


@pytest.fixture(scope="session")
def shared_dir(data_dir: Path) -> Path:
    """The folder of the dataset, with the reference answers `golden` and the network `legacy`."""
    for name in ("golden", "legacy"):
        _existing(data_dir.parent / name)
    return data_dir.parent


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"NO REAL DATA: looked for {folder}; set FOLLOWME_DATA to the dataset's folder")
    return folder


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory):
    """Converted networks of the tests stay out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def recorded_session(tmp_path_factory, data_dir):
    """A recording of all kinds of events, made by the real server; the frames sent, and the events the client got."""
    from support.recorded_session import record_everything  # much to import for the tests that need no recording

    return record_everything(tmp_path_factory.mktemp("recorded"), data_dir)


@pytest.fixture(autouse=True)
def log_levels():
    """Undo the levels that a command sets for its process when a test calls it."""
    loggers = [logging.getLogger(name) for name in ("", "server", "model", "follower")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)
