"""Scenarios that share one fleet, in which hosts drift and join."""
