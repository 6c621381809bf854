import base64
import gc
import math
import weakref

import pytest

from server.wire.messages import (
    BadFrameError,
    Frame,
    Pose,
    create_box_marker,
    decimal_separator,
    object_detected,
    object_lost,
    parse_numbers,
    parse_sensor_frame,
    parse_timestamp,
    shorten,
)

IMAGE = base64.b64encode(b"any bytes").decode()


def frame(**changes: object) -> dict[str, object]:
    """A well-formed sensor_frame; a change to None leaves the field out."""
    fields: dict[str, object] = {
        "timestamp": "1504814505.23149",
        "pose": "1.0000,2.0000,3.0000,0.0000,0.0000,90.0000",
        "gimbal_pose": "1.0000,2.0000,2.9000,-0.0000,-30.0000,-270.0000",
        "rgb_image": IMAGE,
        "depth_image": IMAGE,
    }
    return {key: value for key, value in {**fields, **changes}.items() if value is not None}


def test_a_received_value_is_shown_shortened():
    assert shorten("a" * 100) == f"{'a' * 60!r}… (100 characters)"
    assert shorten({"a": 1}) == "dict of 1"
    assert shorten((1, "a", None)) == "(1, 'a', None)"
    assert len(shorten(tuple("a" * 1000 for _ in range(1000)))) <= 60


def test_a_frame_as_quadsim_sends_it_is_understood():
    parsed = parse_sensor_frame(frame())
    assert parsed.timestamp_s == 1504814505.23149
    assert parsed.gimbal_pose == Pose(1.0, 2.0, 2.9, 0.0, -30.0, -270.0)
    assert parsed.rgb_image == parsed.depth_image == b"any bytes"


def test_a_frame_may_come_without_a_depth_image_and_null_is_none():
    assert parse_sensor_frame(frame(depth_image=None)).depth_image is None
    with pytest.raises(BadFrameError, match="depth_image: expected a PNG in base64, got None"):
        parse_sensor_frame({**frame(), "depth_image": None})


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1.0000,-2.5000", [1.0, -2.5]),
        ("1,234.5000,0.0000", [1234.5, 0.0]),  # en: thousands set off by a comma
        ("12,3400,1,5000,-0,0000,359,1000", [12.34, 1.5, 0.0, 359.1]),  # de, fr, …: decimal commas
        ("1.234,5000,0,0000", [1234.5, 0.0]),  # de
        ("1\u00a0234,5000,2,0000", [1234.5, 2.0]),  # fr before 2018
        ("1\u202f234,5000,2,0000", [1234.5, 2.0]),  # fr since
        ("1’234.5000,-2.0000", [1234.5, -2.0]),  # de-CH
        ("-1,234,567.5000,2.0000", [-1234567.5, 2.0]),
        ("\u22121,5000,2,0000", [-1.5, 2.0]),  # sv: a minus sign, not a hyphen
        ("\u061c-12٫3400,1٫0000", [-12.34, 1.0]),  # ar: a mark of writing direction before the sign
        ("1,-2.5,3e1", [1.0, -2.5, 30.0]),  # not N4: plain numbers
    ],
)
def test_numbers_are_understood_in_any_locale(text, numbers):
    assert parse_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "1.0000,", "1.0000,,2.0000", "1.0000;2.0000", "one,two", "1.0000,two"])
def test_what_is_no_list_of_numbers_is_refused(text):
    assert parse_numbers(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1504814505.23149", 1504814505.23149),
        ("1504814505,23149", 1504814505.23149),
        ("1,504,814,505.2315", 1504814505.2315),
        ("1.504.814.505,2315", 1504814505.2315),
        ("1\u00a0504\u00a0814\u00a0505,2315", 1504814505.2315),
    ],
)
def test_timestamps_are_understood_in_any_locale(text, seconds):
    assert parse_timestamp(text) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("timestamp", [None, "", "nan", "inf", "yesterday", 5, ["1"], "9" * 400])
