import numpy as np
import pytest
from support.full_disk import files_of_at_most

from model.checkpoint import restore, save_checkpoint
from model.recipes import TrainingConfig
from model.training import compiled_network

CONFIG = TrainingConfig(network="fcn1", steps=1, precision="float32", average=0.9)


@pytest.fixture
def network():
    """A network after a step of training."""
    network = compiled_network(CONFIG)
    weights = network.trainable_variables
    network.optimizer.apply([np.ones(each.shape, np.float32) for each in weights], weights)
    return network


def test_weights_and_the_optimizers_state_are_restored(network, tmp_path):
    save_checkpoint(network, tmp_path / "checkpoint.weights.h5")
    restored = compiled_network(CONFIG)
    assert restore(restored, CONFIG, tmp_path / "checkpoint.weights.h5") == 1
    for mine, its in zip(restored.optimizer.variables, network.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_a_full_disk_is_an_error_and_no_crash(network, tmp_path):
    save_checkpoint(network, tmp_path / "checkpoint.weights.h5")
    room = (tmp_path / "checkpoint.weights.h5").stat().st_size
    with files_of_at_most(room - 1), pytest.raises(OSError, match="File too large"):
        save_checkpoint(network, tmp_path / "other.weights.h5")
