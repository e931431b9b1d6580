"""What people decided about a target and its nodes, and what stays until it is lifted."""

from typing import Any

from controller.cli.client import Resource
from controller.cli.words import age


def decided(target: Resource) -> list[str]:
    """A line for each decision that is in force."""
    status = target["status"]
    lines = [f"paused {marked(status['pause'], target)}"] if status["pause"] else []
    return lines + [f"{node} excluded {marked(mark, target)}" for node, mark in status["excluded"].items()]


def marked(mark: dict[str, Any], resource: Resource) -> str:
    """By whom, for how long, until when, and why."""
    until = f", until {mark['until'][:16].replace('T', ' ')} UTC" if mark["until"] else ""
    why = f": {mark['reason']}" if mark["reason"] else ""
    return f"by {mark['by']} {age(mark['since'], resource)} ago{until}{why}"
