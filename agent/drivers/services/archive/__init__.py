"""Service driver ``archive``: a tar or zip file from a URL, unpacked into a folder of its own."""

from agent.drivers.services.archive.driver import Config, Driver

__all__ = ["Config", "Driver"]
