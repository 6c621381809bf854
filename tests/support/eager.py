"""Keras without graphs."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def eager_steps() -> Iterator[None]:
    """Run each step of a training as it is written: tracing the graph takes longer than a few steps of a small one."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
