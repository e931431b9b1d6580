"""``drumbeat bus``: what a RabbitMQ broker is given, so that it can be the bus."""

import json
from pathlib import Path
from typing import Annotated

import typer

from bus.amqp_definitions import CONTROLLER_USER, definitions, node_definitions
from bus.keyring import KeyRing
from bus.keys import BUS_PASSWORD_FILE, BadKey, generate_token, hash_token, read_secret, write_secret
from controller.cli.keys import DEFAULT_KEYS, KeysDirectory
from controller.cli.options import FAILED
from controller.cli.tables import show, talk

bus = typer.Typer(no_args_is_help=True, help="Write what a RabbitMQ broker needs to know.")


@bus.command("password")
def password(directory: KeysDirectory = DEFAULT_KEYS) -> None:
    """Make the password of the controller's account on the broker, where the controller reads it.

    Exit codes: 0 made; 1 there is one already, or the folder cannot be written.
    """
    path = directory / BUS_PASSWORD_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_secret(path, generate_token().encode() + b"\n")
    except (BadKey, OSError) as error:
        raise _failure(error) from error
    talk(f"wrote {path}, for the account {CONTROLLER_USER}; 'drumbeat bus definitions' tells the broker")


@bus.command("definitions")
def show_definitions(
    node: Annotated[
        str | None, typer.Option("--node", help="The account of this node alone.", show_default="everything")
    ] = None,
    vhost: Annotated[str, typer.Option("--vhost", help="The virtual host that the bus has to itself.")] = "drumbeat",
    directory: KeysDirectory = DEFAULT_KEYS,
) -> None:
    """Print definitions for 'rabbitmqctl import_definitions': queues, and an account for each node that is known.

    Accounts may do no more than they must. There are hashes in it and no passwords; keep it from others all the same.
    An import removes nothing: a revoked node's account goes with 'rabbitmqctl delete_user NODE'.

    Exit codes: 0 printed; 1 the node is unknown or revoked, or the controller has no password yet.
    """
    ring = KeyRing(directory)
    try:
        if node is not None:
            found = node_definitions(vhost, {node: _token_hash(ring, node)})
        else:
            found = definitions(vhost, _controller_hash(directory), _token_hashes(ring))
    except (BadKey, OSError) as error:
        raise _failure(error) from error
    show(json.dumps(found, indent=2))


def _controller_hash(directory: Path) -> str:
    path = directory / BUS_PASSWORD_FILE
    if not path.exists():
        raise BadKey(f"{path}: is not there; make it with 'drumbeat bus password'")
    return hash_token(read_secret(path).decode("ascii", errors="replace").strip())


def _token_hashes(ring: KeyRing) -> dict[str, str]:
    entries = {name: ring.entry(name) for name in ring.nodes()}
    return {name: entry.token_hash for name, entry in entries.items() if entry and not entry.revoked}


def _token_hash(ring: KeyRing, node: str) -> str:
    entry = ring.entry(node)
    if entry is None:
        raise BadKey(f"no node {node!r} is known; known are: {', '.join(ring.nodes()) or 'none'}")
    if entry.revoked:
        raise BadKey(f"{node} is revoked; remove its account with 'rabbitmqctl delete_user {node}'")
    return entry.token_hash


def _failure(error: Exception) -> typer.Exit:
    talk(f"error: {error}")
    return typer.Exit(FAILED)
