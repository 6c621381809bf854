"""From recordings of a target to a drone that follows it: the stages of `tools/teach.py`, and its report."""
