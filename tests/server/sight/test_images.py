"""Encoded images to arrays, and those that are refused."""

import base64
import errno
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from support.images import encoded, saved

from server.sight.images import decode_depth, decode_rgb
from server.wire.messages import BadFrameError
from tools.simulator.server_process import REPOSITORY


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_camera_images_of_any_colour_mode_and_size_come_out_square_and_rgb(mode):
    image, size = decode_rgb(encoded(size=(320, 240), mode=mode), 160)
    assert image.shape == (160, 160, 3)
    assert size == (320, 240)


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("JPEG", "L")])
def test_depth_images_give_their_red_channel(kind, mode):
    file = io.BytesIO()
    Image.new("RGBA", (64, 48), (77, 77, 77, 255)).convert(mode).save(file, kind)
    depth_255 = decode_depth(file.getvalue())
    assert depth_255.shape == (48, 64)
    assert depth_255.dtype == np.uint8
    np.testing.assert_allclose(depth_255, 77, atol=1)


@pytest.mark.parametrize(
    ("size", "is_taken"), [((640, 480), True), ((641, 480), False), ((15, 15), False), ((64, 15), False)]
)
def test_an_image_of_a_size_that_no_camera_of_ours_has_is_refused(size, is_taken):
    file = saved(Image.new("L", size), "PNG")
    if is_taken:
        assert decode_depth(file).shape == size[::-1]
    else:
        with pytest.raises(BadFrameError, match="an image of at least 16 px and at most 307200 pixels"):
            decode_depth(file)


def test_a_depth_image_of_16_bits_is_refused():
    file = io.BytesIO()
    Image.fromarray(np.full((32, 32), 40000, np.uint16)).save(file, "PNG")
    with pytest.raises(BadFrameError, match="8 bits"):
        decode_depth(file.getvalue())


def test_a_gif_is_refused_though_pillow_could_read_it():
    file = io.BytesIO()
    Image.new("L", (64, 64)).save(file, "GIF")
    with pytest.raises(BadFrameError, match="expected a JPEG or PNG"):
        decode_rgb(file.getvalue(), 160)


def test_the_message_of_a_bad_image_is_one_short_line():
    with pytest.raises(BadFrameError) as caught:
        decode_rgb(base64.b64encode(bytes(5000)), 160)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_of_a_file_with_several_pictures_only_the_first_is_read():
    """Pillow would report it as an MPO and read parts that no camera image has."""
    file, first = io.BytesIO(), Image.new("RGB", (160, 160), (200, 100, 0))
    first.save(file, "MPO", save_all=True, append_images=[Image.new("RGB", (160, 160))])
    image, _ = decode_rgb(file.getvalue(), 160)
    np.testing.assert_allclose(image[80, 80], (200, 100, 0), atol=3)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENFILE, "Too many open files in system"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_what_this_machine_lacks_is_no_mistake_of_the_client(error, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(type(error)) as caught:
        decode_depth(encoded(size=(64, 64)))
    assert caught.value is error


def test_images_are_decoded_while_all_descriptors_are_in_use():
    program = """
import base64, resource, sys
import server.sight.images as images
files = [base64.b64decode(word) for word in sys.argv[1:]]
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
for file in files:
    print(images.decode_rgb(file, 32)[0].shape, images.decode_depth(file).shape)
"""
    picture = Image.new("RGB", (64, 64))
    files = [
        base64.b64encode(saved(image, kind)).decode()
        for image, kind in (
            (picture, "JPEG"),
            (picture, "PNG"),
            (picture.convert("P"), "PNG"),
            (picture.convert("1"), "PNG"),
        )
    ]
    printed = subprocess.run([sys.executable, "-c", program, *files], check=True, cwd=REPOSITORY, capture_output=True)
    assert printed.stdout.splitlines() == [b"(32, 32, 3) (64, 64)"] * 4


def test_importing_the_decoders_changes_nothing_in_the_process():
    program = "import warnings, cv2, numpy, openvino; from PIL import Image;"
    program += "before = Image.MAX_IMAGE_PIXELS, str(warnings.filters);"
    program += "import server.sight.images; print(before == (Image.MAX_IMAGE_PIXELS, str(warnings.filters)))"
    printed = subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY, capture_output=True)
    assert printed.stdout.split() == [b"True"]
