"""The balancer role: it holds the named servers of each pool in the state that is assigned, whatever reloads do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from agent.drivers.contracts import BalancerDriver, Change, Retry, Server, Snapshot, Terminal
from agent.role import Observed, Steps
from agent.roles.balancer_report import PoolReports
from agent.roles.marks import Marks, Place
from bus.clock import Clock
from crds.messages import AdminState, Assignment, BalancerReport, ServerAssignment, ServerState, Stamp

Admins = Mapping[Place, AdminState]


@dataclass(frozen=True)
class Pace:
    """Seconds between two looks at the balancer."""

    moving: float = 0.05
    """While a named server is on its way; grows to ``idle`` with the time that nothing changes (a fiftieth of it)."""
    watching: float = 0.25
    """Between two looks at the worker's identity while servers are held in a state."""
    idle: float = 1.0
    """Between two full looks when nothing moves, or nothing helps."""
    silent: float = 0.05
    """After a question that was not answered; doubled up to ``idle``."""


@dataclass
class _Pass:
    """What one pass met with."""

    changed: set[str] = field(default_factory=set)
    """Pools in which something was set."""
    notes: dict[str, list[str]] = field(default_factory=dict)
    """By pool, for people: why something is not as assigned."""

    def note(self, pool: str, text: str) -> None:
        self.notes.setdefault(pool, []).append(text)


class BalancerRole:
    """Asserts, saves, reads back and reports. It never raises for what the balancer does; it does for the journal."""

    name = "balancer"

    def __init__(
        self, driver_name: str, driver: BalancerDriver, steps: Steps, clock: Clock, pace: Pace | None = None
    ) -> None:
        self._driver_name = driver_name
        self._driver = driver
        self._clock = clock
        self._pace = pace or Pace()
        self._marks = Marks(steps)
        self._reports = PoolReports(driver_name, self._marks)
        self._saved: tuple[str, Admins] | None = None
        """The worker and admin states that were saved last; None if the newest could not be."""
        self._stamp: Stamp | None = None
        self._observed = Observed()
        self._worker = ""
        self._due = 0.0
        self._full_due = 0.0
        self._silences = 0
        self._moved_at = 0.0
        self._places: object = None

    def converge(self, assignment: Assignment, now: datetime) -> Observed:  # noqa: ARG002  no clock time counts here
        mono = self._clock.monotonic()
        if assignment.stamp != self._stamp or mono >= self._due:
            self._observed = self._look(assignment, mono)
            self._stamp = assignment.stamp
        return Observed(
            pools=self._observed.pools,
            balancer=self._observed.balancer,
            again_in=max(0.0, self._due - self._clock.monotonic()),
        )

    def close(self) -> None:
        """Nothing is held between two passes."""

    def _look(self, assignment: Assignment, mono: float) -> Observed:
        try:
            if assignment.stamp == self._stamp and mono < self._full_due and self._same_worker():
                self._due = mono + self._pace.watching
                return self._observed
            return self._pass(assignment, mono)
        except Retry as silence:
            return self._silent(silence, mono)

    def _same_worker(self) -> bool:
        return bool(self._worker) and self._driver.observe(set()).worker == self._worker

    def _silent(self, silence: Retry, mono: float) -> Observed:
        """Nothing is said of the pools: silence is not evidence."""
        wait = min(self._pace.idle, self._pace.silent * 2.0 ** min(self._silences, 10))
        self._silences += 1
        self._worker, self._due, self._full_due = "", mono + wait, mono
        return Observed(balancer=BalancerReport(reachable=False, reload_safe=False, message=str(silence)))

    def _pass(self, assignment: Assignment, mono: float) -> Observed:
        pools = {name for name, pool in assignment.pools.items() if pool.driver == self._driver_name}
        named = {(pool, name) for pool in pools for name in assignment.pools[pool].servers}
        snapshot = self._driver.observe(pools)
        self._marks.see(snapshot, named)
        unsaved = "" if self._saved is not None else self._save(snapshot)
        done = self._assert(assignment, snapshot, safe=snapshot.reload_safe and not unsaved)
        if done.changed:
            snapshot = self._read_back(snapshot, pools, done.changed)
            self._marks.see(snapshot, named)
        if done.changed or self._saved != (snapshot.worker, _admins(snapshot)):
            unsaved = self._save(snapshot)
        self._silences, self._worker = 0, snapshot.worker
        self._plan_next(assignment, snapshot, done, mono)
        trouble = unsaved or snapshot.message
        safe = snapshot.reload_safe and not unsaved
        balancer = BalancerReport(reachable=True, reload_safe=safe, worker=snapshot.worker, message=trouble)
        return Observed(pools=self._reports.tell(assignment, snapshot, done.notes), balancer=balancer)

    def _read_back(self, before: Snapshot, pools: set[str], changed: set[str]) -> Snapshot:
        """What became of what was set; pools in which nothing was are as they were seen just before."""
        after = self._driver.observe(changed)
        if after.worker != before.worker:
            return self._driver.observe(pools)
        return Snapshot(
            worker=after.worker,
            reload_safe=before.reload_safe and after.reload_safe,
            message=after.message or before.message,
            pools=before.pools | after.pools,
        )

    def _save(self, snapshot: Snapshot) -> str:
        """Make the balancer's state survive a reload; why not, in words, if that fails."""
        try:
            self._driver.save()
        except (Retry, Terminal) as error:
            self._saved = None
            return str(error)
        self._saved = (snapshot.worker, _admins(snapshot))
        return ""

    def _assert(self, assignment: Assignment, snapshot: Snapshot, safe: bool) -> _Pass:
        """Set what is not as assigned, as far as it may be; intents are on disk before."""
        done = _Pass()
        changes: list[Change] = []
        intents: dict[Place, AdminState] = {}
        for pool, servers in sorted(snapshot.pools.items()):
            for name, wanted in sorted(assignment.pools[pool].servers.items()):
                server = servers.get(name)
                if server is None or wanted.state == "watch":
                    continue
                disrupts = assignment.pools[pool].plain == "ready" and server.admin == "ready"
                refusal = self._refusal((pool, name), server, wanted, disrupts and not safe)
                if refusal:
                    done.note(pool, refusal)
                    continue
                intents[pool, name] = wanted.state
                step = next_state(wanted.state, server, tests=assignment.pools[pool].plain == "maint")
                if step or _must_cut(wanted, server):
                    state = step or "maint"
                    changes.append(Change(pool, name, state, wanted.close and state == "maint"))
        self._marks.intend(intents)
        if changes:
            self._apply(changes, done)
        return done

    def _refusal(self, place: Place, server: Server, wanted: ServerAssignment, unsafe: bool) -> str:
        """Why the server is left as it is, in words; empty if it need not be."""
        name = place[1]
        if server.address != wanted.address:
            return f"{name} is {server.address} here and {wanted.address} in the fleet: it is not touched; mend either"
        if wanted.state == "ready" == self._marks.intended(place) and self._marks.is_persons(place):
            return f"a person took {name} out after it was made ready: it is left so"
        if unsafe and wanted.state != "ready":
            return f"{name} is not taken out, as a reload would forget it and put it back"
        return ""

    def _apply(self, changes: list[Change], done: _Pass) -> None:
        refused = self._driver.apply(changes)
        done.changed = {change.pool for change in changes if change.place not in refused}
        for (pool, _), refusal in sorted(refused.items()):
            done.note(pool, refusal)

    def _plan_next(self, assignment: Assignment, snapshot: Snapshot, done: _Pass, mono: float) -> None:
        """When to look again: soon while something moves, rarely where nothing does."""
        held = _held(assignment, snapshot)
        places = {place: (server.admin, server.up, server.old_workers) for place, (_, server) in held.items()}
        if places != self._places or done.changed or assignment.stamp != self._stamp:
            self._places, self._moved_at = places, mono
        self._full_due = mono + self._pace.idle
        if done.notes or not held:
            self._due = self._full_due
        elif all(settled(state, server) for state, server in held.values()):
            self._due = mono + self._pace.watching
        else:
            still = (mono - self._moved_at) / 50
            self._due = self._full_due = mono + min(max(still, self._pace.moving), self._pace.idle)


