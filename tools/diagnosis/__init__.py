"""The checks of `tools/doctor.py`: of a machine, a client and a server."""
