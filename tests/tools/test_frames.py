"""A frame's fields, string for string, and the depth that images without one are given."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from server.sight.geometry import QUADSIM_CAMERA, Camera, pixel_to_world, project
from server.wire.messages import Pose
from tools.simulator.frames import (
    encode_depth_png,
    encode_jpeg,
    format_n4,
    format_pose,
    format_timestamp,
    ground_depth_m,
    put_people_on_ground,
    sensor_frame_fields,
    unity_angles,
)

LOOKING_DOWN_30 = Pose(10.0, -20.0, 3.0, 0.0, 30.0, 90.0)


def decoded(field):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(field))))


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en", "1,234.5000"),
        ("de", "1.234,5000"),
        ("fr", "1\u00a0234,5000"),
        ("fr-narrow", "1\u202f234,5000"),
        ("ch", "1'234.5000"),
        ("ch-curly", "1\u2019234.5000"),
    ],
)
def test_numbers_are_written_as_the_locale_writes_them(locale, expected):
    assert format_n4(1234.5, locale) == expected
    assert format_n4(-1234.5, locale) == "-" + expected


def test_n4_has_four_decimals_and_keeps_a_negative_zero():
    assert [format_n4(x) for x in (0.0, -0.0, 0.00004, 999.99996, 1e6)] == [
        "0.0000",
        "-0.0000",
        "0.0000",
        "1,000.0000",
        "1,000,000.0000",
    ]


def test_an_unknown_locale_is_an_error():
    with pytest.raises(ValueError, match=r"expected a locale of .*, got 'tlh'"):
        format_n4(1.0, "tlh")


def test_a_pose_is_the_recorded_one():
    assert format_pose(Pose(0, 0, 5, -0.0, -30, -0.0)) == "0.0000,0.0000,5.0000,-0.0000,-30.0000,-0.0000"


def test_a_pose_with_decimal_commas_has_twelve_fields():
    assert format_pose(Pose(12.34, 1, 2, 3, 4, 5), "de") == "12,3400,1,0000,2,0000,3,0000,4,0000,5,0000"


@pytest.mark.parametrize(
    ("angles_deg", "reported_deg"),
    [
        ((0.0, 30.0, 90.0), (0.0, 30.0, -270.0)),
        ((0.0, -10.0, -90.0), (0.0, 350.0, -90.0)),
        ((5, 0, 180), (-355, 0, -180)),
    ],
)
def test_angles_are_reported_as_of_unitys_from_0_to_360(angles_deg, reported_deg):
    """(−e_z, e_x, −e_y) with each e in [0°, 360°)."""
    assert unity_angles(Pose(1.0, 2.0, 3.0, *angles_deg)) == (1.0, 2.0, 3.0, *reported_deg)


def test_timestamps_have_fifteen_digits_and_the_locales_decimal_sign():
    assert format_timestamp(1504814505.23149) == "1504814505.23149"
    assert format_timestamp(1504814505.231) == "1504814505.231"
    assert format_timestamp(1504814505.23149, "de") == "1504814505,23149"


def test_a_frame_holds_quadsims_strings_in_quadsims_order():
    image = np.full((256, 256, 3), (200, 20, 30), np.uint8)
    fields = sensor_frame_fields(image, np.full((256, 256), 50.0), LOOKING_DOWN_30, timestamp_s=1504814505.23149)
    assert list(fields) == ["timestamp", "pose", "gimbal_pose", "rgb_image", "depth_image"]
    assert all(isinstance(value, str) for value in fields.values())
    assert fields["timestamp"] == "1504814505.23149"
    assert fields["gimbal_pose"] == "10.0000,-20.0000,3.0000,0.0000,30.0000,90.0000"
    assert fields["pose"] == "10.0000,-20.0000,3.0000,0.0000,0.0000,90.0000"
    assert np.abs(decoded(fields["rgb_image"]).astype(int) - image).max() <= 5
    depth = decoded(fields["depth_image"])
    assert depth.shape == (256, 256, 4)
    # 255 · 50/100 = 127.5, rounded to even
    assert np.unique(depth.reshape(-1, 4), axis=0).tolist() == [[128, 128, 128, 255]]


def test_the_jpeg_starts_like_the_recorded_one():
    """Same quality, same tables: the bytes of the recorded session's first frame."""
    jpeg = base64.b64encode(encode_jpeg(np.zeros((256, 256, 3), np.uint8))).decode()
    assert jpeg.startswith("/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQg")


