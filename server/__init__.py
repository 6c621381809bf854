"""The live server: frames in, follow or patrol commands out."""
