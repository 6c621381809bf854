"""A clock that a test moves."""


class Clock:
    """Tells `now_s`, which only the test changes."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s
