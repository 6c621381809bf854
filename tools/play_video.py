"""Play a video, a folder of images or a camera to a running server, as QuadSim would but without depth images.

    python server/follower.py weights/model_weights --vertical-fov-deg 45 --record recordings
    python tools/play_video.py walk.mp4 --height-m 4 --pitch-deg 20
    python tools/play_video.py 0 --height-m 1.5 --pitch-deg 0          # the first camera of this machine

This is for trying a network on your own footage. The server places people by the ground and by their height, and its
page shows all people with their tracks. Only the square in the middle of each picture is sent because the networks were
trained on squares. The server needs the vertical field of view of this square. The camera is assumed to stand still.
Plays in real time, five pictures a second. OpenCV reads the video.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from model.command import command, command_parser, run_command
from model.options import add_options, check, from_options, option
from server.wire.messages import Pose
from tools.simulator.address import ServerAddress
from tools.simulator.player import fps_check, play_to
from tools.simulator.recorded import PlayedFrame, UnreadableImageError
from tools.simulator.video import Video, open_video


@dataclass(frozen=True)
class VideoSettings:
    """The options of this command.

    Raises:
        ValueError: if a setting is out of its range.
    """

    server: ServerAddress = option(ServerAddress(), "address of the server", parse=ServerAddress.parse, metavar="URL")
    height_m: float = option(3.0, "height of the camera over the ground, metres")
    pitch_deg: float = option(30.0, "how far the camera looks down, degrees below the horizon")
    fps: float = option(5.0, "pictures per second to send; QuadSim sends 5")
    limit: int | None = option(None, "play only this many pictures, the first ones; without it, all")

    def __post_init__(self) -> None:
        check(
            self,
            ("height_m", 0 < self.height_m <= 1000, "above 0 and at most 1000"),
            ("pitch_deg", -90 <= self.pitch_deg <= 90, "from -90 to 90"),
            fps_check(self.fps),
            ("limit", self.limit is None or self.limit >= 1, "of at least 1"),
        )


@command("play_video")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    source, settings = _parse(arguments)
    with open_video(source, settings.fps) as video:
        pose = Pose(0.0, 0.0, settings.height_m, 0.0, settings.pitch_deg, 0.0)
        frames = islice(_frames(video, pose), settings.limit)
        return play_to(settings.server, "play_video", frames, video.frames_per_s)


def _frames(video: Video, pose: Pose) -> Iterator[PlayedFrame | UnreadableImageError]:
    for picture in video:
        if isinstance(picture, UnreadableImageError):
            yield picture
        else:
            yield PlayedFrame(picture.name, picture.image, None, pose)


def _parse(arguments: Sequence[str] | None) -> tuple[str, VideoSettings]:
    parser = command_parser(__doc__)
    parser.add_argument("source", metavar="SOURCE", help="a video file, a folder of images, or the number of a camera")
    add_options(parser, VideoSettings)
    options = parser.parse_args(arguments)
    return options.source, from_options(VideoSettings, options)


if __name__ == "__main__":
    run_command(main)