def test_encoded_images_are_sent_untouched():
    fields = sensor_frame_fields(b"any jpeg", b"any png", LOOKING_DOWN_30)
    assert base64.b64decode(fields["rgb_image"]) == b"any jpeg"
    assert base64.b64decode(fields["depth_image"]) == b"any png"


def test_depth_beyond_far_infinite_or_unknown_is_255():
    depth_m = np.array([[0.0, 10.0, 49.9], [50.1, np.inf, np.nan]])
    grey = np.asarray(Image.open(io.BytesIO(encode_depth_png(depth_m, far_m=50.0))))[..., 0]
    assert grey.tolist() == [[0, 51, 254], [255, 255, 255]]


def test_straight_down_the_ground_is_as_deep_as_the_camera_is_high():
    depth_m = ground_depth_m(QUADSIM_CAMERA, Pose(0, 0, 7.0, 0, 90.0, 0))
    np.testing.assert_allclose(depth_m, 7.0)


def test_a_level_camera_sees_ground_below_the_horizon_only():
    depth_m = ground_depth_m(QUADSIM_CAMERA, Pose(0, 0, 3.0, 0, 0, 0))
    assert np.isinf(depth_m[:128]).all()
    # The lowest row looks down by 127.5 px of f = 221.70 px: 3 m · 221.70 / 127.5
    np.testing.assert_allclose(depth_m[255], 3.0 * 221.7025 / 127.5, rtol=1e-5)


def test_every_ground_pixel_lifts_back_onto_the_ground():
    pose = Pose(44.1, -20.0, 10.9, -3.7, 45.8, -108.1)
    depth_m = ground_depth_m(QUADSIM_CAMERA, pose, ground_z_m=0.5)
    for row, column in [(0, 0), (0, 255), (100, 30), (255, 255)]:
        point = pixel_to_world((column + 0.5, row + 0.5), depth_m[row, column], QUADSIM_CAMERA, pose)
        assert point[2] == pytest.approx(0.5)


def test_a_person_stands_upright_where_the_feet_are():
    feet, head = np.array([10.0, -16.0, 0.0]), np.array([10.0, -16.0, 1.75])  # 4 m ahead of the camera
    is_person = np.zeros((256, 256), bool)
    low, high = (project(point, QUADSIM_CAMERA, LOOKING_DOWN_30) for point in (feet, head))
    is_person[int(high.v_px) : int(low.v_px) + 1, 125:131] = True
    ground_m = ground_depth_m(QUADSIM_CAMERA, LOOKING_DOWN_30)
    depth_m = put_people_on_ground(ground_m, is_person, QUADSIM_CAMERA, LOOKING_DOWN_30)
    assert depth_m[int(low.v_px), 128] == pytest.approx(low.depth_m, abs=0.03)
    assert depth_m[int(high.v_px), 128] == pytest.approx(high.depth_m, abs=0.03)
    np.testing.assert_array_equal(depth_m[~is_person], ground_m[~is_person])


def test_a_person_above_the_horizon_keeps_the_depth_of_nothing():
    is_person = np.zeros((256, 256), bool)
    is_person[10:20, 10:20] = True
    level = Pose(0, 0, 3.0, 0, 0, 0)
    depth_m = put_people_on_ground(ground_depth_m(QUADSIM_CAMERA, level), is_person, QUADSIM_CAMERA, level)
    assert np.isinf(depth_m[is_person]).all()


def test_other_cameras_give_depth_in_their_own_size():
    camera = Camera(image_px=64, width_px=96, vertical_fov_deg=40.0)
    assert ground_depth_m(camera, LOOKING_DOWN_30).shape == (64, 96)


def test_fields_are_json_whatever_the_locale():
    fields = sensor_frame_fields(b"", b"", Pose(1234.5, 0, 0, 0, 0, 0), locale="fr-narrow")
    assert json.loads(json.dumps(fields))["pose"].startswith("1\u202f234,5000,")
