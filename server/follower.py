"""The follow-me server.

    python server/follower.py weights/model_weights

Loads the network, listens for QuadSim on 127.0.0.1:4567 and tells each simulator that connects where its hero is.
"""

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from model.engines import ENGINES, load_engine
from model.options import add_options, from_options
from server.app import FollowerServer
from server.settings import Settings, TrackerConfig, read_tracker
from server.watch.recording.recorder import prepare_folder
from server.wire.complaints import LineLimit

logger = logging.getLogger("follower")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    set_up_process(options.log_level)
    try:
        settings = from_options(Settings, options)
        tracker = TrackerConfig() if options.tracker is None else read_tracker(options.tracker)
        if settings.record is not None:
            prepare_folder(settings.record)
        engine = load_engine(options.engine, options.weights)
    except (ValueError, OSError) as error:
        print(f"follower: {error}", file=sys.stderr)
        return 2
    logger.info("network: %s, %d px, classes %s", options.weights, engine.input_px, ", ".join(engine.card.classes))
    logger.info("engine: %s", engine.description)
    try:
        FollowerServer(settings, tracker, engine).run()
    except OSError as error:
        print(f"follower: cannot listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def set_up_process(log_level: str) -> None:
    """Set up logging, and silence warnings about oddities in images' metadata that nobody here reads."""
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger().setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(LineLimit())
    for name in ("server", "follower", "model"):
        logging.getLogger(name).setLevel(log_level.upper())
    warnings.filterwarnings("ignore", module="PIL")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line: most options are the fields of `Settings`."""
    parser = argparse.ArgumentParser(
        description="Follow-me server for QuadSim.",
        usage="%(prog)s [options] weights",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32),
    )
    parser.add_argument("weights", help="network: weights/model_weights, a .keras file, or one of the original tools")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        metavar="ENGINE",
        help="runs the network: openvino, tensorflow or auto (default: auto, TensorFlow if it sees a GPU)",
    )
    add_options(parser, Settings)
    parser.add_argument(
        "--tracker", type=Path, metavar="FILE", help="TOML file with settings of the tracker, see README.md"
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning"),
        default="info",
        metavar="LEVEL",
        help="least severe lines to log: debug, info or warning (default: info)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before the server runs, which has its own way to stop
        sys.exit(130)
