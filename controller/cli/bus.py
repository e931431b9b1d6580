"""``drumbeat bus``: what a RabbitMQ broker is given, so that it can be the bus."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from bus.amqp_definitions import CONTROLLER_USER, MANAGEMENT_USER, definitions, node_definitions
from bus.amqp_url import BadBrokerUrl
from bus.keyring import KeyRing
from bus.keys import (
    BUS_PASSWORD_FILE,
    MANAGEMENT_PASSWORD_FILE,
    BadKey,
    generate_token,
    hash_token,
    read_secret,
    write_secret,
)
from controller.broker.accounts import RingNodes, nodes_of
from controller.broker.files import broker_accounts
from controller.broker.management import BadManagementUrl, ManagementError
from controller.cli.diff import DIFFERS
from controller.cli.keys import DEFAULT_KEYS, KeysDirectory, make_directory
from controller.cli.options import FAILED
from controller.cli.tables import show, talk

bus = typer.Typer(no_args_is_help=True, help="Tell a RabbitMQ broker what it needs to know.")

Vhost = Annotated[str, typer.Option("--vhost", help="The virtual host that the bus has to itself.")]
VHOST = "drumbeat"


@bus.command("password")
def password(
    directory: KeysDirectory = DEFAULT_KEYS,
    management: Annotated[
        bool, typer.Option("--management", help="Of the account that makes the others, for 'drumbeat bus apply'.")
    ] = False,
) -> None:
    """Make the password of the controller's account on the broker, where the controller reads it.

    Exit codes: 0 made; 1 there is one already, or the folder cannot be written or belongs to another account.
    """
    path, user = directory / BUS_PASSWORD_FILE, CONTROLLER_USER
    if management:
        path, user = directory / MANAGEMENT_PASSWORD_FILE, MANAGEMENT_USER
    try:
        make_directory(directory)
        write_secret(path, generate_token().encode() + b"\n")
    except (BadKey, OSError) as error:
        raise _failure(error) from error
    talk(f"wrote {path}, for the account {user}; 'drumbeat bus definitions' tells the broker")


@bus.command("apply")
def apply(
    management: Annotated[
        str,
        typer.Option(
            "--management", envvar="DRUMBEAT_BUS_MANAGEMENT", help="https://HOST:PORT,... of RabbitMQ's management."
        ),
    ],
    vhost: Vhost = VHOST,
    directory: KeysDirectory = DEFAULT_KEYS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    allow_delete: Annotated[
        bool, typer.Option("--allow-delete", help="Delete accounts however many nodes have left the ring at once.")
    ] = False,
) -> None:
    """Make a broker's virtual host, queues and accounts be what the ring of nodes says.

    Accounts of nodes that were revoked, disputed or forgotten are deleted, and their connections closed; but where the
    ring is empty, or lacks more than five nodes and more than a fifth of all, nobody is deleted for that without
    --allow-delete. Accounts that are not Drumbeat's are left alone; ours have the tag drumbeat:VHOST. The password of
    the account drumbeat_management is read from bus.management.password in the folder of keys. A controller with the
    setting busManagement does all this by itself.

    Exit codes: 0 all is as it should be; 1 something could not be done; 2 something would be done (--dry-run).
    """
    try:
        accounts = broker_accounts(directory, management, vhost, KeyRing(directory))
        plan = accounts.plan(allow_delete)
        if not dry_run:
            accounts.apply(plan)
    except (BadKey, BadBrokerUrl, BadManagementUrl, ManagementError, OSError) as error:
        raise _failure(error) from error
    if plan.changes:
        show([f"{change}{' (dry run)' if dry_run else ''}" for change in plan.changes])
    _end(plan.problems)
    if not plan.changes:
        talk("no difference")
    raise typer.Exit(DIFFERS if dry_run and plan.changes else 0)


@bus.command("definitions")
def show_definitions(
    node: Annotated[
        str | None, typer.Option("--node", help="The account of this node alone.", show_default="everything")
    ] = None,
    vhost: Vhost = VHOST,
    directory: KeysDirectory = DEFAULT_KEYS,
) -> None:
    """Print definitions for 'rabbitmqctl import_definitions': queues, and an account for each node that is known.

    Accounts may do no more than they must. There are hashes in it and no passwords; keep it from others all the same.
    After 'drumbeat bus password --management' that account is among them, and 'drumbeat bus apply' can do the rest.
    An import removes nothing: a revoked node's account goes with 'rabbitmqctl delete_user NODE'.

    Exit codes: 0 printed; 1 the node is unknown, revoked or disputed, the controller has no password yet, or an entry
    of the ring cannot be read: everybody else is printed then.
    """
    ring = KeyRing(directory)
    nodes = RingNodes()
    try:
        if node is not None:
            found = node_definitions(vhost, {node: _token_hash(ring, node)})
        else:
            of_management = directory / MANAGEMENT_PASSWORD_FILE
            maker = _hash(of_management) if of_management.exists() else None
            nodes = nodes_of(ring, ring.nodes())
            found = definitions(vhost, _hash(directory / BUS_PASSWORD_FILE), nodes.trusted, maker)
    except (BadKey, OSError) as error:
        raise _failure(error) from error
    show(json.dumps(found, indent=2))
    _end(nodes.damaged.values())


def _hash(path: Path) -> str:
    if not path.exists():
        raise BadKey(f"{path}: is not there; make it with 'drumbeat bus password'")
    return hash_token(read_secret(path).decode("utf-8", errors="replace").strip())


def _token_hash(ring: KeyRing, node: str) -> str:
    entry = ring.entry(node)
    if entry is None:
        raise BadKey(f"no node {node!r} is known; known are: {', '.join(ring.nodes()) or 'none'}")
    if not entry.trusted:
        state = "revoked" if entry.revoked else "disputed"
        raise BadKey(f"{node} is {state}; remove its account with 'rabbitmqctl delete_user {node}'")
    return entry.token_hash


def _end(problems: Collection[str]) -> None:
    """End the command as failed if something could not be done; the rest was."""
    for problem in problems:
        talk(f"error: {problem}")
    if problems:
        raise typer.Exit(FAILED)


def _failure(error: Exception) -> typer.Exit:
    talk(f"error: {error}")
    return typer.Exit(FAILED)
