"""Scenarios that share one fleet: four hosts behind one balancer node."""
