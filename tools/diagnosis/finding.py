"""One thing that the doctor has found out."""

import enum
from typing import NamedTuple


class Mark(enum.Enum):
    """How a finding is to be taken."""

    OK = "ok"
    NOTE = "note"  # works, but the user may want to know
    WRONG = "WRONG"


class Finding(NamedTuple):
    """One thing that the doctor has found out.

    Args:
        mark: how it is to be taken.
        subject: what it is about, in a word or two.
        words: what is the case.
        came: a sample of what came.
        expected: what was expected in its place.
        mend: how to mend it.
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