def test_a_senseless_timestamp_is_no_reason_to_drop_a_frame(timestamp):
    assert parse_sensor_frame(frame(timestamp=timestamp)).timestamp_s is None


@pytest.mark.parametrize(
    ("changes", "field", "received"),
    [
        ({"rgb_image": None}, "rgb_image", "no such key"),
        ({"pose": None}, "pose", "no such key"),
        ({"gimbal_pose": None}, "gimbal_pose", "no such key"),
        ({"rgb_image": 5}, "rgb_image", "5"),
        ({"rgb_image": {"_placeholder": True, "num": 0}}, "rgb_image", "dict of 2"),
        ({"rgb_image": "not base64!"}, "rgb_image", "not base64!"),
        ({"rgb_image": IMAGE[:-1]}, "rgb_image", "padding"),
        ({"depth_image": "größer"}, "depth_image", "größer"),
        ({"depth_image": ""}, "depth_image", "nothing"),
        ({"depth_image": 0}, "depth_image", "0"),
        ({"pose": [1, 2, 3, 4, 5, 6]}, "pose", "list of 6"),
        ({"pose": "1.0000,2.0000,3.0000"}, "pose", "3 numbers"),
        ({"pose": "1,0000,2,0000,3,0000"}, "pose", "3 numbers"),  # in decimal commas, not six numbers
        ({"gimbal_pose": "nan,2,3,4,5,6"}, "gimbal_pose", "nan"),
        ({"gimbal_pose": "1,2,3,4,5,inf"}, "gimbal_pose", "inf"),
        ({"gimbal_pose": "1e9,2,3,4,5,6"}, "gimbal_pose", "1e9"),
        ({"pose": "1.0000," * 1000}, "pose", "7000 characters"),
    ],
)
def test_a_bad_field_is_named_with_what_came(changes, field, received):
    with pytest.raises(BadFrameError) as caught:
        parse_sensor_frame(frame(**changes))
    assert caught.value.field == field
    assert received in caught.value.received
    assert len(str(caught.value)) < 250, "one line that can be read"


@pytest.mark.parametrize("data", [None, [], "text", 5, ["a"], True])
def test_an_argument_that_is_no_object_is_refused(data):
    with pytest.raises(BadFrameError, match="expected a JSON object"):
        parse_sensor_frame(data)


class Argument(list):
    """An argument that no frame has, and that allows a weak reference to it."""


def test_what_a_bad_frame_brought_is_forgotten_with_it():
    def take() -> weakref.ref:
        frame = Frame.read(1, 0.0, Argument())  # on the stack that the mistake in it is raised on
        assert isinstance(frame.content, BadFrameError)
        return weakref.ref(frame.argument)

    gc.disable()
    try:
        assert take()() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("1.0000,-2.5000", "."),
        ("1,234.5000,0.0000", "."),
        ("1.234,5000,0,0000", ","),
        ("12٫3400,0٫0000", "٫"),
        ("1,-2.5", "."),
        ("nonsense", "."),
    ],
)
def test_the_decimal_separator_is_told(text, separator):
    assert decimal_separator(text) == separator


def test_commands_have_one_json_object_as_quadsim_needs_it():
    assert object_detected([1, 2, 3]) == ("object_detected", {"coords": [1.0, 2.0, 3.0]})
    assert object_lost() == ("object_lost", {"data": ""})
    marker = create_box_marker(7, [1, 2, 3], (0.7, 0.7, 2.0)).payload
    assert marker == {
        "id": 7,
        "pose": [1.0, 2.0, 3.0, 0.0, 0.0, 0.0],
        "dimensions": [0.7, 0.7, 2.0],
        "color": [0.0, 0.0, 1.0, 0.1],
        "duration": 0.4,
    }


@pytest.mark.parametrize("position", [[1, 2], [1, 2, math.nan], [1, 2, math.inf]])
def test_no_command_carries_a_point_without_three_finite_coordinates(position):
    with pytest.raises(ValueError, match="three finite coordinates"):
        object_detected(position)
