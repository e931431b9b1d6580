"""``drumbeat keys``: the controller's signing key, and credentials for nodes."""

from pathlib import Path
from typing import Annotated

import typer

from bus.keyring import KeyRing, write_node_keys
from bus.keys import CONTROLLER_KEY_FILE, BadKey, generate_key, load_private_key, public_text, save_private_key
from controller.cli.options import FAILED
from controller.cli.tables import show, talk

keys = typer.Typer(no_args_is_help=True, help="Write the controller's key, and credentials for nodes.")

KeysDirectory = Annotated[
    Path,
    typer.Option("--keys-directory", envvar="DRUMBEAT_KEYS_DIRECTORY", help="Where the controller keeps its keys."),
]
DEFAULT_KEYS = Path("/etc/drumbeat/keys")


@keys.command("controller")
def controller_key(directory: KeysDirectory = DEFAULT_KEYS) -> None:
    """Make the controller's signing key. Every node pins its public half.

    Exit codes: 0 made; 1 there is one already, or the folder cannot be written.
    """
    key = generate_key()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        save_private_key(directory / CONTROLLER_KEY_FILE, key)
    except (BadKey, OSError) as error:
        raise _failure(error) from error
    show(public_text(key.public_key))
    talk(f"wrote {directory / CONTROLLER_KEY_FILE}; keep it secret, and keep a copy")


@keys.command("node")
def node_keys(
    name: Annotated[str, typer.Argument(help="The node's name, as the fleet has it.")],
    out: Annotated[Path, typer.Option("--out", help="The folder that goes to the node.")],
    directory: KeysDirectory = DEFAULT_KEYS,
) -> None:
    """Make a node's credentials and register the node, in place of its former credentials.

    Exit codes: 0 made; 1 the name is bad, the folder is not empty, or there is no controller's key.
    """
    try:
        pinned = load_private_key(directory / CONTROLLER_KEY_FILE).public_key
        write_node_keys(out, name, KeyRing(directory), [pinned])
    except (BadKey, OSError) as error:
        raise _failure(error) from error
    show(str(out))
    talk(f"copy {out} to {name} and name it as credentials in its agent.yaml; it holds a secret key and a token")


def _failure(error: Exception) -> typer.Exit:
    talk(f"error: {error}")
    return typer.Exit(FAILED)
