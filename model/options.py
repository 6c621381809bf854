"""Settings as fields of a dataclass that say what they are, for the command lines of server and training.

Imports neither Keras nor TensorFlow.
"""

from dataclasses import field
from typing import Any


def option(default: Any, help_text: str) -> Any:
    """A field that a user may set: its default, and what `--help` says of it, which is its `metadata["help"]`."""
    return field(default=default, metadata={"help": help_text})


def flag(name: str) -> str:
    """The command line's name of a field."""
    return f"--{name.replace('_', '-')}"
