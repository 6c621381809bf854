"""The follow-me server.

    python server/follower.py weights/model_weights

Loads the network, listens for QuadSim on 127.0.0.1:4567 and tells each simulator that connects where its hero is.
"""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from typing import Any

from model.engines import ENGINES, load_engine
from model.options import flag
from server.app import FollowerServer
from server.settings import Settings, TrackerConfig
from server.watch.recording.recorder import prepare_folder
from server.wire.complaints import LineLimit

logger = logging.getLogger("follower")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = vars(parse(arguments))
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger().setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(LineLimit())
    for name in ("server", "follower"):
        logging.getLogger(name).setLevel(options["log_level"].upper())
    try:
        settings, tracker = (_fill(kind, options) for kind in (Settings, TrackerConfig))
        if settings.record is not None:
            prepare_folder(settings.record)
        engine = load_engine(options["engine"], options["weights"])
    except (ValueError, OSError) as error:
        print(f"follower: {error}", file=sys.stderr)
        return 2
    logger.info("network: %s, %d px, classes %s", options["weights"], engine.input_px, ", ".join(engine.card.classes))
    logger.info("engine: %s", engine.description)
    try:
        FollowerServer(settings, tracker, engine).run()
    except OSError as error:
        print(f"follower: cannot listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line: the options are the fields of `Settings` and `TrackerConfig`."""
    parser = argparse.ArgumentParser(
        description="Follow-me server for QuadSim.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "weights", help="a network: weights/model_weights, a .keras file, or what the original tools saved"
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="what runs the network; auto takes TensorFlow where it sees a GPU, else OpenVINO",
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning"), default="info", help="how much to say")
    for title, kind in (("server", Settings), ("tracker", TrackerConfig)):
        group = parser.add_argument_group(title)
        for setting in dataclasses.fields(kind):
            if setting.type is bool:
                # As the original wrote it, too.
                names = {flag(setting.name), f"--{setting.name}"}
                group.add_argument(*sorted(names), action="store_true", help=setting.metadata["help"])
                continue
            kind_of_value = setting.metadata.get("type", type(setting.default))
            group.add_argument(
                flag(setting.name),
                type=kind_of_value,
                default=setting.default,
                metavar=kind_of_value.__name__.upper(),
                help=setting.metadata["help"],
            )
    return parser.parse_args(arguments)


def _fill(kind: type, options: dict[str, Any]) -> Any:
    return kind(**{setting.name: options[setting.name] for setting in dataclasses.fields(kind)})


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before the server runs; then it has its own way to stop
        sys.exit(130)
