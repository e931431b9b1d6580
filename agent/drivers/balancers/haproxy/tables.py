"""Reading HAProxy's tables: columns are found by the names in the header, and only those that count are cut out."""

import csv
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

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

Row = TypeVar("Row")


class StateRow(NamedTuple):
    """A line of ``show servers state``."""

    pool: str
    address: str
    """As the server line has it: a DNS name if it has one."""
    admin: AdminState
    """The admin state that the mask amounts to."""
    by_config: bool
    """It is in maintenance, as its line begins with."""
    checked: bool
    """It has a health check, running or paused."""


class StatRow(NamedTuple):
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


@dataclass(frozen=True, slots=True)
class PoolTable:
    """One pool in one worker, by server."""

    state: dict[str, StateRow]
    stat: dict[str, StatRow]
    used: dict[str, int]
    """Connections in use."""
    said: str
    """All of the answer to ``show stat``, for what of it is rarely asked."""

    def sessions(self, server: str) -> int:
        """What holds on to the server: a session usually uses a connection, so the larger of both counts."""
        stat = self.stat[server]
        return stat.queued + max(stat.sessions, self.used[server])


Cut = Callable[[str], tuple[str, Row]]
"""Cuts a server's name and what counts out of a line."""


class Rows(Generic[Row]):
    """The lines of one table, read again and again: one that is as it was is not cut anew."""

    def __init__(self, cut_under: Callable[[str], Cut[Row]]) -> None:
        self._cut_under = cut_under
        """Made anew for each header: columns are found by their names."""
        self._cut: Cut[Row]
        self._header: str | None = None
        self._known: dict[str, tuple[str, Row]] = {}

    def read(self, table: str) -> dict[str, Row]:
        """What each server's line says. Raises Retry if the header lacks a column."""
        header, *lines = [line for line in table.splitlines() if line] or [""]
        if header != self._header:
            self._cut = self._cut_under(header.removeprefix("# "))
            self._header, self._known = header, {}
        known, cut = self._known, self._cut
        self._known = {line: known.get(line) or cut(line) for line in lines}
        return dict(self._known.values())


class PoolTables:
    """What one worker says of one pool."""

    def __init__(self, pool: str) -> None:
        self.name = pool
        self.questions = (f"show servers state {pool}", f"show stat {pool} 4 -1", f"show servers conn {pool}")
        self._state, self._stat, self._used = Rows(_state_cut), Rows(_stat_cut), Rows(_connections_cut)

    def read(self, state: str, stat: str, used: str) -> PoolTable | None:
        """The answers to the questions; None if there is no such pool. Raises Retry."""
        rows = self._states(state)
        if rows is None:
            return None
        table = PoolTable(rows, self._stat.read(stat), self._used.read(used), stat)
        if not rows.keys() == table.stat.keys() == table.used.keys():
            raise Retry(f"servers of {self.name} came or went while HAProxy was asked")
        return table

    def _states(self, answer: str) -> dict[str, StateRow] | None:
        if answer.strip() in _UNKNOWN_POOL:
            return None
        version, _, table = answer.partition("\n")
        if version != "1":
            begin = version[:60]
            raise Retry(f"'show servers state {self.name}' begins with {begin!r}, and this agent reads format 1")
        rows = self._state.read(table)
        if any(row.pool != self.name for row in rows.values()):  # one named by digits may be taken for another's id
            return None
        return rows


def _state_cut(header: str) -> Cut[StateRow]:
    columns = ("srv_name", "be_name", "srv_addr", "srv_admin_state", "srv_check_state", "srv_fqdn", "srv_port")
    pick = itemgetter(*_places(header, columns, " "))

    def cut(line: str) -> tuple[str, StateRow]:
        name, pool, address, mask_text, checks, dns_name, port = pick(line.split(" "))
        mask = int(mask_text)
        admin: AdminState = "maint" if mask & _MAINT else "drain" if mask & _DRAIN else "ready"
        where = f"{address if dns_name == '-' else dns_name}:{port}"
        by_config = admin == "maint" and bool(mask & CONFIG_MAINT)
        return name, StateRow(pool, where, admin, by_config, bool(int(checks) & _CHECK_CONFIGURED))

    return cut


def _stat_cut(header: str) -> Cut[StatRow]:
    *places, fall = _places(header, ("svname", "status", "qcur", "scur", "check_fall"), ",")
    pick, width = itemgetter(*places), max(places) + 1

    def cut(line: str) -> tuple[str, StatRow]:
        name, status, queued, sessions = pick(line.split(",", width))
        # The fall counts of servers in DRAIN only; it stands behind free text, so the line must be read in full.
        known_fall = _number(_full(line), fall) if status.startswith("DRAIN") else None
        return name, StatRow(status, int(queued or 0), int(sessions or 0), known_fall)

    return cut


def _connections_cut(header: str) -> Cut[int]:
    pick = itemgetter(*_places(header, ("bkname/svname", "used_cur"), " "))

    def cut(line: str) -> tuple[str, int]:
        place, used = pick(line.split(" "))
        return place.partition("/")[2], int(used)

    return cut


def read_falls(answer: str, names: Collection[str]) -> dict[str, int | None]:
    """From ``show stat``: failed checks that take a server down; None while checks are paused, or there are none."""
    header, *lines = [line for line in answer.splitlines() if line]
    name, fall = _places(header.removeprefix("# "), ("svname", "check_fall"), ",")
    named = (line for line in lines if line.split(",", name + 1)[name] in names)
    return {cells[name]: _number(cells, fall) for cells in map(_full, named)}


def _full(line: str) -> list[str]:
    return next(csv.reader([line])) if '"' in line else line.split(",")


def _number(cells: Sequence[str], place: int) -> int | None:
    return int(cells[place]) if len(cells) > place and cells[place] else None


def _places(header: str, columns: tuple[str, ...], separator: str) -> list[int]:
    names = header.split(separator)
    try:
        return [names.index(column) for column in columns]
    except ValueError as error:
        raise Retry(f"HAProxy answered with {header[:120]!r}, in which {error}") from error
