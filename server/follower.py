"""The follow-me server.

    python server/follower.py weights/model_weights

Loads the network, listens for QuadSim on 127.0.0.1:4567, and sends each connected simulator the position of its hero.
"""

import os
import signal

# Loading the libraries takes seconds. On Ctrl-C meanwhile, exit with a status, without a traceback of an import.
signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import argparse
import gc
import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also for a Python in which this project is not installed

from model.command import command_parser, error_text, printable
from model.engines import ENGINES, Engine, add_precision_option, load_engine, tensorflow_sees_gpu
from model.engines.beside import load_beside
from model.engines.lane import check_url
from model.engines.remote import InferenceHost, connect
from model.loading import GPU_MEMORY_MB
from model.options import add_options, from_options
from server import logs
from server.app import FollowerServer
from server.front import Front
from server.fronts import Fronts, own_command
from server.settings import Settings, read_tracker
from server.watch.recording.recorder import prepare_folder
from server.wire.addresses import cannot_listen
from server.wire.token import read_token

logger = logging.getLogger("follower")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line until the server is stopped; returns the exit status."""
    options = parse(arguments)
    logs.set_up(options.log_level, "" if options.front is None else f"front {options.front}: ")
    try:
        settings = from_options(Settings, options)
        if settings.fronts > 1 and options.front is None:
            return Fronts(own_command(sys.argv[1:] if arguments is None else arguments), settings.fronts).run()
        front = None if options.front is None else Front.of_this_process(options.front, settings.fronts, settings.port)
        chosen = {} if options.tracker is None else read_tracker(options.tracker)
        token = None if settings.token_file is None else read_token(settings.token_file)
        if settings.record is not None:
            prepare_folder(settings.record)
        host = find_inference_host(options, settings.watchdog_s)
        bound_memory(options)
        engine = load(options, host, load_engine, options.weights)
        card = engine.card.following(settings.follow)
    except (ValueError, OSError) as error:
        # Print only printable characters, because an error may quote a file that somebody else has written.
        print(f"follower: {printable(error_text(error))}", file=sys.stderr)
        return 2
    logger.info("network: %s, %d px, classes %s", options.weights, engine.input_px, ", ".join(engine.card.classes))
    logger.info("target: %s", card.profile)
    if len(card.targets) > 1:
        logger.info("targets to choose from: %s", ", ".join(card.targets))
    logger.info("engine: %s", engine.description)

    load_another = partial(load, options, host, load_beside)
    server = FollowerServer(settings, chosen, options.weights, engine, load_another, token, front)
    # Exclude the objects that exist now from garbage collection, which would stop the event loop for 30 ms.
    gc.collect()
    gc.freeze()
    try:
        server.run()
    except OSError as error:
        print(f"follower: {cannot_listen(settings.host, settings.port, error)}", file=sys.stderr)
        return 1
    return 0


def find_inference_host(options: argparse.Namespace, watchdog_s: float) -> InferenceHost | None:
    """The machine on which networks run; None for this machine.

    Raises:
        OSError: if the file of its token can't be read.
        ValueError: if an option does not fit the engine, or the file holds no token.
    """
    if options.engine in ENGINES:
        for option, value in (("--fallback", options.fallback), ("--engine-token-file", options.engine_token_file)):
            if value:
                raise ValueError(f"expected --engine http:// or grpc://HOST:PORT with {option}, got {options.engine}")
        return None
    of_this_machine = (
        ("--precision", options.precision != "auto"),
        ("--device", options.device != "CPU"),
        ("--gpu-memory-mb", options.gpu_memory_mb is not None),
    )
    for option, is_given in of_this_machine:
        if is_given and not options.fallback:
            raise ValueError(
                f"expected {option} only for a network on this machine, got it with --engine {options.engine} "
                "and without --fallback"
            )
    token = None if options.engine_token_file is None else read_token(options.engine_token_file)
    # Half of the watchdog's time, because a frame that waits for the previous answer must also be answered in time.
    return InferenceHost(options.engine, watchdog_s / 2, token)


def load(
    options: argparse.Namespace, host: InferenceHost | None, load_here: Callable[..., Engine], weights: str
) -> Engine:
    """Load a network, or connect to the machine on which it runs.

    Args:
        options: result of `parse`.
        host: the machine on which it runs; None for this machine.
        load_here: `load_engine` or `load_beside`.
        weights: path of the network.

    Raises:
        ValueError, OSError: as `load_here` and `connect` do.
    """
    # Fronts share the cores. When each of two fronts used both of two cores, an image took 14 ms of processor time
    # rather than 12, and was not inferred sooner.
    threads = max(1, len(os.sched_getaffinity(0)) // options.fronts) if options.fronts > 1 else None
    if host is None:
        return load_here(options.engine, weights, options.precision, options.device, threads)
    local = load_here("auto", weights, options.precision, options.device, threads) if options.fallback else None
    return connect(host, weights, local)


def bound_memory(options: argparse.Namespace) -> None:
    """Bound the GPU memory that TensorFlow takes; to be called before TensorFlow is loaded.

    Raises:
        ValueError: if the bound is not positive, or if TensorFlow or a GPU is missing.
    """
    most = options.gpu_memory_mb
    if most is None:
        return
    if most < 1:
        raise ValueError(f"expected --gpu-memory-mb of at least 1, got {most}")
    os.environ[GPU_MEMORY_MB] = str(most)
    if options.engine == "openvino" or not tensorflow_sees_gpu():
        raise ValueError("expected TensorFlow and a GPU with --gpu-memory-mb, found none: see docs/server.md")


def engine_name(text: str) -> str:
    """Check an engine's name: a member of `ENGINES`, or the URL of a machine that runs networks."""
    if text in ENGINES:
        return text
    if "://" not in text:
        raise argparse.ArgumentTypeError(f"expected {', '.join(ENGINES)}, http:// or grpc://HOST:PORT, got {text!r}")
    try:
        return check_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line: most options are the fields of `Settings`."""
    parser = command_parser(
        "Follow-me server for QuadSim.",
        usage="%(prog)s [options] weights",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32),
    )
    parser.add_argument("weights", help="the network, such as weights/model_weights")
    parser.add_argument(
        "--engine",
        type=engine_name,
        default="auto",
        metavar="ENGINE",
        help="openvino, tensorflow, http://HOST:PORT or grpc://HOST:PORT (default: auto)",
    )
    parser.add_argument("--fallback", action="store_true", help="run the network here if the other machine fails")
    parser.add_argument("--engine-token-file", type=Path, metavar="FILE", help="file with the token for other machines")
    add_precision_option(parser)
    parser.add_argument(
        "--device",
        default="CPU",
        metavar="DEVICE",
        help="CPU, GPU, NPU or AUTO, for OpenVINO (default: CPU)",
    )
    parser.add_argument("--gpu-memory-mb", type=int, metavar="INT", help="most memory of a GPU for TensorFlow")
    add_options(parser, Settings)
    # Options from the parent of several fronts (server/fronts.py): the number of this front, and the network that it
    # used before it was started again.
    parser.add_argument("--front", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--exchanged", dest="weights", help=argparse.SUPPRESS)
    parser.add_argument("--tracker", type=Path, metavar="FILE", help="TOML file with settings of the tracker")
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning"),
        default="info",
        metavar="LEVEL",
        help="debug, info or warning (default: info)",
    )
    return parser.parse_args(arguments)


def run() -> None:
    """The command: run it, and end the process with its exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # so that an interrupted conversion deletes its files
    try:
        status = main()
    except KeyboardInterrupt:  # only before the server runs; the server handles Ctrl-C itself
        status = 130
    except Exception:
        logger.exception("internal error")
        status = 1
    logs.end_process(status)


if __name__ == "__main__":
    run()
