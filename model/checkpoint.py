"""The checkpoint of a training: the network's weights and the optimizer's state, to resume from."""

import math
from pathlib import Path

import keras
from keras import ops

from model.command import one_line
from model.recipes import TrainingConfig

# Bytes that HDF5 adds to the values of a variable; up to 930 were measured.
ROOM_BESIDE_VALUES = 2048
BYTES_PER_VALUE = 4


def save_checkpoint(network: keras.Model, path: Path) -> None:
    """Save weights and optimizer state.

    HDF5 crashes the process with a segmentation fault if the disk is full. So as many bytes are written before, which
    raises an error.

    Raises:
        OSError: if there is no room.
    """
    variables = [*network.variables, *network.optimizer.variables]
    values = sum(math.prod(variable.shape) for variable in variables)
    path.write_bytes(bytes(BYTES_PER_VALUE * values + ROOM_BESIDE_VALUES * len(variables)))
    network.save_weights(path)


def restore(network: keras.Model, config: TrainingConfig, checkpoint: Path) -> int:
    """Load weights and optimizer state from a checkpoint, if there is one; return the number of finished epochs.

    Raises:
        ValueError: if the file is damaged.
    """
    if not checkpoint.exists():
        return 0
    network.optimizer.build(network.trainable_variables)
    try:
        network.load_weights(checkpoint)
    except (OSError, RuntimeError, ValueError, KeyError) as error:  # of h5py and Keras
        raise ValueError(f"expected the state of a {config.network} in {checkpoint}, got: {one_line(error)}") from error
    steps = int(ops.convert_to_numpy(network.optimizer.iterations))
    done, more = divmod(steps, config.steps)
    if more or not 1 <= done <= config.epochs:  # each epoch saves it at its end; a failing disk leaves zeros
        raise ValueError(f"expected the steps of 1 to {config.epochs} whole epochs in {checkpoint}, got {steps}")
    return done
