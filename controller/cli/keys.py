"""``drumbeat keys``: the controller's signing key."""

import os
from pathlib import Path
from typing import Annotated

import typer

from bus.keys import CONTROLLER_KEY_FILE, BadKey, generate_key, public_text, save_private_key
from controller.cli.options import FAILED
from controller.cli.tables import show, talk

keys = typer.Typer(no_args_is_help=True, help="Write the controller's key.")

KeysDirectory = Annotated[
    Path,
    typer.Option("--keys-directory", envvar="DRUMBEAT_KEYS_DIRECTORY", help="Where the controller keeps its keys."),
]
DEFAULT_KEYS = Path("/etc/drumbeat/keys")


def must_be_owner(directory: Path) -> None:
    """Files of another account would be unreadable for the controller. Raises BadKey, OSError."""
    info = directory.stat()
    if os.name == "posix" and info.st_uid != os.geteuid():
        raise BadKey(f"{directory} belongs to user id {info.st_uid}; run this as that user, with 'runuser -u'")


def make_directory(directory: Path) -> None:
    """The folder of keys, if it is not there; who writes into it must own it. Raises BadKey, OSError."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    must_be_owner(directory)


@keys.callback()
def _keys() -> None:
    """Keeps the command's name on the command line while there is but one."""


@keys.command("controller")
def controller_key(directory: KeysDirectory = DEFAULT_KEYS) -> None:
    """Make the controller's signing key. Every node pins its public half.

    Exit codes: 0 made; 1 there is one already, or the folder cannot be written or belongs to another account.
    """
    key = generate_key()
    try:
        make_directory(directory)
        save_private_key(directory / CONTROLLER_KEY_FILE, key)
    except (BadKey, OSError) as error:
        talk(f"error: {error}")
        raise typer.Exit(FAILED) from error
    show(public_text(key.public_key))
    talk(f"wrote {directory / CONTROLLER_KEY_FILE}; keep it secret, and keep a copy")
