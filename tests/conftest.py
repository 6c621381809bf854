"""Where the tests find the recorded dataset and what lies beside it; they say so when they skip without it."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("FOLLOWME_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("hostile_messages", "how many messages tests/hostile sends to a server")
    parser.addini("hostile_seed", "decides which")


def pytest_report_header() -> str:
    if DATA.is_dir():
        return f"dataset: {DATA}"
    return f"dataset: NONE at {DATA} (set FOLLOWME_DATA): every test on real frames will be skipped"


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
    """A recording of all that can happen, by the real server; what was sent, and what the client was told."""
    from support.recorded_session import record_everything  # much to import for the tests that need no recording

    return record_everything(tmp_path_factory.mktemp("recorded"), data_dir)
