"""Acts on balancers and processes, each looked at in the moment before it happens."""

from agent.drivers.contracts import Server
from tests.simulation.checkers.orders import Orders
from tests.simulation.checkers.truth import PromiseBroken, Truth, service_of
from tests.simulation.desired import FLEET_SHARE, ZONE_SHARE, pool, zone_of


def _share(percent: int, hosts: int) -> int:
    """Hosts that so many percent are, 1 at least."""
    return max(percent * hosts // 100, 1)


def _is_gone(server: Server) -> bool:
    return server.admin == "maint" and not server.sessions and not server.old_workers


class Acts:
    """Promises 1, 3, 4, 9 and 13, from what balancers and processes are."""

    def __init__(self, truth: Truth, orders: Orders) -> None:
        self._truth, self._orders = truth, orders
        self.passed: dict[tuple[str, str], set[str]] = {}
        """By (target, host): digests whose gates have passed there, since something else last ran there."""
        self.complete: set[str] = set()
        """Services that were online everywhere at least once: from then on the budget counts."""
        self.out: set[tuple[str, str]] = set()
        """(service, host) that we took out, and that is not in again everywhere."""

    def taken_out(self, node: str, pool_name: str, server: str) -> None:
        """Promises 1 and 9: a host that is in leaves for its own journey alone, and with no more than the budget."""
        service, _, kind = pool_name.partition("_")
        before = self._truth.server(node, pool_name, server)
        if kind != "online" or before is None or self._truth.away(node):
            return
        if before.admin == "maint":
            self.let_in(node, pool_name, server)  # through DRAIN, which admits some clients already
        elif before.admin == "ready":
            self._leaves(node, service, server, before)

    def _leaves(self, node: str, service: str, host: str, before: Server) -> None:
        """Whoever serves nobody may go however many are out: it is missing already, and is mended on its way."""
        if not self._orders.asks_for(node, f"{service}@prod", host):
            raise PromiseBroken(9, f"{node} takes {host} out of {service}, {before.status} and on no journey")
        self.notice()
        serves = self._truth.serves(service, host)
        if serves:
            self._fits_the_fleet(host)
        self.out.add((service, host))
        out = sorted(name for name in self._truth.names if (service, name) in self.out)
        if serves and service in self.complete and len(out) > self._truth.allowed:
            words = f"then {out} are out, {self._truth.allowed} may"
            raise PromiseBroken(1, f"{node} takes {host} out of {service}: {words}")

    def _fits_the_fleet(self, host: str) -> None:
        """The limits of the fleet: a host that is out for one service is out, also if nobody took it out."""
        if any(not self._truth.serves(service, host) for service in self.complete):
            return
        out = {name for service, name in self.out if service in self.complete}
        zone = {name for name in self._truth.names if zone_of(name) == zone_of(host)}
        most, most_in_zone = _share(FLEET_SHARE, len(self._truth.names)), _share(ZONE_SHARE, len(zone))
        after = out | {host}
        if self.complete and host not in out and (len(after) > most or len(after & zone) > most_in_zone):
            may = f"{most} may, {most_in_zone} in a zone"
            raise PromiseBroken(1, f"{host} is taken out: then {sorted(after)} are out of the fleet; {may}")

    def let_in(self, node: str, pool_name: str, server: str) -> None:
        """Promises 4 and 13: no host goes in untested, or over a person's head."""
        service, _, kind = pool_name.partition("_")
        if kind != "online":
            return
        if self._truth.marked(node, pool_name, server):
            raise PromiseBroken(13, f"{node} lets {server} into {pool_name}, though a person took it out")
        if self._truth.away(node):
            return
        target = f"{service}@prod"
        digest = self._truth.digest(server, target)  # None: its process has just ended
        tested = self.passed.get((target, server), set())
        if not tested or digest not in {None, *tested}:
            raise PromiseBroken(
                4, f"{node} lets {server} into {pool_name} with {digest}, whose gates never passed there"
            )

    def replaced(self, host: str, target: str) -> None:
        """Promises 3 and 9: the process of a host that customers may reach is neither replaced nor stopped."""
        for node in self._truth.balancers:
            server = self._truth.server(node, pool(service_of(target), "online"), host)
            if self._truth.away(node) or server is None or _is_gone(server):
                continue
            if self._orders.asks_for(host, target, host):
                raise PromiseBroken(3, f"{target} is replaced on {host} while it is {server.status} on {node}")
            raise PromiseBroken(9, f"{target} is stopped on {host}, {server.status} on {node} and on no journey")
        self.passed.pop((target, host), None)

    def notice(self) -> None:
        """Look who is in: a host counts as taken out until every balancer node has it in again."""
        self.out = {each for each in self.out if not self._truth.is_in(*each)}
        for service in self._truth.services:
            if service not in self.complete and self._truth.serves_everywhere(service):
                self.complete.add(service)
