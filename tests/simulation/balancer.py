"""A load balancer without sockets, for the simulator; it behaves as HAProxy was measured to behave.

Leaving MAINT shows the verdict of an old check until a new one is made. A reload forgets what was not saved, and leaves
an old worker behind which goes on sending requests for as long as it has sessions. It can be silent.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache

from agent.drivers.contracts import Change, Retry, Server, Snapshot
from bus.clock import Clock
from crds.messages import AdminState

RISE = FALL = 2
_FULL = RISE + FALL - 1


@dataclass(frozen=True)
class Line:
    """A server line of the configuration."""

    address: str
    disabled: bool = False
    checked: bool = True


@dataclass(eq=False)
class _Server:
    line: Line
    admin: AdminState
    health: int
    """As HAProxy counts: up from RISE on, certain at RISE + FALL - 1."""
    next_check: float


@dataclass(eq=False)
class _Worker:
    number: int
    pools: dict[str, dict[str, _Server]]
    sessions: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """When each session ends, by pool and server."""
    since: float = 0.0

    def count(self, pool: str, server: str, now: float) -> int:
        ends = self.sessions.get((pool, server))
        return sum(end > now for end in ends) if ends else 0

    def busy(self, now: float) -> bool:
        return any(end > now for ends in self.sessions.values() for end in ends)


class SimBalancer:
    """Implements agent.drivers.contracts.BalancerDriver; the rest is for whoever plants faults or checks promises."""

    def __init__(
        self,
        clock: Clock,
        config: Mapping[str, Mapping[str, Line]],
        healthy: Callable[[str], bool],
        interval: float = 0.5,
        hard_stop: float = 60.0,
    ) -> None:
        """``healthy`` answers checks of an address, each ``interval`` seconds; old workers end after ``hard_stop``."""
        self.config = {pool: dict(lines) for pool, lines in config.items()}
        self.silent = False
        self.safe = True
        """Whether the configuration reads the saved state."""
        self.full_disk = False
        self.refusals = 0
        self.people: set[tuple[str, str]] = set()
        """(pool, server) that a person has taken out, as far as its agent has seen and nobody has put it back."""
        self._marks: dict[tuple[str, str], bool] = {}
        """Of those that its agent may not have noticed yet: whether it was shown them."""
        self._shown: set[str] = set()
        """Pools that this agent was shown in this worker's life: elsewhere it cannot tell what has changed."""
        self._clock = clock
        self._healthy = healthy
        self._interval = interval
        self._hard_stop = hard_stop
        self._saved: dict[str, dict[str, tuple[AdminState, int]]] | None = None
        self._old: list[_Worker] = []
        self._ticked = -1.0
        self._checks: list[tuple[float, int, _Worker, _Server]] = []
        """A heap of the checks that are due, the earliest first; between two of them nothing changes by itself."""
        self._made = 0
        self._worker = self._begin(1)

    @property
    def worker(self) -> int:
        """Which worker serves; each reload brings another one."""
        return self._worker.number

    def observe(self, pools: set[str]) -> Snapshot:
        self._answer()
        self._marks |= {place: True for place in self._marks if place[0] in pools}
        self._shown |= pools
        return Snapshot(
            worker=f"worker-{self._worker.number}",
            reload_safe=self.safe,
            message="" if self.safe else "the configuration does not read the saved state; mend it",
            pools={pool: self._show(pool) for pool in sorted(pools) if pool in self._worker.pools},
        )

    def apply(self, changes: Sequence[Change]) -> dict[tuple[str, str], str]:
        self._answer()
        return {change.place: refusal for change in changes if (refusal := self._apply(change))}

    def _apply(self, change: Change) -> str:
        found = self._worker.pools.get(change.pool, {}).get(change.server)
        if found is None:
            return f"there is no server {change.pool}/{change.server}; add its line"
        if not found.line.checked:
            return f"server {change.server} of {change.pool} has no health check; add one"
        self._set(found, change.state)
        if change.close:
            for worker in (self._worker, *self._old):
                worker.sessions.pop(change.place, None)
        return ""

    def save(self) -> None:
        self._answer()
        if self.full_disk:
            raise Retry("the state cannot be written: no space left")
        self._saved = {
            pool: {name: (server.admin, server.health) for name, server in servers.items()}
            for pool, servers in self._worker.pools.items()
        }

    def reload(self) -> None:
        """The configuration is read anew; what is not saved is forgotten, and sessions stay with the old worker."""
        self._tick()
        if self._worker.busy(self._clock.monotonic()):
            self._worker.since = self._clock.monotonic()
            self._old.append(self._worker)
        self._replace_worker()

    def restart(self) -> None:
        """Everything ended at once, sessions too."""
        self._old.clear()
        self._replace_worker()

    def by_person(self, pool: str, server: str, state: AdminState) -> None:
        """Somebody sets a server by hand. Only of one that is ready can be told that a person has taken it out."""
        found = self._worker.pools[pool][server]
        if state == "ready":
            self.people.discard((pool, server))
            self._marks.pop((pool, server), None)
        elif found.admin == "ready" and pool in self._shown:
            self._marks[pool, server] = False
        self._set(found, state)

    def has_new_agent(self) -> None:
        """A life of its agent begins: until it looks, it cannot tell what changed, nor what its predecessor saw."""
        self._marks, self._shown = {}, set()

    def was_seen(self) -> None:
        """Its agent has finished a step; what it was shown in this life, it has noticed and journaled."""
        self.people |= {place for place, shown in self._marks.items() if shown}
        self._marks = {place: False for place, shown in self._marks.items() if not shown}

    def hold(self, pool: str, server: str, seconds: float) -> None:
        """A session begins there and lasts so long."""
        ends = self._worker.sessions.setdefault((pool, server), [])
        ends.append(self._clock.monotonic() + seconds)

    def end_sessions(self) -> None:
        """Every client closes its connection."""
        for worker in (self._worker, *self._old):
            worker.sessions.clear()

    def may_send(self, pool: str, server: str) -> bool:
        """The truth: whether a request can reach the server through this pool now, through whatever worker."""
        self._tick()
        workers = [self._worker, *self._old]
        servers = [found for worker in workers if (found := worker.pools.get(pool, {}).get(server))]
        return any(found.admin != "maint" and found.health >= RISE for found in servers)

    def serves(self, pool: str, server: str) -> bool:
        """The truth: whether new customers are sent there now."""
        self._tick()
        found = self._worker.pools.get(pool, {}).get(server)
        return found is not None and found.admin == "ready" and found.health >= RISE

    def look(self, pool: str, server: str) -> Server | None:
        """The truth about one server, whether the balancer answers its agent or not."""
        self._tick()
        found = self._worker.pools.get(pool, {}).get(server)
        return self._server(pool, server, found, self._clock.monotonic()) if found else None

    def saved(self, pool: str, server: str) -> AdminState | None:
        """Which state a reload would bring back; None if none was saved."""
        admin, _ = (self._saved or {}).get(pool, {}).get(server, (None, 0))
        return admin

    def _replace_worker(self) -> None:
        """What a person did shortly before, and nobody has noticed yet, may come from the saved state as well."""
        self._worker = self._begin(self._worker.number + 1)
        self._marks, self._shown = {}, set()
        self.people = {place for place in self.people if self._worker.pools[place[0]][place[1]].admin != "ready"}

    def _begin(self, number: int) -> _Worker:
        now = self._clock.monotonic()
        saved = deepcopy(self._saved) if self.safe and self._saved else {}
        worker = _Worker(number, pools := {})
        for pool, lines in self.config.items():
            pools[pool] = {}
            for name, line in lines.items():
                admin: AdminState = "maint" if line.disabled else "ready"
                admin, health = saved.get(pool, {}).get(name, (admin, RISE))
                pools[pool][name] = server = _Server(line, admin, health, now + 0.001)
                self._plan_check(worker, server)
        return worker

    def _set(self, server: _Server, state: AdminState) -> None:
        self._tick()
        if server.admin == "maint" != state:
            server.health = RISE  # up by the verdict of a check from before
            server.next_check = self._clock.monotonic() + 0.001
            server.admin = state
            self._plan_check(self._worker, server)
        server.admin = state

    def _answer(self) -> None:
        if self.silent:
            self.refusals += 1
            raise Retry("the balancer does not answer")
        self._tick()

    def _tick(self) -> None:
        now = self._clock.monotonic()
        if now == self._ticked:
            return
        self._ticked = now
        if self._old:
            self._old = [old for old in self._old if old.busy(now) and now - old.since < self._hard_stop]
        while self._checks and self._checks[0][0] <= now:
            due, _, worker, server = heapq.heappop(self._checks)
            lives = worker is self._worker or worker in self._old
            if lives and server.admin != "maint" and server.next_check == due:
                self._check(server, now)
                self._plan_check(worker, server)

    def _plan_check(self, worker: _Worker, server: _Server) -> None:
        if server.admin != "maint":
            self._made += 1
            heapq.heappush(self._checks, (server.next_check, self._made, worker, server))

    def _check(self, server: _Server, now: float) -> None:
        """Make the checks that are due; their answers are those of this moment."""
        due = 1 + int((now - server.next_check) / self._interval)
        server.next_check += due * self._interval
        for _ in range(min(due, _FULL)):
            server.health = self._after(server.health, self._healthy(server.line.address))

    def _after(self, health: int, passed: bool) -> int:
        if passed:
            return _FULL if health + 1 >= RISE else health + 1
        return health - 1 if health > RISE else 0

    def _show(self, pool: str) -> dict[str, Server]:
        now = self._clock.monotonic()
        return {name: self._server(pool, name, server, now) for name, server in self._worker.pools[pool].items()}

    def _server(self, pool: str, name: str, server: _Server, now: float) -> Server:
        sessions = self._worker.count(pool, name, now) if self._worker.sessions else 0
        old_workers = 0
        for worker in self._old:
            if (there := worker.pools.get(pool, {}).get(name)) is not None:
                sessions += worker.count(pool, name, now)
                old_workers += there.admin != "maint"
        return _seen(server.line, server.admin, server.health, sessions, old_workers)


@lru_cache(maxsize=4096)
def _seen(line: Line, admin: AdminState, health: int, sessions: int, old_workers: int) -> Server:
    """Worked out once: servers are looked at far more often than they change."""
    status = _status(admin, health)
    return Server(
        admin=admin,
        by_config=admin == "maint" and line.disabled,
        up=status in ("UP", "DRAIN"),
        routed=status.startswith("UP"),
        fresh_drain=status == "DRAIN",
        sessions=sessions,
        old_workers=old_workers,
        address=line.address,
        status=status,
    )


def _status(admin: AdminState, health: int) -> str:
    if admin == "maint":
        return "MAINT"
    if health < RISE:
        return "DOWN"
    word = "UP" if admin == "ready" else "DRAIN"
    return word if health == _FULL else f"{word} {health - RISE + 1}/{FALL}"
