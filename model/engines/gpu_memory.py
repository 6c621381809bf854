"""Limit how much of a GPU's memory TensorFlow takes, because QuadSim draws on the same GPU."""

import tensorflow as tf

from model.loading import GPU_MEMORY_MB


def bound_gpu_memory(megabytes: str) -> None:
    """Limit the memory that TensorFlow takes of each GPU; no effect once it has begun to use the GPUs.

    Raises:
        ValueError: if `megabytes` is no whole number above 0.
    """
    if not megabytes.isdecimal() or int(megabytes) == 0:
        raise ValueError(f"expected megabytes, a whole number above 0, in {GPU_MEMORY_MB}, got {megabytes!r}")
    for gpu in tf.config.list_physical_devices("GPU"):
        if tf.config.get_logical_device_configuration(gpu) is None:
            bound = tf.config.LogicalDeviceConfiguration(memory_limit=int(megabytes))
            tf.config.set_logical_device_configuration(gpu, [bound])
