"""How long a step of training takes on this machine."""

from collections.abc import Callable

from model.dataset import Frames
from model.recipes import TrainingConfig
from model.training import compiled_network, draw_batches

TIMED_STEPS = 8


def step_s(config: TrainingConfig, training: Frames, clock: Callable[[], float]) -> float:
    """Mean time of `TIMED_STEPS` steps, s.

    Args:
        config: the settings.
        training: frames to draw batches of.
        clock: `time.process_time` for the CPU time of all cores, `time.perf_counter` for wall time.
    """
    batches, network = draw_batches(config, training), compiled_network(config)
    network.train_on_batch(*batches[0])  # compiles
    start = clock()
    for step in range(1, TIMED_STEPS + 1):
        network.train_on_batch(*batches[step])
    return (clock() - start) / TIMED_STEPS
