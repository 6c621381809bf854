"""OpenVINO on a CPU, or on another device of Intel.

It reads a network that was converted before, so that a start does not import TensorFlow. The server is then ready after
1.3 s instead of 8 s.
"""

import logging
import platform
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.command import one_line
from model.engines.cache import cached
from model.engines.conversion import ConvertedNetwork
from model.engines.cores import Cores, Requests
from model.engines.engine import Engine, checked_card
from model.engines.reshaping import reshape
from model.engines.rewriting import gives_planes, split_transposed_convolutions, takes_uint8
from model.engines.second_look import UNPINNED
from model.engines.self_test import TOLERANCE, agrees, known_frame
from model.engines.shipped import MADE_BY, shipped, shipped_folder
from model.loading import is_converted

logger = logging.getLogger(__name__)

PRECISION = "INFERENCE_PRECISION_HINT"
# Height and width of a part, as shares of the image's. A part is upright, because people are. It costs a quarter of the
# whole image.
PART = (5 / 8, 3 / 8)
# Most images at the same time. With more cores, each image gets several cores, because Python's part of the work limits
# how many images can be inferred at once.
MOST_AT_ONCE = 4


class OpenVinoEngine(Engine):
    """Runs a network on the CPU, or on another device.

    A single image is inferred on all cores, which finishes it soonest. Images at the same time share the cores, which
    takes the least CPU time. The shipped network takes 8.3 ms for an image on two cores, so 16.6 ms of CPU time, and
    13.2 ms on one core. Batches cost more, because they do not fit into the CPU's cache.

    Args:
        weights: a resolved file of weights.
        precision: as `load_engine` takes it.
        device: as `load_engine` takes it.
        threads: as `load_engine` takes it.

    Raises:
        ValueError: if there is no such device, it does not compute in this precision, the weights can't be converted or
            are not shipped in it, or the network does not give its known answer; a single line.
    """

    most_per_batch = 1

    def __init__(self, weights: Path, precision: str = "auto", device: str = "CPU", threads: int | None = None) -> None:
        self._threads = threads
        _check(precision, device)
        got = "none"
        for network in _candidates(weights, precision, device):
            try:
                every = self._compile(weights, network, precision, device)
            except RuntimeError as error:  # from OpenVINO: it can't read the files, or the device can't run them
                got = one_line(error)
                continue
            if self._passes_self_test(network.answer, every):
                return
            got = "another from OpenVINO"
        raise ValueError(f"{weights}: expected the network's known answer on a known frame, got {got}")

    def _compile(self, weights: Path, converted: ConvertedNetwork, precision: str, device: str) -> list[Requests]:
        """Compile the network; returns all requests, each of which has to be checked."""
        import openvino as ov

        self._files = converted  # keeps files that are temporary
        core = ov.Core()
        network = core.read_model(converted.file)
        _, self.input_px, _, channels = (
            dimension.get_length() if dimension.is_static else 1 for dimension in network.input(0).partial_shape
        )
        if channels != 3:
            raise ValueError(f"expected a network for RGB images, got {channels} channels in {weights}")
        self.card = checked_card(weights, self.input_px, network.output(0).partial_shape[3].get_length())
        is_int8 = converted.conversion.precision == "int8"
        self.int8_files = converted.files if is_int8 else ()
        settings = _settings("f32" if is_int8 else precision, device, self._threads)
        network = gives_planes(takes_uint8(network, self.input_px, self.card))
        if device == "CPU":  # not measured on other devices
            split_transposed_convolutions(network)
        whole = part = _requests(core, network, device, settings)
        self.part_px = None
        if device == "CPU":  # not measured on other devices
            height, width = (int(share * self.input_px) for share in PART)
            try:
                reshape(network, self.input_px, height, width)
                part = _requests(core, network, device, settings)
                self.part_px = height, width
            except RuntimeError as error:  # another kind of network, or an input size that does not divide
                logger.debug("whole images only: %s", one_line(error))
        every = [Requests(*each) for each in zip(whole, part, strict=True)]
        self._cores = Cores(every[0], every[1:])
        self.most_at_once = self._cores.most_at_once
        computes_in = "int8" if is_int8 else _precision_of(whole[0].get_compiled_model())
        self.description = f"OpenVINO {ov.__version__.split('-')[0]} on the {device}, {computes_in}"
        return every

    def infer(self, images: np.ndarray) -> np.ndarray:
        """See `Engine.infer`."""
        with self._cores.taken() as requests:
            return self._infer(requests, images)

    def _infer(self, requests: Requests, images: np.ndarray) -> np.ndarray:
        request = requests.part if images.shape[1:3] == self.part_px else requests.whole
        outputs = [request.infer({0: image[None]}, share_inputs=True)[0] for image in images]
        planes = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
        return np.moveaxis(planes, 1, -1)

    def _passes_self_test(self, answer: np.ndarray, every: Sequence[Requests]) -> bool:
        """Whether all requests give the known answer on the known frame.

        If a corner of the frame, with the hero, gives another result than within the whole frame, `part_px` becomes
        None: only whole images are inferred from then on.
        """
        frame = known_frame(self.input_px)
        for requests in every:
            whole = self._infer(requests, frame)
            if not agrees(whole, answer):
                return False
            if self.part_px is not None:
                corner = np.s_[:, : self.part_px[0], : self.part_px[1]]
                part = self._infer(requests, np.ascontiguousarray(frame[corner]))
                if not np.abs(part - whole[corner]).mean() <= TOLERANCE:
                    logger.debug("whole images only: a part of the known frame gives another answer")
                    self.part_px = None
        return True


