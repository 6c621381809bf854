"""Replay of a recording, for `tools/replay.py`."""
