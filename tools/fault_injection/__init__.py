"""Parts of `tools/fleet_faults.py`: a fleet and a relay that fail on demand, and drones that judge commands."""