def _check(precision: str, device: str) -> None:
    """Check that this machine has a device, and that it computes in a precision.

    Raises:
        ValueError: if not.
    """
    import openvino as ov

    core = ov.Core()
    if device not in ("CPU", "AUTO") and device not in core.available_devices:
        raise ValueError(
            f"expected a device that OpenVINO finds here ({', '.join(core.available_devices)}), got {device}"
        )
    if precision == "bf16" and "BF16" not in core.get_property(device, "OPTIMIZATION_CAPABILITIES"):
        raise ValueError(
            f"expected a device that computes in bfloat16 for precision bf16, got {device}, which does not"
        )


def _candidates(weights: Path, precision: str, device: str) -> Iterator[ConvertedNetwork]:
    """Conversions to try, the best first. Asking for the next conversion means that the one before failed.

    int8 is the fastest on every x86-64 CPU that was measured (docs/writeup.md). Other CPUs were not measured.

    Raises:
        ValueError: as `OpenVinoEngine` does.
    """
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    automatic = ("int8", "f32") if (is_x86 and device == "CPU") or is_converted(weights) else ("f32",)
    for kind in {"auto": automatic, "int8": ("int8",)}.get(precision, ("f32",)):
        network = shipped(weights, kind)
        if network is not None:
            yield network
            logger.warning("%s does not give its known answer and is not used", network.folder)
    if is_converted(weights):
        there = ", ".join(sorted(folder.name for folder in weights.iterdir()))
        mend = "; --precision int8 uses it" if there == "int8" else ""
        raise ValueError(
            f"{weights}: expected a conversion that can be used for precision {precision}, got {there}{mend}"
        )
    if precision == "int8":
        raise ValueError(
            f"{weights}: expected its int8 conversion in {shipped_folder(weights, 'int8')}, which {MADE_BY['int8']} "
            "makes; found none that can be used"
        )
    for _ in range(2):
        network = cached(weights)
        yield network
        logger.warning("%s does not give its known answer: it is made anew", network.folder)
        shutil.rmtree(network.folder, ignore_errors=True)


def _settings(precision: str, device: str, threads: int | None) -> dict[str, str | int]:
    """OpenVINO's settings, from arguments as `load_engine` takes them.

    The layers of an int8 network that are not quantised need "f32", which gives the same result on every CPU.
    """
    settings: dict[str, str | int] = {}
    if device == "CPU":  # other devices do not have these settings
        settings.update(UNPINNED)
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
    if precision in ("f32", "bf16"):
        settings[PRECISION] = precision
    return settings


def _precision_of(compiled: Any) -> str:
    """The precision in which a compiled network computes, for people; the device AUTO does not report it."""
    if PRECISION in compiled.get_property("SUPPORTED_PROPERTIES"):
        return compiled.get_property(PRECISION).to_string()
    return "any precision"


def _requests(core: Any, network: Any, device: str, settings: dict[str, str | int]) -> list[Any]:
    """Compile a network; returns a request on all cores and, for a CPU of several cores, requests that share them."""
    alone = core.compile_model(network, device, {"PERFORMANCE_HINT": "LATENCY", **settings})
    requests = [alone.create_infer_request()]
    cores = alone.get_property("INFERENCE_NUM_THREADS") if device == "CPU" else 1
    if cores > 1:
        lanes = min(cores, MOST_AT_ONCE)
        shared = core.compile_model(network, device, {**settings, "NUM_STREAMS": lanes, "INFERENCE_NUM_THREADS": cores})
        requests += [shared.create_infer_request() for _ in range(lanes)]
    return requests
