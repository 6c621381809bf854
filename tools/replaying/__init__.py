"""What `tools/replay.py` does: a recording, seen and answered again."""
