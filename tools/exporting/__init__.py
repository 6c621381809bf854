"""Frames chosen from recordings, and the set of them, for `tools/export_dataset.py`."""
