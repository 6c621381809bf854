"""Reading a camera's file; `tests/tools/test_preprocess_ims.py` tests the rest through the command."""

import io

import numpy as np
import pytest
from PIL import Image

from model.raw_recordings import read_camera


def test_every_cut_of_a_file_is_noticed(tmp_path):
    """A file that is still being written is too short. A file that lacks a pixel must not pass as a whole file."""
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8) // 128 * 60
    file = tmp_path / "cam1_00001.png"
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    whole = buffer.getvalue()
    last_checksum = len(whole) - 4  # of the chunk that says that the file ends
    for length in {*range(0, last_checksum, 97), *range(last_checksum - 30, last_checksum)}:
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"expected a whole PNG in .*cam1_00001\.png, got: "):
            read_camera(file)
    file.write_bytes(whole)
    np.testing.assert_array_equal(read_camera(file), pixels)
