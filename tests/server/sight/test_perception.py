import base64
import io
import threading
import time

import numpy as np
import pytest
from PIL import Image
from support.fake_engine import GREY, MAGENTA, RED, ColourEngine

from server.sight.geometry import Camera, Pose
from server.sight.perception import (
    Failed,
    Job,
    NotUnderstood,
    Perception,
    Seen,
    decode_depth,
    decode_rgb,
)
from server.wire.messages import BadFrameError, SensorFrame

POSE = Pose(0.0, 0.0, 5.0, 0.0, 10.0, 0.0)


def encoded(colour=GREY, size=(256, 256), kind="JPEG", mode="RGB") -> bytes:
    file = io.BytesIO()
    image = np.full((size[1], size[0], 3), colour, np.uint8)
    image[size[1] // 3 : size[1] // 2, size[0] // 3 : size[0] // 2] = RED
    Image.fromarray(image).convert(mode).save(file, kind)
    return file.getvalue()


DEPTH = encoded((40, 40, 40), kind="PNG", mode="RGBA")


def job(session: str, rgb_image: bytes, depth_image: bytes = DEPTH) -> Job:
    return Job(session, SensorFrame(None, rgb_image, depth_image, POSE, POSE), time.monotonic())


class GatedEngine(ColourEngine):
    """Waits for a test to open the gate before each batch."""

    def __init__(self) -> None:
        super().__init__(most_per_batch=4)
        self.gate = threading.Semaphore(0)
        self.batches: list[int] = []

    def infer(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        assert self.gate.acquire(timeout=10)
        return super().infer(images)


@pytest.fixture
def engine() -> GatedEngine:
    return GatedEngine()


@pytest.fixture
def results() -> list:
    return []


@pytest.fixture
def perception(engine, results):
    subject = Perception(engine, Camera(), deliver=results.append)
    subject.start()
    yield subject
    for _ in range(10):
        engine.gate.release()
    subject.stop()


def wait_for(condition) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s, "expected the perception to get there within 10 s"
        time.sleep(0.01)


def test_only_the_newest_frame_of_each_session_waits_and_sessions_share_a_batch(perception, engine, results):
    first, second, third, other = (job(session, encoded()) for session in ("a", "a", "a", "b"))
    assert perception.submit(first) is False
    wait_for(lambda: engine.batches == [1])  # the first is in work
    assert perception.submit(second) is False
    assert perception.submit(other) is False
    assert perception.submit(third) is True, "it took the second one's place"
    engine.gate.release()
    wait_for(lambda: engine.batches == [1, 2])
    engine.gate.release()
    wait_for(lambda: len(results) == 3)
    assert [result.job for result in results] == [first, third, other]


def test_the_hero_is_found_and_an_empty_scene_is_empty(perception, engine, results):
    engine.gate.release()
    perception.submit(job("a", encoded()))
    wait_for(lambda: len(results) == 1)
    engine.gate.release()
    empty = io.BytesIO()
    Image.new("RGB", (256, 256), GREY).save(empty, "JPEG")
    perception.submit(job("a", empty.getvalue()))
    wait_for(lambda: len(results) == 2)
    found, nothing = results
    assert isinstance(found, Seen)
    # The red square covers 1/3 to 1/2 of the image each way.
    (target,) = found.targets
    np.testing.assert_allclose(target.centroid_px, (256 * 5 / 12, 256 * 5 / 12), atol=2)
    assert isinstance(nothing, Seen)
    assert nothing.targets == []


def test_all_that_may_be_the_hero_is_told_the_largest_first(perception, engine, results):
    engine.gate.release()
    image = np.full((256, 256, 3), GREY, np.uint8)
    image[64:96, 32:64] = image[64:160, 160:224] = RED
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    perception.submit(job("a", file.getvalue()))
    wait_for(lambda: len(results) == 1)
    large, small = results[0].targets
    np.testing.assert_allclose(large.centroid_px, (192, 112), atol=2)
    np.testing.assert_allclose(small.centroid_px, (48, 80), atol=2)


def test_a_bad_image_is_told_and_does_not_spoil_the_batch(perception, engine, results):
    perception.submit(job("a", encoded()))
    wait_for(lambda: engine.batches == [1])
    perception.submit(job("b", b"no image"))
    perception.submit(job("c", encoded(), b"no image"))
    perception.submit(job("d", encoded()))
    for _ in range(2):
        engine.gate.release()
    wait_for(lambda: len(results) == 4)
    by_session = {result.job.session: result for result in results}
    assert isinstance(by_session["b"], NotUnderstood)
    assert by_session["b"].error.field == "rgb_image"
    assert isinstance(by_session["c"], NotUnderstood)
    assert by_session["c"].error.field == "depth_image"
    assert isinstance(by_session["d"], Seen)


def test_a_network_that_raises_is_told_and_the_next_frame_is_served(perception, engine, results):
    magenta = io.BytesIO()
    Image.new("RGB", (256, 256), MAGENTA).save(magenta, "JPEG")
    perception.submit(job("a", magenta.getvalue()))
    engine.gate.release()
    wait_for(lambda: len(results) == 1)
    assert isinstance(results[0], Failed)
    assert perception.trouble(1.0) == "perception failed on the last frame"
    perception.submit(job("a", encoded()))
    engine.gate.release()
    wait_for(lambda: len(results) == 2)
    assert isinstance(results[1], Seen)
    assert perception.trouble(1.0) is None


def test_a_network_that_hangs_counts_as_stalled(perception, engine):
    perception.submit(job("a", encoded()))
    wait_for(lambda: engine.batches == [1])
    assert perception.trouble(patience_s=60.0) is None
    assert "stalled" in perception.trouble(patience_s=0.0)


def test_what_waits_of_a_session_that_has_gone_is_dropped(perception, engine, results):
    perception.submit(job("a", encoded()))
    wait_for(lambda: engine.batches == [1])
    perception.submit(job("b", encoded()))
    perception.forget("b")
    perception.submit(job("c", encoded()))
    for _ in range(3):
        engine.gate.release()
    wait_for(lambda: len(results) == 2)
    assert [result.job.session for result in results] == ["a", "c"]


def test_a_perception_that_does_not_run_is_trouble(engine):
    assert Perception(engine, Camera(), print).trouble(1.0) == "perception is not running"


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_camera_images_of_any_colour_mode_and_size_come_out_square_and_rgb(mode):
    image, size = decode_rgb(encoded(size=(320, 240), mode=mode), 160)
    assert image.shape == (160, 160, 3)
    assert size == (320, 240)


def test_a_wide_image_is_placed_by_its_own_width(perception, engine, results):
    """Its red square is 1/12 of the width left of the middle: on a 4:3 image 4/3 as far from it as on a square one."""
    for _ in range(2):
        engine.gate.release()
    for number, size in enumerate(((240, 240), (320, 240))):
        perception.submit(job(str(number), encoded(size=size)))
        wait_for(lambda number=number: len(results) == number + 1)
    square, wide = (result.targets[0].position_m for result in results)
    assert wide[1] == pytest.approx(square[1] * 4 / 3, rel=0.05)
    assert wide[2] == pytest.approx(square[2], rel=0.05)


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("JPEG", "L")])
def test_depth_images_give_their_red_channel(kind, mode):
    file = io.BytesIO()
    Image.new("RGBA", (64, 48), (77, 77, 77, 255)).convert(mode).save(file, kind)
    depth_255 = decode_depth(file.getvalue())
    assert depth_255.shape == (48, 64)
    assert depth_255.dtype == np.uint8
    np.testing.assert_allclose(depth_255, 77, atol=1)


def test_a_depth_image_of_16_bits_is_refused():
    file = io.BytesIO()
    Image.fromarray(np.full((32, 32), 40000, np.uint16)).save(file, "PNG")
    with pytest.raises(BadFrameError, match="8 bits"):
        decode_depth(file.getvalue())


def test_a_gif_is_refused_though_pillow_could_read_it():
    file = io.BytesIO()
    Image.new("L", (64, 64)).save(file, "GIF")
    with pytest.raises(BadFrameError, match="expected a whole JPEG or PNG"):
        decode_rgb(file.getvalue(), 160)


def test_the_message_of_a_bad_image_is_one_short_line():
    with pytest.raises(BadFrameError) as caught:
        decode_rgb(base64.b64encode(bytes(5000)), 160)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
