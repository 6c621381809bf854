"""From encoded images to people in the world: decoding, the network, connected parts, geometry."""
