"""A search for training settings: the space, the trials on disk, their training in Ray's workers, the report."""
