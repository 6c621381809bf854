"""Keras without graphs."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def eager_steps() -> Iterator[None]:
    """Run each step of a training without a graph: tracing it takes longer than a few steps of a small network."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
