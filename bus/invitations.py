"""Invitations: one-time, short-lived tokens with which a named machine may become a node.

An invitation lies as ``invitations/ID.json`` in the controller's folder of keys. Its token, ``ID.SECRET``, goes to the
node; the secret proves both ends to each other and never travels itself.
"""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, Field, ValidationError

from bus.durable import sync_folder
from bus.keyring import NodeRole
from bus.keys import BadKey, read_secret, replace_secret
from bus.listing import names_in
from crds.base import FileModel, HostName

_ID_DIGITS = 16


class Invitation(FileModel):
    """Who may join, as what, and until when."""

    node: HostName
    roles: list[NodeRole] = Field(min_length=1)
    expires: AwareDatetime
    secret: str = Field(min_length=32)
    used_by: str = Field(default="", description="the public key that joined; it alone may ask for the answer again")


class Invitations:
    """The invitations of a folder, one file each; several processes may share it."""

    def __init__(self, keys_directory: Path) -> None:
        self._folder = keys_directory / "invitations"

    def invite(self, node: str, roles: Iterable[NodeRole], valid: timedelta, now: datetime) -> str:
        """Invite a node and return the token; earlier invitations of the node end. Raises BadKey for a bad name."""
        name, secret = secrets.token_hex(_ID_DIGITS // 2), secrets.token_urlsafe(32)
        try:
            invitation = Invitation(node=node, roles=sorted(set(roles)), expires=now + valid, secret=secret)
        except ValidationError as error:
            raise BadKey(f"{node!r} cannot be invited: {error.errors()[0]['msg']}") from error
        self.withdraw(node)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.save(name, invitation)
        return f"{name}.{secret}"

    def find(self, name: str) -> Invitation | None:
        """The invitation of that id; None if there is none. Raises BadKey for a damaged file."""
        if len(name) != _ID_DIGITS or set(name) - set("0123456789abcdef"):
            return None
        path = self._folder / f"{name}.json"
        if not path.exists():
            return None
        try:
            # Times are texts in JSON only; the file holds nothing else that would need to be lenient.
            return Invitation.model_validate_json(read_secret(path))
        except ValidationError as error:
            raise BadKey(f"{path}: cannot be used: {error}; remove it and invite the node anew") from error

    def save(self, name: str, invitation: Invitation) -> None:
        """Keep an invitation, in place of what was there of it. Raises OSError."""
        replace_secret(self._folder / f"{name}.json", invitation.model_dump_json(by_alias=True).encode() + b"\n")

    def all(self) -> dict[str, Invitation]:
        """Every invitation that can be read, by id. Raises OSError if they cannot be listed."""
        names = [name.removesuffix(".json") for name in names_in(self._folder) or [] if name.endswith(".json")]
        return {name: found for name in names if (found := self._readable(name))}

    def withdraw(self, node: str) -> int:
        """Remove the invitations of a node; how many there were. Raises OSError."""
        return self._remove(name for name, found in self.all().items() if found.node == node)

    def prune(self, now: datetime) -> int:
        """Remove invitations that have expired; how many there were. Raises OSError."""
        return self._remove(name for name, found in self.all().items() if found.expires <= now)

    def _readable(self, name: str) -> Invitation | None:
        try:
            return self.find(name)
        except BadKey:
            return None

    def _remove(self, names: Iterable[str]) -> int:
        removed = list(names)
        for name in removed:
            (self._folder / f"{name}.json").unlink(missing_ok=True)
        if removed:
            sync_folder(self._folder)  # none of them comes back after a loss of power
        return len(removed)


def split_token(token: str) -> tuple[str, str]:
    """Id and secret of a token. Raises BadKey."""
    name, dot, secret = token.strip().partition(".")
    if not dot or len(name) != _ID_DIGITS or len(secret) < 32:
        raise BadKey(
            "this is not the token of an invitation; 'drumbeat nodes invite' prints one, ID.SECRET in one line"
        )
    return name, secret
