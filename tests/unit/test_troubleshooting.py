"""docs/troubleshooting.md knows every reason that a target may give, and quotes what the program says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
_SOURCES = [
    path for name in ("reconcilers", "controller", "agent", "bus", "crds") for path in (ROOT / name).rglob("*.py")
]
_CODE = "\n".join(path.read_text(encoding="utf-8") for path in _SOURCES)
_PLACEHOLDER = re.compile(r" (?:in|for|within|installing|starting)\b(?= [A-Z]+\b|$)|\b[A-Z]+\b|…|\d+m?|/|'")
"""What stands for names, numbers and states, and the word that leads to it."""


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def reasons() -> set[str]:
    """Reasons of the conditions Stalled and Reconciling, as the code gives them."""
    found = re.findall(r'return "([A-Z]\w+)", ', _read("reconcilers/verdict.py") + _read("reconcilers/deadlines.py"))
    found += re.findall(r'Obstacle\(\s*"([A-Z]\w+)"', _CODE)
    held = re.findall(r'return "([A-Z]\w+)" if .* else "([A-Z]\w+)"', _read("reconcilers/failure.py"))
    orphaned = re.findall(r'"Stalled", "True", "(\w+)"', _CODE)
    found += sorted(
        set(re.findall(r'"([A-Z][a-z]+(?:[A-Z][a-z]+)*)"', _read("reconcilers/stages.py"))) - {"RolloutHeld"}
    )
    return {*found, *(each for pair in held for each in pair), *orphaned, "HostsUnknown", "HostsUnhealthy"}


def quoted() -> set[str]:
    """Pieces of messages in the first columns of tables, without what stands for names and numbers."""
    rows = [row for row in PAGE.splitlines() if row.startswith("| ") and "`" in row]
    messages = [text for row in rows for cell in row.split(" | ")[:-1] for text in re.findall(r"`([^`]+)`", cell)]
    pieces = {piece.strip(" ,;:.()") for message in messages for piece in _PLACEHOLDER.split(message)}
    return {piece for piece in pieces if piece.count(" ") >= 2}


def test_reasons_are_found_in_the_code() -> None:
    assert {"GateFailed", "HostFailed", "NoHosts", "Frozen", "Orphaned", "BatchUnderWay", "Settling"} <= reasons()


@pytest.mark.parametrize("reason", sorted(reasons()))
def test_the_page_explains_the_reason(reason: str) -> None:
    assert f"| `{reason}` | `" in PAGE


@pytest.mark.parametrize("piece", sorted(quoted()))
def test_the_program_says_what_the_page_quotes(piece: str) -> None:
    """Line breaks inside of a message of the code do not count."""
    code = re.sub(r'"\s*\n\s*f?"', "", _CODE)
    assert piece in code
