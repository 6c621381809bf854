"""The commands that the documentation shows, for `tools/check_readme.py` and the tests."""
