"""Progress bars in a terminal and elsewhere."""

import io
import sys

import pytest

from model.bars import counting_bar, print_beside_bars, progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "is_shown"), [(Terminal(), True), (io.StringIO(), False)])
def test_bars_are_shown_in_a_terminal_only_and_lines_everywhere(monkeypatch, stream, is_shown):
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress_bar([1, 2], desc="counting")) == [1, 2]
    with counting_bar(2, desc="reading") as bar:
        print_beside_bars("one \x1b[2J")
        bar.update(2)
    shown = stream.getvalue()
    assert ("counting: 100%" in shown, "reading: 100%" in shown) == (is_shown, is_shown)
    assert "one \\x1b[2J\n" in shown
