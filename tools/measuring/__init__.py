"""Parts of the benchmark: figures, servers that are measured in turn, and the comparison of two versions."""
