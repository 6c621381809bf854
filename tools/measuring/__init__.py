"""What the benchmark is made of: figures, servers that are measured in turn, and the comparison of two versions."""
