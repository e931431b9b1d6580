"""``drumbeat nodes``: who may join, and whose word counts. For the controller's machine, and its account.

All of it is files in the folder of keys, which the running controller reads by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from bus.clock import Clock, SystemClock
from bus.history import History
from bus.invitations import Invitation, Invitations
from bus.keyring import ALL_ROLES, KeyRing, NodeEntry, NodeRole
from bus.keys import CONTROLLER_KEY_FILE, BadKey, load_private_key
from controller.cli.keys import DEFAULT_KEYS, KeysDirectory, must_be_owner
from controller.cli.options import FAILED, validity
from controller.cli.tables import Table, show, talk
from controller.cli.who import who
from crds.base import format_duration

nodes = typer.Typer(no_args_is_help=True, help="Invite, list, revoke and re-key nodes.")

NodeName = Annotated[str, typer.Argument(help="The node's name, as the fleet has it.")]
Valid = Annotated[
    float,
    typer.Option("--valid", parser=validity, metavar="DURATION", help="How long the invitation can be used."),
]


@dataclass
class _Desk:
    """What the commands work on."""

    ring: KeyRing
    invitations: Invitations
    history: History
    clock: Clock

    def entry(self, name: str) -> NodeEntry:
        found = self.ring.entry(name)
        if found is None:
            known = ", ".join(self.ring.nodes()) or "none"
            raise BadKey(f"no node {name!r} has joined; there are: {known}")
        return found

    def write(self, did: str, node: str, detail: str = "") -> None:
        self.history.write(did, node, detail, self.clock.now())

    def invite(self, name: str, roles: Sequence[NodeRole], valid: float, did: str) -> str:
        token = self.invitations.invite(name, roles, timedelta(seconds=valid), self.clock.now())
        self.write(did, name, f"as {', '.join(sorted(set(roles)))}, for {format_duration(valid)}")
        return token


@contextmanager
def _desk(directory: Path) -> Iterator[_Desk]:
    """The folder of keys, without expired invitations; what goes wrong ends the command with one clear line."""
    try:
        must_be_owner(directory)
        clock, invitations = SystemClock(), Invitations(directory)
        invitations.prune(clock.now())
        yield _Desk(KeyRing(directory), invitations, History(directory, by=who()), clock)
    except (BadKey, OSError) as error:
        talk(f"error: {error}")
        raise typer.Exit(FAILED) from error


@contextmanager
def _changing(directory: Path) -> Iterator[_Desk]:
    """The same, while nobody else changes anything there: neither another command nor the controller."""
    with _desk(directory) as desk, desk.ring.changing():
        yield desk


def _roles(said: list[str]) -> list[NodeRole]:
    known: dict[str, NodeRole] = {role: role for role in ALL_ROLES}
    if unknown := [role for role in said if role not in known]:
        raise typer.BadParameter(f"{unknown[0]!r} is no role; write {', '.join(ALL_ROLES)}", param_hint="--role")
    return [known[role] for role in said]


@nodes.command()
def invite(
    name: NodeName,
    role: Annotated[list[str], typer.Option("--role", help="host, balancer or runner; may be repeated.")],
    valid: Valid = "1h",  # type: ignore[assignment]  # Typer parses the default, too
    directory: KeysDirectory = DEFAULT_KEYS,
) -> None:
    """Let a machine join under that name and as that; prints the token, once.

    An earlier invitation of the node ends. Exit codes: 0 invited; 1 the name is bad, a node of that name has joined, or
    there is no controller's key.
    """
    roles = _roles(role)
    with _changing(directory) as desk:
        load_private_key(directory / CONTROLLER_KEY_FILE)
        if desk.ring.entry(name) is not None:
            raise BadKey(f"a node {name} has joined already; 'drumbeat nodes rekey {name}' takes another in its place")
        token = desk.invite(name, roles, valid, "invited")
    _hand_out(name, token, valid)


@nodes.command()
def rekey(
    name: NodeName,
    role: Annotated[list[str] | None, typer.Option("--role", help="Its roles, if others.")] = None,
    valid: Valid = "1h",  # type: ignore[assignment]
    directory: KeysDirectory = DEFAULT_KEYS,
) -> None:
    """Believe nothing of the node's present key from now on, and invite it to join with a new one.

    Exit codes: 0 done; 1 no such node has joined.
    """
    others = _roles(role or [])
    with _changing(directory) as desk:
        entry = desk.entry(name)
        desk.ring.revoke(name)
        desk.write("revoked", name, "to be re-keyed")
        token = desk.invite(name, others or entry.roles, valid, "invited")
    _hand_out(name, token, valid)


def _hand_out(name: str, token: str, valid: float) -> None:
    show(token)
    talk(
        f"on {name}, within {format_duration(valid)}: "
        f"drumbeat-agent join --controller https://... --name {name} --credentials /etc/drumbeat/credentials; "
        "it reads this token from stdin, or from --token-file"
    )


@nodes.command()
def revoke(name: NodeName, directory: KeysDirectory = DEFAULT_KEYS) -> None:
    """Believe nothing of the node, and let it connect no more. Its services run on.

    An invitation of that name is withdrawn, also of a node that has not joined yet.

    Exit codes: 0 revoked, or its invitation is withdrawn; 1 no such node has joined or is invited.
    """
    with _changing(directory) as desk:
        withdrawn = desk.invitations.withdraw(name)
        if withdrawn and desk.ring.entry(name) is None:
            desk.write("withdrawn", name, "its invitation; it has not joined")
            said = f"the invitation of {name} is withdrawn; its token lets nobody join any more"
        else:
            desk.entry(name)
            desk.ring.revoke(name)
            desk.write("revoked", name, "its invitation as well" if withdrawn else "")
            said = f"{name} is revoked; 'drumbeat nodes restore {name}' takes it back"
    talk(said)


@nodes.command()
def restore(name: NodeName, directory: KeysDirectory = DEFAULT_KEYS) -> None:
    """Take a revocation back: the key that the node has is good again.

    Exit codes: 0 restored; 1 no such node has joined, or it is not revoked.
    """
    _lift(directory, name, "restored", KeyRing.restore, lambda entry: entry.revoked, "is not revoked")


@nodes.command()
def trust(name: NodeName, directory: KeysDirectory = DEFAULT_KEYS) -> None:
    """End a dispute: only one machine has the node's credentials now, for example because it was restored.

    Exit codes: 0 trusted; 1 no such node has joined, or it is not disputed.
    """
    _lift(directory, name, "trusted", KeyRing.trust, lambda entry: bool(entry.disputed), "is not disputed")


def _lift(
    directory: Path,
    name: str,
    did: str,
    lift: Callable[[KeyRing, str], None],
    applies: Callable[[NodeEntry], bool],
    otherwise: str,
) -> None:
    with _changing(directory) as desk:
        if not applies(desk.entry(name)):
            raise BadKey(f"{name} {otherwise}; see 'drumbeat nodes show {name}'")
        lift(desk.ring, name)
        desk.write(did, name)
    talk(f"{name} is {did}; it counts again with its next report")


@nodes.command("list")
def list_nodes(directory: KeysDirectory = DEFAULT_KEYS) -> None:
    """Show every node that has joined or is invited. What they report is shown by 'drumbeat get nodes'.

    Exit codes: 0 shown; 1 the folder of keys cannot be read.
    """
    with _desk(directory) as desk:
        rows = [_row(desk.ring, name) for name in desk.ring.nodes()]
        rows += [_invited(found, desk.clock) for found in desk.invitations.all().values() if not found.used_by]
    show(Table(("NAME", "STATE", "ROLES", "KEY")).lines(sorted(rows)))


def _row(ring: KeyRing, name: str) -> tuple[str, str, str, str]:
    try:
        entry = ring.entry(name)
    except BadKey:
        return name, "damaged", "", ""
    if entry is None:
        return name, "gone", "", ""
    return name, _state(entry), ",".join(entry.roles), entry.public_key[:20]


def _invited(invitation: Invitation, clock: Clock) -> tuple[str, str, str, str]:
    left = max((invitation.expires - clock.now()).total_seconds(), 0.0)
    return invitation.node, f"invited ({format_duration(int(left))} left)", ",".join(invitation.roles), ""


def _state(entry: NodeEntry) -> str:
    if entry.revoked:
        return "revoked"
    return "disputed" if entry.disputed else "joined"


@nodes.command("show")
def show_node(name: NodeName, directory: KeysDirectory = DEFAULT_KEYS) -> None:
    """Show one node's credentials, without secrets, and what was done to them by whom.

    Exit codes: 0 shown; 1 nothing is known of it.
    """
    with _desk(directory) as desk:
        deeds = desk.history.of(name)
        lines = [] if desk.ring.entry(name) is None and deeds else _described(desk.entry(name))
        open_ones = [found for found in desk.invitations.all().values() if found.node == name and not found.used_by]
    show(
        [f"Node:     {name}", *lines, *(f"Invited:  until {each.expires:%Y-%m-%d %H:%M:%S} UTC" for each in open_ones)]
    )
    rows = [(f"{deed.at:%Y-%m-%d %H:%M:%S}", deed.by, deed.did, deed.detail) for deed in deeds]
    if rows:
        show(["", *Table(("AT (UTC)", "BY", "DID", "DETAIL")).lines(rows)])


def _described(entry: NodeEntry) -> list[str]:
    said = f"{_state(entry)}: {entry.disputed}" if entry.disputed else _state(entry)
    return [f"State:    {said}", f"Roles:    {', '.join(entry.roles)}", f"Key:      {entry.public_key}"]
