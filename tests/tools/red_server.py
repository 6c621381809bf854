"""The real server on a network that takes red for the hero; run as a script with the server's options."""

import sys

from red_engine import RedEngine

from server import follower

if __name__ == "__main__":
    follower.load_engine = lambda name, weights: RedEngine()
    sys.exit(follower.main())
