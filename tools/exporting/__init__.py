"""Frames chosen from recordings, for `tools/export_dataset.py`."""
