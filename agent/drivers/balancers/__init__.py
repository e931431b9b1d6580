"""Balancer drivers: one module or folder each, see agent.drivers.contracts.BalancerDriver."""
