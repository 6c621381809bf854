"""Parsers on any input that `hypothesis` generates: each returns a value or raises its own error, and no other."""

import contextlib
import io
import json
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.live import fields

from hostile.images import chunk, expensive_images, mutated, plain_images, png, segment
from model.engines.inference_protocol import ProtocolError
from model.engines.inference_service import read_request
from server.sight.images import decode_depth, decode_rgb
from server.sight.plain_image import UnusualImageError, plain_image
from server.wire import numbers
from server.wire.messages import BadFrameError, Frame, parse_numbers, parse_sensor_frame, parse_timestamp
from server.wire.websocket import is_packet
from tools.simulator.frames import LOCALES, format_n4

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
WHOLE = fields()
FIELDS = sorted(WHOLE)
METRES_OR_DEGREES = st.floats(-1e6, 1e6)


@given(JSON)
def test_any_argument_is_a_frame_or_a_clients_mistake(argument):
    frame = Frame.read(1, 0.0, argument)
    assert isinstance(frame.content, BadFrameError)
    assert "\n" not in str(frame.content)
    assert len(str(frame.content)) < 500


@given(st.fixed_dictionaries({}, optional={field: st.text() | JSON | st.just(WHOLE[field]) for field in FIELDS}))
def test_any_fields_are_a_frame_or_a_clients_mistake(argument):
    try:
        frame = parse_sensor_frame(argument)
    except BadFrameError as error:
        assert error.field in FIELDS
        assert "\n" not in str(error)
    else:
        assert all(map(math.isfinite, (*frame.pose, *frame.gimbal_pose)))
        assert frame.timestamp_s is None or math.isfinite(frame.timestamp_s)


@given(st.text(alphabet="0123456789.,-−'’ \u00a0\u202feE+naif", max_size=200))
def test_any_text_is_numbers_or_none(text):
    read = parse_numbers(text)
    assert read is None or (read and all(isinstance(number, float) for number in read))
    time_s = parse_timestamp(text)
    assert time_s is None or math.isfinite(time_s)


@given(st.lists(METRES_OR_DEGREES, min_size=6, max_size=6), st.sampled_from(sorted(LOCALES)))
def test_a_pose_of_any_locale_is_read_as_it_was_printed(pose, locale):
    text = ",".join(format_n4(number, locale) for number in pose)
    assert parse_numbers(text) == [float(f"{number:.4f}") for number in pose]


@given(st.text() | st.binary())
def test_any_message_is_a_packet_or_none(message):
    assert is_packet(message) in (True, False)
    assert not is_packet(message) or isinstance(message, str)


FINITE_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(FINITE_JSON)
def test_values_come_back_from_json_as_they_were(value):
    text = numbers.dumps(value)
    assert numbers.loads(text) == json.loads(text) == value


# --- requests to a fleet, which are read in the same way as a fleet's answers

HUGE = 10**4299  # the longest number that Python reads; it refuses to print two of them added
TENSORS = st.fixed_dictionaries(
    {"name": st.just("images"), "datatype": st.just("UINT8"), "shape": st.just([1, 1, 1, 3])},
    optional={"data": JSON | st.just([1, 2, 3]), "parameters": JSON | st.just({"binary_data_size": 3})},
)


@given(
    st.fixed_dictionaries({}, optional={"id": JSON, "inputs": JSON | st.lists(TENSORS, max_size=2)}),
    st.none() | st.integers(0, 300).map(str) | st.text(max_size=5),
    st.binary(max_size=6),
)
def test_any_message_is_a_request_to_infer_or_refused(content, json_bytes, data):
    with contextlib.suppress(ProtocolError):
        read_request(json.dumps(content).encode() + data, json_bytes, 1)


def test_numbers_of_thousands_of_digits_are_refused_in_a_request():
    with pytest.raises(ProtocolError, match=r"expected Inference-Header-Content-Length of at most 2, got 9{20}$"):
        read_request(b"{}", "9" * 5000, 1)
    empty = {"name": "images", "datatype": "UINT8", "shape": [0], "parameters": {"binary_data_size": 9 * HUGE}}
    with pytest.raises(ProtocolError, match=r"expected a size of 0 to 0 bytes, got 90{19}$"):
        read_request(json.dumps({"inputs": [empty] * 2}).encode(), None, 1)


# --- images


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n"]))
def test_any_bytes_are_a_picture_or_refused(data, beginning):
    with pytest.raises(UnusualImageError):  # a whole picture takes more bytes than that
        plain_image(beginning + data)


JPEG_SEGMENT = st.builds(segment, st.integers(0xC0, 0xFE), st.binary(max_size=40))
PNG_CHUNK = st.builds(
    chunk,
    st.sampled_from([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"zTXt", b"gAMA", b"abCd", b"ABCD"]),
    st.binary(max_size=40),
)


@given(st.lists(JPEG_SEGMENT, max_size=8), st.integers(0, 1))
def test_a_jpeg_with_any_segments_is_read_as_without_them_or_refused(segments, at_end):
    file = plain_images()["jpeg"]
    begin = file.index(b"\xff\xda") if at_end else 2
    assert_same_picture(file[:begin] + b"".join(segments) + file[begin:])


@given(st.lists(PNG_CHUNK, max_size=8), st.lists(PNG_CHUNK, max_size=8))
def test_a_png_with_any_chunks_is_read_as_without_them_or_refused(before, after):
    assert_same_picture(png((64, 48), before=b"".join(before), after=b"".join(after)))


@pytest.mark.parametrize("kind", plain_images())
@given(st.randoms(use_true_random=False))
def test_a_damaged_image_is_a_picture_or_refused(kind, rng):
    assert_same_picture(mutated(plain_images()[kind], rng))


def assert_same_picture(file: bytes) -> None:
    """Check that a file is refused, or that its kept part shows the same picture as the whole file."""
    try:
        kept = plain_image(file)
    except UnusualImageError as error:
        assert len(str(error)) < 300
        return
    assert len(kept.file) <= len(file)
    try:
        whole = np.asarray(Image.open(io.BytesIO(file), formats=("JPEG", "PNG")))
    except Exception:  # Pillow raises nearly anything
        return
    try:
        picture = np.asarray(Image.open(io.BytesIO(kept.file), formats=(kept.kind,)))
    except Exception as error:
        raise AssertionError(f"Pillow reads the file, but not what was kept of it: {error!r}") from error
    np.testing.assert_array_equal(picture, whole)


def cpu_s(file: bytes) -> float:
    """CPU time of decoding a file both ways; the least of three, because others use the caches, too."""

    def once() -> float:
        begin_s = time.thread_time()
        for decode in (decode_depth, lambda file: decode_rgb(file, 160)):
            with contextlib.suppress(BadFrameError):
                decode(file)
        return time.thread_time() - begin_s

    return min(once() for _ in range(3))


def test_no_image_costs_much_more_than_the_largest_photograph():
    """When decoders still got whole files, some took a thousand times as long."""
    largest_s = cpu_s(expensive_images()["noise of 640 × 480"])
    factors = {name: cpu_s(file) / largest_s for name, file in expensive_images().items()}
    assert max(factors.values()) < 5, factors
