"""People whom a network sees in frames of known truth, for `tools/calibrate.py` and `tools/train_second_look.py`."""
