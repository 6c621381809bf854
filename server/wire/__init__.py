"""The connection: QuadSim's dialect of Socket.IO, its messages as values, and the protection of the event loop."""
