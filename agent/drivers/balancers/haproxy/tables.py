"""Reading HAProxy's tables: columns are found by the names in the header, and only those that count are cut out."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.drivers.contracts import Retry
from crds.messages import AdminState

_UNKNOWN_POOL = ("Can't find backend.", "No such proxy.")

FORCED_MAINT, INHERITED_MAINT, CONFIG_MAINT = 0x01, 0x02, 0x04
FORCED_DRAIN, INHERITED_DRAIN, UNRESOLVED = 0x08, 0x10, 0x20
"""Bits of srv_admin_state (management guide, ``show servers state``)."""
_MAINT = FORCED_MAINT | INHERITED_MAINT | UNRESOLVED
"""CONFIG_MAINT stays set when a server leaves the maintenance that its line began with: alone it means nothing."""
_DRAIN = FORCED_DRAIN | INHERITED_DRAIN
_CHECK_CONFIGURED = 0x02


@dataclass(frozen=True, slots=True)
class StateRow:
    """A line of ``show servers state``."""

    address: str
    """As the server line has it: a DNS name if it has one."""
    mask: int
    checked: bool
    """It has a health check, running or paused."""

    @property
    def admin(self) -> AdminState:
        """The admin state that the mask amounts to."""
        if self.mask & _MAINT:
            return "maint"
        return "drain" if self.mask & _DRAIN else "ready"


@dataclass(frozen=True, slots=True)
class StatRow:
    """A line of ``show stat``."""

    status: str
    queued: int
    sessions: int
    fall: int | None
    """Of a server in DRAIN: failed checks that take it down; None if it has none."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes of ``show proc``."""

    current: list[int]
    old: list[int]


@dataclass(frozen=True, slots=True)
class Info:
    """Which process answers."""

    pid: int
    started: str


def read_info(answer: str) -> Info:
    """Read ``show info``. Raises Retry."""
    said = dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line)
    try:
        return Info(int(said["Pid"]), said["Start_time_sec"])
    except (KeyError, ValueError) as error:
        raise Retry("HAProxy's 'show info' tells no Pid or Start_time_sec; is the socket's level admin?") from error


def read_workers(answer: str) -> Workers:
    """Read the master's ``show proc``. Raises Retry."""
    found: dict[str, list[int]] = {"# workers": [], "# old workers": []}
    section = ""
    for line in answer.splitlines():
        words = line.split()
        if line.startswith("#"):
            section = line.strip()
        elif section in found and len(words) > 1 and words[1] == "worker":
            found[section].append(int(words[0]))
    if "# workers" not in answer:
        raise Retry("HAProxy's master does not tell its processes; is masterSocket the socket given with -S?")
    return Workers(found["# workers"], found["# old workers"])


def read_state(answer: str, pool: str) -> dict[str, StateRow] | None:
    """Read ``show servers state POOL``; None if there is no such pool. Raises Retry."""
    if answer.strip() in _UNKNOWN_POOL:
        return None
    version, _, table = answer.partition("\n")
    if version != "1":
        raise Retry(f"'show servers state {pool}' begins with {version[:60]!r}, and this agent reads format 1")
    columns = ("be_name", "srv_name", "srv_addr", "srv_admin_state", "srv_check_state", "srv_fqdn", "srv_port")
    rows = list(_rows(table, columns, " "))
    if rows and any(cells[0] != pool for cells in rows):  # a pool named by digits may be taken for another's id
        return None
    return {name: _state_row(*cells) for _, name, *cells in rows}


def _state_row(address: str, mask: str, checks: str, dns_name: str, port: str) -> StateRow:
    where = address if dns_name == "-" else dns_name
    return StateRow(f"{where}:{port}", int(mask), bool(int(checks) & _CHECK_CONFIGURED))


def read_stat(answer: str) -> dict[str, StatRow]:
    """Read ``show stat POOL 4 -1``. Raises Retry."""
    header, lines = _split(answer)
    name, queued, sessions, status, fall = _places(header, ("svname", "qcur", "scur", "status", "check_fall"), ",")
    width = max(name, queued, sessions, status) + 1
    found = {}
    for line in lines:
        cells = line.split(",", width)
        # The fall counts of servers in DRAIN only; it stands behind free text, so the line must be read in full.
        full = _full(line) if cells[status].startswith("DRAIN") else ()
        row = StatRow(cells[status], int(cells[queued] or 0), int(cells[sessions] or 0), _number(full, fall))
        found[cells[name]] = row
    return found


def read_falls(answer: str) -> dict[str, int | None]:
    """From the same answer: failed checks that take a server down; None while checks are paused, or there are none."""
    header, lines = _split(answer)
    name, fall = _places(header, ("svname", "check_fall"), ",")
    return {cells[name]: _number(cells, fall) for cells in map(_full, lines)}


def _full(line: str) -> list[str]:
    return next(csv.reader([line])) if '"' in line else line.split(",")


def _number(cells: Sequence[str], place: int) -> int | None:
    return int(cells[place]) if len(cells) > place and cells[place] else None


def read_connections(answer: str, pool: str) -> dict[str, int]:
    """Read ``show servers conn POOL``: connections in use by server. Raises Retry."""
    prefix = len(pool) + 1
    return {place[prefix:]: int(used) for place, used in _rows(answer, ("bkname/svname", "used_cur"), " ")}


def _rows(table: str, columns: tuple[str, ...], separator: str) -> Iterator[list[str]]:
    header, lines = _split(table)
    places = _places(header, columns, separator)
    for line in lines:
        cells = line.split(separator)
        yield [cells[place] for place in places]


def _split(table: str) -> tuple[str, list[str]]:
    header, *lines = [line for line in table.splitlines() if line] or [""]
    return header.removeprefix("# "), lines


def _places(header: str, columns: tuple[str, ...], separator: str) -> list[int]:
    names = header.split(separator)
    try:
        return [names.index(column) for column in columns]
    except ValueError as error:
        raise Retry(f"HAProxy answered with {header[:120]!r}, in which {error}") from error
