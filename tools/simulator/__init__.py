"""A stand-in for QuadSim: its world, its frames and its protocol, and a client that sends frames to a server."""
