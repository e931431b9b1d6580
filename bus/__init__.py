"""How messages travel between the controller and the nodes: envelopes, keys, and the two ends of each transport."""
