"""The driver: what HAProxy says of each server, and what it is told."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from agent.drivers.balancers.haproxy.reload import Configuration
from agent.drivers.balancers.haproxy.runtime import Monotonic, Runtime
from agent.drivers.balancers.haproxy.tables import (
    Info,
    PoolTable,
    PoolTables,
    StateRow,
    StatRow,
    Workers,
    read_falls,
    read_info,
    read_workers,
)
from agent.drivers.contracts import Change, Retry, Server, Snapshot
from agent.files import write_durably
from crds.base import FileModel

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
"""What HAProxy takes for a name, and nothing that would end a command."""
_POOLS_AT_ONCE = 40
"""Pools asked in one line: HAProxy takes lines up to its buffer size."""
_SIGHTS = 4096
"""Of servers that are kept: most servers are as they were a moment ago, and need not be described anew."""
_MIN_FALL = 2
"""With a fall of 1 a server that leaves MAINT shows the status of a checked one before its first check."""
_GONE = "Can't find the target PID"
_UNKNOWN = ("No such backend.", "No such server.")

SystemPath = Annotated[Path, BeforeValidator(lambda value: Path(value) if isinstance(value, str) else value)]


class Config(FileModel):
    """Where HAProxy is. Paths are absolute."""

    socket: SystemPath = Field(
        default=Path("/run/haproxy/admin.sock"), description="the 'stats socket' with level admin"
    )
    master_socket: SystemPath = Field(
        default=Path("/run/haproxy-master.sock"), description="the master's socket, given to HAProxy with -S"
    )
    config_file: SystemPath = Field(
        default=Path("/etc/haproxy/haproxy.cfg"), description="the configuration, a file or a folder of *.cfg"
    )
    state_file: SystemPath = Field(
        default=Path("/var/lib/haproxy/servers.state"), description="the 'server-state-file' of the configuration"
    )
    timeout: float = Field(default=1.0, gt=0, le=10, description="seconds that one question may take")


_Command = tuple[tuple[str, str], str]
"""What the worker is told, and about which pool and server."""
_Tables = dict[str, PoolTable]
"""By pool; a pool that the worker does not have is missing."""


class Driver:
    """Implements agent.drivers.contracts.BalancerDriver."""

    def __init__(self, config: Config, monotonic: Monotonic = time.monotonic) -> None:
        self._config = config
        self._worker = Runtime(config.socket, config.timeout, monotonic)
        self._master = Runtime(config.master_socket, config.timeout, monotonic)
        self._configuration = Configuration(config.config_file, config.state_file)
        self._pools: dict[str, PoolTables] = {}
        self._seen: _Tables = {}
        """What was observed last, until something is applied: usually that follows at once."""

    def observe(self, pools: set[str]) -> Snapshot:
        asked = sorted(pool for pool in pools if _NAME.fullmatch(pool))
        info, tables = self._read(asked)
        self._seen = tables
        workers = self._workers(info)
        old = [self._old_worker(pid, tables) for pid in workers.old]
        trouble = self._configuration.trouble(tables)
        return Snapshot(
            worker=f"{info.pid}@{info.started}",
            reload_safe=not trouble,
            message=trouble,
            pools={pool: _servers(pool, table, old) for pool, table in tables.items()},
        )

    def apply(self, changes: Sequence[Change]) -> dict[tuple[str, str], str]:
        refused = self._refusals(changes)
        refused |= self._tell([(change.place, _set(change)) for change in changes if change.place not in refused])
        cut = [change.place for change in changes if change.close and change.place not in refused]
        return refused | self._cut([(place, f"shutdown sessions server {'/'.join(place)}") for place in cut])

    def save(self) -> None:
        state = self._worker.ask(["show servers state"])[0]
        if not state.startswith("1\n# be_id be_name"):
            raise Retry(f"HAProxy's 'show servers state' begins with {state[:60]!r}; it is not saved")
        try:
            write_durably(self._config.state_file, f"{state}\n\n".encode())
        except OSError as error:
            raise Retry(
                f"{self._config.state_file} cannot be written ({error.strerror}), so a reload would forget what was "
                "set; let the agent write there"
            ) from error

    def _read(self, pools: Sequence[str]) -> tuple[Info, _Tables]:
        """All pools of the worker that answers; it must be one and the same."""
        infos: set[Info] = set()
        tables: _Tables = {}
        for start in range(0, max(len(pools), 1), _POOLS_AT_ONCE):
            some = [self._pool(pool) for pool in pools[start : start + _POOLS_AT_ONCE]]
            answers = self._worker.ask(["show info", *_questions(some)])
            infos.add(read_info(answers[0]))
            tables |= _read_tables(some, answers[1:])
        if len(infos) > 1:
            raise Retry("HAProxy was reloaded while it was asked")
        return infos.pop(), tables

    def _pool(self, name: str) -> PoolTables:
        return self._pools.setdefault(name, PoolTables(name))

    def _workers(self, info: Info) -> Workers:
        workers = read_workers(self._master.ask(["show proc"])[0])
        if info.pid not in workers.current:
            raise Retry(
                f"HAProxy is being reloaded, or {self._config.master_socket} is another HAProxy's master: worker "
                f"{info.pid} is not its newest"
            )
        return workers

    def _old_worker(self, pid: int, names: Iterable[str]) -> _Tables | None:
        """What a worker from before a reload has; None if it is there and does not say."""
        pools = [PoolTables(name) for name in names]
        if not pools:
            return {}
        try:
            answers = self._master.ask([f"@!{pid} {question}" for question in _questions(pools)])
            return _read_tables(pools, answers)
        except Retry:
            return None if pid in read_workers(self._master.ask(["show proc"])[0]).old else {}

    def _refusals(self, changes: Sequence[Change]) -> dict[tuple[str, str], str]:
        """Servers that could not be brought back safely, and why."""
        named: dict[str, set[str]] = {}
        for change in changes:
            if _NAME.fullmatch(change.pool):
                named.setdefault(change.pool, set()).add(change.server)
        tables = self._latest(named.keys())
        falls = {pool: read_falls(tables[pool].said, servers) for pool, servers in named.items() if pool in tables}
        refusals = {change.place: self._refusal(change, tables.get(change.pool), falls) for change in changes}
        return {place: refusal for place, refusal in refusals.items() if refusal}

    def _latest(self, pools: Set[str]) -> _Tables:
        """What was observed just now; it counts once, and pools that were not are asked."""
        seen, self._seen = self._seen, {}
        missing = sorted(pools - seen.keys())
        return seen | self._read(missing)[1] if missing else seen

    def _refusal(self, change: Change, table: PoolTable | None, falls: Mapping[str, Mapping[str, int | None]]) -> str:
        pool, server = change.place
        if not _NAME.fullmatch(pool) or not _NAME.fullmatch(server):
            return f"{pool}/{server} is no name that HAProxy can have"
        if table is None or server not in table.state:
            return f"HAProxy has no server {pool}/{server}; add its line to {self._config.config_file}"
        fall = falls[pool].get(server)
        line = f"server {server} of {pool} in {self._config.config_file}"
        if not table.state[server].checked:
            return (
                f"{line} has no health check of its own: nobody could tell when it may serve again; write 'check', and "
                "no 'track'"
            )
        if fall is not None and fall < _MIN_FALL:
            return f"{line} has 'fall {fall}': it would be up before its first check; write 'fall 2' or more"
        return ""

    def _tell(self, commands: Sequence[_Command]) -> dict[tuple[str, str], str]:
        """Have the worker do something about each place; what it objects to."""
        answers = self._worker.tell([command for _, command in commands])
        return {
            place: f"HAProxy answered {command!r} with: {answer[:200]}"
            for (place, command), answer in zip(commands, answers, strict=True)
            if answer
        }

    def _cut(self, commands: Sequence[_Command]) -> dict[tuple[str, str], str]:
        """End the sessions, in workers from before a reload too."""
        if not commands:
            return {}
        refused = self._tell(commands)
        for pid in read_workers(self._master.ask(["show proc"])[0]).old:
            for place, command in commands:
                answer = self._master.send(f"@!{pid} {command}").strip()
                if answer and answer not in _UNKNOWN and not answer.startswith(_GONE):
                    refused[place] = f"worker {pid} from before a reload answered {command!r} with: {answer[:200]}"
        return refused


def _set(change: Change) -> str:
    return f"set server {change.pool}/{change.server} state {change.state}"


def _questions(pools: Iterable[PoolTables]) -> list[str]:
    return [question for pool in pools for question in pool.questions]


def _read_tables(pools: Sequence[PoolTables], answers: Sequence[str]) -> _Tables:
    """The answers to the questions of these pools."""
    read = {pool.name: pool.read(*answers[3 * number : 3 * number + 3]) for number, pool in enumerate(pools)}
    return {name: table for name, table in read.items() if table is not None}


def _servers(pool: str, table: PoolTable, old: Sequence[_Tables | None]) -> dict[str, Server]:
    if not old:
        return {name: _server(row, table.stat[name], table.sessions(name), 0) for name, row in table.state.items()}
    servers = {}
    for name, row in table.state.items():
        sessions, workers = table.sessions(name), 0
        for tables in old:
            more, may_send = _in_old_worker(pool, name, tables)
            sessions, workers = sessions + more, workers + may_send
        servers[name] = _server(row, table.stat[name], sessions, workers)
    return servers


def _in_old_worker(pool: str, name: str, tables: _Tables | None) -> tuple[int, bool]:
    """The sessions there, and whether it may still send requests: silence is not evidence that it does not."""
    if tables is None:
        return 0, True
    table = tables.get(pool)
    if table is None or name not in table.state:
        return 0, False
    return table.sessions(name), table.state[name].admin != "maint"


@lru_cache(_SIGHTS)
def _server(row: StateRow, stat: StatRow, sessions: int, old_workers: int) -> Server:
    fresh_drain = stat.status == "DRAIN" and row.checked and (stat.fall or 0) >= _MIN_FALL
    return Server(
        admin=row.admin,
        by_config=row.by_config,
        # "UP 1/2" is the old verdict of a server that just left MAINT, or one whose newest check failed.
        up=stat.status == "UP" or fresh_drain,
        routed=row.admin == "ready" and stat.status.startswith("UP"),
        fresh_drain=fresh_drain,
        sessions=sessions,
        old_workers=old_workers,
        address=row.address,
        status=stat.status,
    )
