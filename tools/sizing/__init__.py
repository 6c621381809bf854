"""A simulation of drones, servers and a fleet, for sizes that no machine at hand has."""
