"""What a balancer node says of its pools: servers that are named or out of place one by one, the rest as a digest."""

from collections.abc import Mapping, Sequence

from agent.drivers.contracts import Server, Snapshot
from agent.roles.marks import By, Marks, Place
from crds.messages import Assignment, PoolAssignment, PoolReport, ServerReport, Stamp, server_number


class PoolReports:
    """Writes the entries. A server's share of a digest is worked out once; what stays as it was is not written anew."""

    def __init__(self, driver_name: str, marks: Marks) -> None:
        self._driver_name = driver_name
        self._marks = marks
        self._numbers: dict[tuple[str, str], int] = {}
        self._written: dict[Place, tuple[object, ServerReport]] = {}
        """By place: what is said of a server, after what it was made of."""

    def tell(
        self, assignment: Assignment, snapshot: Snapshot, notes: Mapping[str, Sequence[str]]
    ) -> dict[str, PoolReport]:
        """An entry for each assigned pool, stamped with the assignment under which it was read."""
        return {
            name: self._pool(assignment.stamp, name, pool, snapshot.pools.get(name), list(notes.get(name, [])))
            for name, pool in assignment.pools.items()
        }

    def _pool(
        self, stamp: Stamp, name: str, pool: PoolAssignment, servers: Mapping[str, Server] | None, notes: list[str]
    ) -> PoolReport:
        if pool.driver != self._driver_name:
            words = f"this node's balancer is {self._driver_name!r}, not {pool.driver!r}; mend the LoadBalancer"
            return PoolReport(read=stamp, known=False, message=words)
        if servers is None:
            return PoolReport(read=stamp, known=False, message=f"there is no pool {name} on this balancer; add it")
        named, rest, number = {}, 0, 0
        for server_name, server in servers.items():
            if server_name in pool.servers or not _is_plain(server, pool):
                named[server_name] = self._server(stamp, (name, server_name), server)
            else:
                rest, number = rest + 1, number + self._number(server_name, server.address)
        notes += [
            f"there is no server {missing} in {name}; add its line" for missing in sorted(pool.servers - servers.keys())
        ]
        digest = format(number % 2**64, "016x")
        return PoolReport(read=stamp, servers=named, plain_count=rest, plain_digest=digest, message="; ".join(notes))

    def _server(self, stamp: Stamp, place: Place, server: Server) -> ServerReport:
        made_of = (stamp, self._marks.by(place, server), server)
        known, report = self._written.get(place, (None, None))
        if report is None or known != made_of:
            report = _server_report(*made_of)
            self._written[place] = (made_of, report)
        return report

    def _number(self, name: str, address: str) -> int:
        number = self._numbers.get((name, address))
        if number is None:
            number = self._numbers[name, address] = server_number(name, address)
        return number


def _is_plain(server: Server, pool: PoolAssignment) -> bool:
    if pool.plain == "maint":
        return server.admin == "maint"
    return server.admin == "ready" and server.up


def _server_report(stamp: Stamp, by: By, server: Server) -> ServerReport:
    return ServerReport(
        read=stamp,
        admin=server.admin,
        by=by,
        up=server.up,
        routed=server.routed,
        idle=server.sessions == 0,
        address=server.address,
        sessions=server.sessions,
        old_workers=server.old_workers,
        status=server.status,
    )
