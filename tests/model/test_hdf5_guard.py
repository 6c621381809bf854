"""Damaged HDF5 files on which libhdf5 hangs or crashes are refused."""

import pytest

from model import hdf5_guard
from model.hdf5_guard import NeverReadError, check_reading_ends
from model.loading import load_network

HANG_AT, HANG_BIT = 4201, 64  # of the legacy network: in the file's global heap


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "model_weights"
    file.write_bytes(b"no matter what")
    return file


def test_a_file_that_is_read_or_refused_passes(file, shared_dir):
    check_reading_ends(file)
    check_reading_ends(shared_dir / "legacy" / "model_weights")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("while True: pass", "not read within 0.1 s"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "libhdf5 crashes on"),
    ],
)
def test_a_file_on_which_the_library_hangs_or_crashes_is_refused(file, monkeypatch, program, words):
    monkeypatch.setattr(hdf5_guard, "_PROGRAM", program)
    if "within" in words:
        monkeypatch.setattr(hdf5_guard, "LONGEST_READ_S", 0.1)
    with pytest.raises(NeverReadError, match=words) as told:
        check_reading_ends(file)
    assert str(told.value).startswith(f"{file}: expected a whole HDF5 file")


def test_a_version_of_a_file_is_read_once(file, monkeypatch):
    check_reading_ends(file)
    monkeypatch.setattr(hdf5_guard, "_PROGRAM", "import os; os.abort()")
    check_reading_ends(file)
    file.write_bytes(b"another version")
    with pytest.raises(NeverReadError):
        check_reading_ends(file)


def test_a_legacy_network_with_a_flipped_bit_that_is_never_read_is_refused(tmp_path, shared_dir, monkeypatch):
    monkeypatch.setattr(hdf5_guard, "LONGEST_READ_S", 3.0)
    data = bytearray((shared_dir / "legacy" / "model_weights").read_bytes())
    data[HANG_AT] ^= HANG_BIT
    weights = tmp_path / "model_weights"
    weights.write_bytes(data)
    (tmp_path / "config_model_weights").write_bytes((shared_dir / "legacy" / "config_model_weights").read_bytes())
    with pytest.raises(NeverReadError, match="expected a whole HDF5 file"):
        load_network(weights)
    (tmp_path / "config_model_weights").unlink()
    with pytest.raises(NeverReadError, match="expected a whole HDF5 file"):  # looks for the config inside
        load_network(weights)
