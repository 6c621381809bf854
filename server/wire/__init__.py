"""The connection: QuadSim's dialect of Socket.IO, its messages as values, and what protects the event loop."""
