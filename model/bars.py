"""Progress bars on standard error, and lines beside them.

Bars are for a terminal only: in a log or a pipe, each would be hundreds of lines.
"""

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

from model.command import printable

Item = TypeVar("Item")

# Options of a bar that counts bytes.
BYTES: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}


def progress_bar(items: Iterable[Item], **options: Any) -> "tqdm[Item]":
    """A bar that yields items; `options` are those of `tqdm`."""
    return tqdm(items, disable=None, **options)


def counting_bar(total: int, **options: Any) -> "tqdm[None]":
    """A bar that its `update` moves on; `options` are those of `tqdm`."""
    return tqdm(total=total, disable=None, **options)


def print_beside_bars(text: str) -> None:
    """Print a line to standard error without tearing a bar; see `printable`."""
    tqdm.write(printable(text), file=sys.stderr)
