"""What `tools/fleet_faults.py` is made of: a fleet and a relay that fail on demand, and drones that judge commands."""
