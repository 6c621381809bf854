"""Makes trained networks ready to be served: converted for OpenVINO, and quantised."""
