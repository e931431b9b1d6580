"""A broker's virtual host, topology and accounts: made to be what the ring of nodes says."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from bus.amqp_definitions import CONTROLLER_USER, definitions, mark, node_definitions
from bus.keyring import KeyRing
from bus.keys import BadKey, hash_token, token_matches
from controller.broker.comparing import Definitions, Plan, compare
from controller.broker.management import Management, ManagementError

_AT_ONCE = 500
"""Accounts in one request; RabbitMQ 3.10 refuses bodies of some megabytes."""
_LONGEST_NAME = 255
"""Characters; AMQP has no longer names."""
_FEW, _SHARE = 5, 0.2
"""More nodes than these, and a larger share of all, do not leave a ring at once because people forgot them."""
_SHOWN = 3
_ACCOUNT_KINDS = ("users", "permissions")


@dataclass
class RingNodes:
    """What the ring says of some nodes, each of them read once."""

    trusted: dict[str, str] = field(default_factory=dict)
    """The hash of each that may connect."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Why nothing can be said of these."""
    known: set[str] = field(default_factory=set)
    """All that are in the ring: these, and those that are revoked or disputed."""


class BrokerAccounts:
    """One virtual host of one broker or cluster, and the ring that it follows."""

    def __init__(self, management: Management, vhost: str, password: str, ring: KeyRing) -> None:
        """``password`` is the controller's own at the broker."""
        self._management, self._vhost, self._password, self._ring = management, vhost, password, ring

    def plan(self, allow_delete: bool = False) -> Plan:
        """Compare everything; ``allow_delete``: believe the ring, however many nodes have left it. Raises
        ManagementError."""
        ring = nodes_of(self._ring, self._ring.nodes())
        with _understood():
            found = self._management.everything()
            wanted = definitions(self._vhost, self._controller_hash(found), ring.trusted)
            plan = compare(wanted, found, self._vhost, mark(self._vhost), keep=ring.damaged)
            _check_names(plan)
        plan.problems += ring.damaged.values()
        vanished = [name for name in plan.delete if name not in ring.known]
        if not allow_delete and _is_doubtful(len(vanished), len(ring.known)):
            _keep(plan, vanished, len(ring.known))
        return plan

    def plan_of(self, nodes: Collection[str]) -> Plan:
        """Compare the accounts of these nodes alone, for a broker that has the rest. Raises ManagementError.

        If one of them has left the ring, everything is compared: how many have tells whether that can be meant.
        """
        ring = nodes_of(self._ring, nodes)
        if not ring.known.issuperset(nodes):
            return self.plan()
        with _understood():
            accounts = [self._management.account(node) for node in nodes]
            found = {kind: [each for account in accounts for each in account[kind]] for kind in _ACCOUNT_KINDS}
            wanted = node_definitions(self._vhost, ring.trusted)
            plan = compare(wanted, found, self._vhost, mark(self._vhost), keep={CONTROLLER_USER, *ring.damaged})
            _check_names(plan)
        plan.problems += ring.damaged.values()
        return plan

    def apply(self, plan: Plan) -> None:
        """Do what the plan says: first what lets nobody in. Raises ManagementError; doing it again harms nothing.

        A password is changed by another account of that name. Otherwise whoever came with the former one would stay,
        if anything happened before the connections were closed: nothing would tell afterwards that they are to be.
        """
        for name in [*plan.delete, *plan.renew]:
            self._management.delete_account(name)
        for name, vhost in plan.forbid:
            self._management.delete_permissions(name, vhost)
        for part in _parts(plan.load):
            self._management.load(part)
            if "vhosts" in part:
                self._management.leave(self._vhost)

    def _controller_hash(self, found: Definitions) -> str:
        """What the broker has, if it is of this password: each hash has a salt of its own."""
        kept = (str(each["password_hash"]) for each in found["users"] if each["name"] == CONTROLLER_USER)
        return next((each for each in kept if token_matches(self._password, each)), hash_token(self._password))


def nodes_of(ring: KeyRing, names: Collection[str]) -> RingNodes:
    """What the ring says of these nodes."""
    found = RingNodes()
    for node in names:
        try:
            entry = ring.entry(node)
        except BadKey as error:
            found.damaged[node] = f"account/{node} is left as it is: {error}"
        else:
            if entry is None:
                continue
            if entry.trusted:
                found.trusted[node] = entry.token_hash
        found.known.add(node)
    return found


@contextmanager
def _understood() -> Iterator[None]:
    """A broker is not trusted, nor are its answers; whatever they are, they end no thread."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ManagementError(f"the broker's answer has not the form of RabbitMQ's definitions: {error!r}") from error


def _check_names(plan: Plan) -> None:
    """The broker's own words get no further than here, unless they can stand in a URL, a log and on a terminal."""
    for name in chain(plan.delete, *plan.forbid):
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise ValueError(f"{name[:_LONGEST_NAME]!r} is no name")


def _is_doubtful(vanished: int, known: int) -> bool:
    """Whether a ring that lacks so many nodes is rather a folder that is missing, or half restored."""
    if not known:
        return vanished > 0
    return vanished > _FEW and vanished / (vanished + known) > _SHARE


def _keep(plan: Plan, vanished: list[str], known: int) -> None:
    shown = ", ".join(vanished[:_SHOWN]) + (", ..." if len(vanished) > _SHOWN else "")
    plan.problems.append(
        f"accounts without a node in the ring: {len(vanished)} ({shown}), with one: {known}; none of the former is "
        "deleted: is the folder of keys the right one, and whole? If they are to go: drumbeat bus apply --allow-delete"
    )
    kept = set(vanished)
    plan.changes = [change for change in plan.changes if change.verb != "deleted" or change.name not in kept]
    plan.delete = [name for name in plan.delete if name not in kept]


def _parts(load: Mapping[str, list[Any]]) -> Iterator[dict[str, list[Any]]]:
    """The definitions in requests that are not too large: a virtual host before what is in it, accounts last."""
    topology = {kind: each for kind, each in load.items() if kind not in _ACCOUNT_KINDS}
    if topology:
        yield topology
    for kind in _ACCOUNT_KINDS:
        all_of = load.get(kind, [])
        for at in range(0, len(all_of), _AT_ONCE):
            yield {kind: all_of[at : at + _AT_ONCE]}
