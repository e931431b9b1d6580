"""Drivers by name: a module here, or what a third party offers as an entry point."""

from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType

GROUP = "drumbeat.{kind}.v1"
"""The entry point group of a kind of driver; the version is the contract's."""


class NoSuchDriver(Exception):
    """There is no driver of that name; the text says what there is."""


def find_driver(kind: str, name: str) -> ModuleType:
    """The module with ``Config`` and ``Driver``; kinds are services, supervisors, balancers, operations.

    Raises NoSuchDriver.
    """
    full = f"agent.drivers.{kind}.{name}"
    try:
        module = import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        return _third_party(kind, name)
    if hasattr(module, "Driver"):
        return module
    raise NoSuchDriver(f"{name!r} is no driver among {kind}")


def _third_party(kind: str, name: str) -> ModuleType:
    offered = entry_points(group=GROUP.format(kind=kind))
    for point in offered:
        if point.name == name:
            loaded: ModuleType = point.load()
            return loaded
    others = ", ".join(sorted(offered.names)) or "none"
    raise NoSuchDriver(f"there is no driver {name!r} among {kind}; installed beside Drumbeat's own: {others}")
