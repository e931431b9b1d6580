"""Operation drivers: ways of running a gate or another thing that is done once, see agent.drivers.contracts."""
