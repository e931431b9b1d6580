"""A broker's virtual host, topology and accounts: made to be what the ring of nodes says."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
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
_ACCOUNT_KINDS = ("users", "permissions")


class BrokerAccounts:
    """One virtual host of one broker or cluster, and the ring that it follows."""

    def __init__(self, management: Management, vhost: str, password: str, ring: KeyRing) -> None:
        """``password`` is the controller's own at the broker."""
        self._management, self._vhost, self._password, self._ring = management, vhost, password, ring

    def plan(self) -> Plan:
        """Compare everything. Raises ManagementError."""
        nodes, damaged = self._trusted(self._ring.nodes())
        with _understood():
            found = self._management.everything()
            wanted = definitions(self._vhost, self._controller_hash(found), nodes)
            plan = compare(wanted, found, self._vhost, mark(self._vhost), keep=damaged)
            _check_names(plan)
        plan.problems += damaged.values()
        if plan.delete and not self._ring.nodes():
            _delete_none(plan)
        return plan

    def plan_of(self, nodes: Collection[str]) -> Plan:
        """Compare the accounts of these nodes alone, for a broker that has the rest. Raises ManagementError."""
        trusted, damaged = self._trusted(nodes)
        with _understood():
            accounts = [self._management.account(node) for node in nodes]
            found = {kind: [each for account in accounts for each in account[kind]] for kind in _ACCOUNT_KINDS}
            wanted = node_definitions(self._vhost, trusted)
            plan = compare(wanted, found, self._vhost, mark(self._vhost), keep={CONTROLLER_USER, *damaged})
            _check_names(plan)
        plan.problems += damaged.values()
        return plan

    def apply(self, plan: Plan) -> None:
        """Do what the plan says: first what lets nobody in. Raises ManagementError; doing it again harms nothing."""
        for name in plan.delete:
            self._management.delete_account(name)
        for name, vhost in plan.forbid:
            self._management.delete_permissions(name, vhost)
        for part in _parts(plan.load):
            self._management.load(part)
            if "vhosts" in part:
                self._management.leave(self._vhost)
        for name in plan.close:
            self._management.close_connections(name)

    def _trusted(self, nodes: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The hash of each node that may connect, and why nothing can be said of others."""
        hashes, damaged = {}, {}
        for node in nodes:
            try:
                entry = self._ring.entry(node)
            except BadKey as error:
                damaged[node] = f"account/{node} is left as it is: {error}"
            else:
                if entry is not None and entry.trusted:
                    hashes[node] = entry.token_hash
        return hashes, damaged

    def _controller_hash(self, found: Definitions) -> str:
        """What the broker has, if it is of this password: each hash has a salt of its own."""
        kept = (str(each["password_hash"]) for each in found["users"] if each["name"] == CONTROLLER_USER)
        return next((each for each in kept if token_matches(self._password, each)), hash_token(self._password))


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


def _delete_none(plan: Plan) -> None:
    """A ring without any node is rather a folder that is missing than a fleet that is gone."""
    plan.problems.append(
        f"the ring of nodes is empty, and {len(plan.delete)} accounts are there: none is deleted; is the folder of "
        "keys the right one? If they are to go: rabbitmqctl delete_user NAME"
    )
    plan.changes = [change for change in plan.changes if change.verb != "deleted"]
    plan.delete = []


def _parts(load: Mapping[str, list[Any]]) -> Iterator[dict[str, list[Any]]]:
    """The definitions in requests that are not too large: a virtual host before what is in it, accounts last."""
    topology = {kind: each for kind, each in load.items() if kind not in _ACCOUNT_KINDS}
    if topology:
        yield topology
    for kind in _ACCOUNT_KINDS:
        all_of = load.get(kind, [])
        for at in range(0, len(all_of), _AT_ONCE):
            yield {kind: all_of[at : at + _AT_ONCE]}
