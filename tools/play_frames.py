"""Play a folder of images to a running server, as QuadSim would, and print the server's decision on each.

    python tools/play_frames.py ../shared/data/sample_evaluation_data/following_images --limit 40

Takes 0.2 s per frame. If the folder is a recording (layers cam1_ to cam4_), the depth comes from it. Otherwise, the
depth is that of flat ground, on which stand the people of `masks/`, if there are masks. The images have no poses: all
get the same pose.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.command import command, command_parser, run_command
from model.options import add_options, check, from_options, option
from tools.simulator.address import ServerAddress
from tools.simulator.player import fps_check, play_to
from tools.simulator.recorded import PlayedFrame, UnreadableImageError, image_files, mask_files, read_frames


@dataclass(frozen=True)
class PlayerSettings:
    """The options of this command.

    Raises:
        ValueError: if a setting is out of its range.
    """

    server: ServerAddress = option(ServerAddress(), "address of the server", parse=ServerAddress.parse, metavar="URL")
    fps: float = option(5.0, "frames per second; QuadSim sends 5")
    limit: int | None = option(None, "play only this many images, the first ones; without it, all")
    loop: bool = option(False, "start again after the last image, until Ctrl-C")

    def __post_init__(self) -> None:
        check(
            self,
            fps_check(self.fps),
            ("limit", self.limit is None or self.limit >= 1, "of at least 1"),
        )


@command("play_frames")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    directory, settings = _parse(arguments)
    files = image_files(directory)[: settings.limit]
    frames = _frames(files, mask_files(files), settings.loop)
    return play_to(settings.server, "play_frames", frames, settings.fps)


def _frames(
    files: list[Path], masks: dict[Path, Path], is_endless: bool
) -> Iterator[PlayedFrame | UnreadableImageError]:
    while True:
        readable = 0
        for frame in read_frames(files, masks):
            readable += isinstance(frame, PlayedFrame)
            yield frame
        if not is_endless or not readable:
            return


def _parse(arguments: Sequence[str] | None) -> tuple[Path, PlayerSettings]:
    parser = command_parser(__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of .jpeg or .png images, or of images/")
    add_options(parser, PlayerSettings)
    options = parser.parse_args(arguments)
    return options.directory, from_options(PlayerSettings, options)


if __name__ == "__main__":
    run_command(main)