def next_state(wanted: ServerState, server: Server, tests: bool = False) -> AdminState | None:
    """What to set now on the way to ``wanted``; None if nothing is to be set, or not yet.

    A server never goes from MAINT to ready at once: it would serve on the verdict of a check from before. It goes
    through DRAIN until a fresh check succeeded. And one in MAINT is drained already: DRAIN would admit some clients.
    In a pool for ``tests`` nobody is hurt by an old verdict: what the tests find is fresher than any check.
    """
    if wanted == "maint":
        return "maint" if server.admin != "maint" else None
    if wanted == "drain":
        return "drain" if server.admin == "ready" else None
    if wanted == "ready" and server.admin == "maint":
        return "ready" if tests else "drain"
    if wanted == "ready" and server.admin == "drain" and server.fresh_drain:
        return "ready"
    return None


def settled(wanted: ServerState, server: Server) -> bool:
    """Whether the server is where it should be, and nothing is waited for."""
    if wanted == "ready":
        return server.admin == "ready" and server.up
    quiet = server.sessions == 0 and server.old_workers == 0
    return quiet and (server.admin == "maint" or (wanted == "drain" and server.admin == "drain"))


def _must_cut(wanted: ServerAssignment, server: Server) -> bool:
    return wanted.state == "maint" == server.admin and wanted.close and server.sessions > 0


def _held(assignment: Assignment, snapshot: Snapshot) -> dict[Place, tuple[ServerState, Server]]:
    """The servers that are held in a state, those only watched left out."""
    return {
        (pool, name): (wanted.state, servers[name])
        for pool, servers in snapshot.pools.items()
        for name, wanted in assignment.pools[pool].servers.items()
        if wanted.state != "watch" and name in servers
    }


def _admins(snapshot: Snapshot) -> Admins:
    return {(pool, name): server.admin for pool, servers in snapshot.pools.items() for name, server in servers.items()}
