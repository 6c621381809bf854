"""What `tools/doctor.py` finds out about a machine, a client and a server."""
