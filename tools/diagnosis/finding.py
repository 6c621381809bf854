"""A result of the doctor's checks."""

import enum
from typing import NamedTuple


class Mark(enum.Enum):
    """How serious a finding is."""

    OK = "ok"
    NOTE = "note"  # works, but the user may want to know
    WRONG = "WRONG"


class Finding(NamedTuple):
    """A result of the doctor's checks.

    Args:
        mark: how serious it is.
        subject: what it is about, in a word or two.
        text: the result.
        received: a sample of what was received.
        expected: what was expected.
        fix: how to fix it.
    """

    mark: Mark
    subject: str
    text: str
    received: str = ""
    expected: str = ""
    fix: str = ""

    def __str__(self) -> str:
        details = ("received", self.received), ("expected", self.expected), ("fix", self.fix)
        lines = [f"      {name + ':':<10}{value}" for name, value in details if value]
        return "\n".join([f"{self.mark.value:<6}{self.subject}: {self.text}", *lines])
