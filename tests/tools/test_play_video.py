"""Videos played to a server: made of real frames, read back, and seen without depth."""

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image
from support.live import WATCHDOG
from support.recorded_session import SHIPPED, happened, read, real_frames
from support.waiting import wait_until

from server.flight.events import Received, Seen
from tools import play_video
from tools.simulator.recorded import UnreadableImageError
from tools.simulator.server_process import running_server
from tools.simulator.video import LARGEST_PX, middle_square, open_video


def save_video(path, images, fps: float):
    """Write (H, W, 3) RGB images as a file that needs no codec beyond OpenCV's own."""
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (width, height))
    assert writer.isOpened()
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()


def greys(count: int) -> list[np.ndarray]:
    """The number of a picture is a tenth of its grey."""
    return [np.full((64, 96, 3), 10 * number, np.uint8) for number in range(count)]


@pytest.mark.parametrize(
    ("fps", "wanted", "taken", "played"),
    [(10.0, 5.0, [0, 2, 4, 6, 8], 5.0), (10.0, 4.0, [0, 2, 5, 8], 4.0), (2.0, 5.0, [*range(10)], 2.0)],
)
def test_pictures_are_taken_as_they_are_due_and_a_slow_video_is_played_as_it_is(tmp_path, fps, wanted, taken, played):
    save_video(tmp_path / "video.avi", greys(10), fps)
    with open_video(str(tmp_path / "video.avi"), wanted) as video:
        assert video.frames_per_s == pytest.approx(played)
        numbers = [round(float(picture.image.mean()) / 10) for picture in video]
    assert numbers == taken


def test_a_video_of_pictures_that_are_too_large_is_refused_before_they_are_decoded(tmp_path, capsys, monkeypatch):
    """As a folder's are; a picture of 5000×4000 pixels, each with the same colour, takes 300 kB."""
    _, jpeg = cv2.imencode(".jpg", np.zeros((4000, 5000), np.uint8))
    (tmp_path / "large.mjpeg").write_bytes(3 * jpeg.tobytes())

    def fail(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "cvtColor", fail)
    assert play_video.main([str(tmp_path / "large.mjpeg"), "--server", "http://127.0.0.1:9"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("play_video: expected pictures of at most 16,777,216 pixels in ")
    assert line.endswith("large.mjpeg, got 5000×4000")


def test_a_folder_is_played_in_order_and_what_is_no_image_is_told(tmp_path):
    for number, image in enumerate(greys(3)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    (tmp_path / "1.png").write_bytes(b"no image")
    with open_video(str(tmp_path), 5.0) as video:
        first, second, third = video
    assert (first.name, third.name) == ("0.png", "2.png")
    assert (third.image == 20).all()
    assert isinstance(second, UnreadableImageError)


def test_photos_of_a_turned_camera_are_played_as_viewers_show_them(tmp_path):
    """A phone held upright stores a lying picture, and the way to turn it: 6 is by 90° to the right."""
    lying, turned = np.zeros((64, 64, 3), np.uint8), Image.Exif()
    lying[:, :32] = 200  # its left half is the upper half of the picture
    turned[ExifTags.Base.Orientation] = 6
    Image.fromarray(lying).save(tmp_path / "turned.jpeg", exif=turned)
    Image.fromarray(lying).save(tmp_path / "unknown.jpeg", exif=b"Exif\0\0no such notes")
    with open_video(str(tmp_path), 5.0) as video:
        seen, as_stored = (picture.image for picture in video)
    assert (seen[:24].min() > 150, seen[40:].max() < 50) == (True, True)
    assert (as_stored[:, :24].min() > 150, as_stored[:, 40:].max() < 50) == (True, True)


def test_a_picture_of_16_bits_is_told_and_not_sent_white(tmp_path):
    Image.fromarray(np.full((64, 64), 20_000, np.uint16)).save(tmp_path / "deep.png")
    with open_video(str(tmp_path), 5.0) as video:
        (told,) = video
    assert str(told).endswith("deep.png, got: grey of more than 8 bits (I;16)")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK"])
def test_a_picture_of_odd_size_in_any_mode_is_played(tmp_path, mode):
    name = "odd.jpeg" if mode == "CMYK" else "odd.png"
    Image.new("RGB", (33, 47), (102, 102, 102)).convert(mode).save(tmp_path / name)
    with open_video(str(tmp_path), 5.0) as video:
        (picture,) = video
    assert picture.image.shape == (33, 33, 3)
    assert np.abs(picture.image.astype(int) - 102).max() <= 2


def test_a_picture_that_is_too_small_for_the_server_is_told(tmp_path):
    Image.new("RGB", (300, 15)).save(tmp_path / "small.png")
    save_video(tmp_path / "small.avi", [np.zeros((8, 8, 3), np.uint8)], 5.0)
    for source, name in ((tmp_path, "small.png"), (tmp_path / "small.avi", "picture 1")):
        with open_video(str(source), 5.0) as video:
            (told,) = video
        assert str(told).startswith(f"{name}: expected a picture of at least 16 px, got ")


def test_the_square_in_the_middle_is_sent_as_large_as_the_server_takes():
    image = np.zeros((1080, 1920, 3), np.uint8)
    image[:, 420:1500] = 200
    assert middle_square(image).shape == (LARGEST_PX, LARGEST_PX, 3)
    assert (middle_square(image) == 200).all()
    assert middle_square(image[:300, :200]).shape == (200, 200, 3)


def test_a_network_is_tried_on_a_video_and_the_server_records_whom_it_sees_and_where(tmp_path, data_dir):
    """Real frames of the hero, the camera 3 m high and looking down by 30°."""
    images = [
        cv2.cvtColor(cv2.imdecode(np.frombuffer(frame.image, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        for frame in real_frames(data_dir, "following_images", 12)
    ]
    save_video(tmp_path / "video.avi", images, 5.0)
    with running_server(SHIPPED, "--record", str(tmp_path / "recordings"), *WATCHDOG) as server:
        assert play_video.main([str(tmp_path / "video.avi"), "--server", server.url, "--fps", "5"]) == 0
        wait_until(lambda: any(" MB into " in line for line in server.log), "the recording finished")
        server.stop()
    (file,) = (tmp_path / "recordings").glob("*.mcap")
    assert read(file)[0].end_reason
    events = happened(file)
    arguments = [each.argument for each in events if isinstance(each.event, Received)]
    assert len(arguments) == 12
    assert not any("depth_image" in argument for argument in arguments)
    sightings = [sighting for each in events if isinstance(each.event, Seen) for sighting in each.event.sightings]
    placed = [sighting.place for sighting in sightings if sighting.is_candidate and sighting.place is not None]
    assert placed, f"expected the hero among {len(sightings)} sightings"
    assert all(-1.0 < place.position_m[2] < 2.5 and place.depth_m < 20.0 for place in placed)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["99999999999999999999"], "expected a camera's number up to 99, got 99999999999999999999"),
        (["0", "--fps", "1e-300"], "expected --fps from 0.001 to 1000, got 1e-300"),  # nobody can wait so long
    ],
)
def test_numbers_without_sense_are_refused_in_one_line(arguments, reason, capsys):
    assert play_video.main(arguments) == 2
    assert capsys.readouterr().err.endswith(f"{reason}\n")


def test_a_server_that_is_not_there_is_told_in_one_line(tmp_path, capsys):
    save_video(tmp_path / "video.avi", greys(3), 5.0)
    assert play_video.main([str(tmp_path / "video.avi"), "--server", "http://127.0.0.1:9"]) == 1
    assert capsys.readouterr().err.startswith("play_video: ")
