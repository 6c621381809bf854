"""QuadSim's side of the conversation: its wire dialect, its frames, and what plays them to a server."""
