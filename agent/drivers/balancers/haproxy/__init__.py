"""Balancer driver ``haproxy``: HAProxy 2.6 or newer through its runtime API, with a master process for reloads."""

from agent.drivers.balancers.haproxy.driver import Config, Driver

__all__ = ["Config", "Driver"]
