"""The second look: a small network that looks at people whom the large network takes for the hero.

The large network judges pixels, mostly by their neighbourhood, so it takes somebody in a dress that is red enough for
the hero. The small network sees the whole person. Its OpenVINO files are beside the large network
(`tools/train_second_look.py` makes them).
"""

import threading
from pathlib import Path

import numpy as np

from model.command import one_line
from model.crops import CROP_PX

# For OpenVINO on the CPU. By default it pins the calling thread to a core, and in each process to the same core. Two
# processes with one thread each would share that core while another core is idle.
UNPINNED = {"ENABLE_CPU_PINNING": False}


def second_look_file(weights: Path) -> Path:
    """Path of the second look that belongs to a resolved weights file; a file of the same name, *.bin, is beside it."""
    return weights.with_name(f"{weights.stem}.second_look.xml")


def second_look_files(weights: Path) -> tuple[Path, Path]:
    """Both files of OpenVINO."""
    file = second_look_file(weights)
    return file, file.with_suffix(".bin")


class SecondLook:
    """Runs the network on a CPU.

    Args:
        file: OpenVINO's .xml file.

    Raises:
        ValueError: if it is not such a network.
        FileNotFoundError: if there is none.
    """

    def __init__(self, file: Path) -> None:
        import openvino as ov

        if not file.is_file():
            raise FileNotFoundError(f"expected a second look, as the network's card says, in {file}, got none")
        self._alone = threading.Lock()  # a request infers for one thread at a time
        core = ov.Core()
        try:
            network = core.read_model(file)
            network.reshape([1, *CROP_PX, 4])  # mostly there is one crop; it takes a third of the time of a batch of 4
            settings = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": 1,
                "INFERENCE_PRECISION_HINT": "f32",
                **UNPINNED,
            }
            self._request = core.compile_model(network, "CPU", settings).create_infer_request()
            answer = self.likeness(np.full((1, *CROP_PX, 4), 127, np.uint8))
        except (RuntimeError, ValueError) as error:  # from OpenVINO; for more than one output
            raise ValueError(f"expected a second look of {CROP_PX} px in {file}, got: {one_line(error)}") from error
        if not np.isfinite(answer).all():
            raise ValueError(f"expected a second look with one finite output in {file}, got {answer}")

    def likeness(self, crops: np.ndarray) -> np.ndarray:
        """How much each crop looks like the hero.

        Args:
            crops: (n, *CROP_PX, 4) uint8, see `model.crops.crop`.

        Returns:
            (n,) float, nats, not calibrated: the larger, the more likely.
        """
        found = np.zeros(len(crops))
        for number, crop in enumerate(crops.astype(np.float32)):
            with self._alone:
                found[number] = self._request.infer({0: crop[None]}, share_inputs=True)[0].item()
        return found
