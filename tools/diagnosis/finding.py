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
        words: the result.
        came: a sample of what was received.
        expected: what was expected.
        mend: how to fix it.
    """

    mark: Mark
    subject: str
    words: str
    came: str = ""
    expected: str = ""
    mend: str = ""

    def __str__(self) -> str:
        details = ("came", self.came), ("expected", self.expected), ("fix", self.mend)
        lines = [f"      {name + ':':<10}{text}" for name, text in details if text]
        return "\n".join([f"{self.mark.value:<6}{self.subject}: {self.words}", *lines])
