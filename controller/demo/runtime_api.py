"""What the demo asks HAProxy, to see with its own eyes; it never changes anything there."""

import socket
from dataclasses import dataclass
from pathlib import Path

_COLUMNS = ("svname", "status", "scur", "qcur", "check_status")


def ask(path: Path, commands: str, timeout: float = 5.0) -> str:
    """Send commands (joined by ``;``) to a runtime socket and return the answer. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(commands.encode() + b"\n")
        parts = []
        while part := connection.recv(262144):
            parts.append(part)
    return b"".join(parts).decode()


@dataclass(frozen=True)
class ServerRow:
    """One server of a pool, in HAProxy's words."""

    status: str
    sessions: int
    queued: int
    check: str


def servers(path: Path, pool: str) -> dict[str, ServerRow]:
    """The servers of a pool by name. Raises OSError."""
    return parse_servers(ask(path, f"show stat {pool} 4 -1"))


def parse_servers(text: str) -> dict[str, ServerRow]:
    """Read the answer to ``show stat``."""
    header, *rows = [line for line in text.splitlines() if line]
    places = {name: place for place, name in enumerate(header.lstrip("# ").split(","))}
    name, status, sessions, queued, check = (places[column] for column in _COLUMNS)
    found = {}
    for row in rows:
        cells = row.split(",")
        found[cells[name]] = ServerRow(cells[status], int(cells[sessions]), int(cells[queued] or 0), cells[check])
    return found
