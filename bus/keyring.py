"""The controller's ring of nodes: whose reports it believes, and who may connect."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from errno import ENAMETOOLONG, ENOENT
from pathlib import Path
from threading import RLock
from typing import Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from bus.keys import (
    CONTROLLER_KEYS_FILE,
    NODE_KEY_FILE,
    TOKEN_FILE,
    BadKey,
    NodeKeys,
    PublicKey,
    TokenHash,
    generate_key,
    generate_token,
    hash_token,
    parse_public,
    public_text,
    replace_secret,
    save_private_key,
    token_matches,
    write_secret,
)
from bus.listing import is_absent, names_in
from crds.base import FileModel, HostName

_PATIENCE = 5.0
"""Seconds to wait for whoever is changing the folder of keys; a change takes milliseconds."""
_NOBODYS = hash_token("")
"""Compared with the tokens of unknown nodes, so that they take as long."""

NodeRole = Literal["host", "balancer", "runner"]
"""What a node may be there for."""
ALL_ROLES: tuple[NodeRole, ...] = get_args(NodeRole)


class DamagedEntry(BadKey):
    """A node's entry could be read, and makes no sense; what it said is lost."""


class NodeEntry(FileModel):
    """nodes/NAME.json: what the controller keeps of a node's credentials; no secret among it."""

    public_key: str = Field(description="'ed25519:' and 64 hexadecimal digits")
    token_hash: TokenHash = Field(description="salted, as RabbitMQ keeps passwords; see bus/keys.py")
    roles: list[NodeRole] = Field(min_length=1, description="a report that goes beyond them is refused")
    revoked: bool = Field(default=False, description="true: nothing of this node is believed, and it may not connect")
    disputed: str = Field(
        default="", description="why two machines seem to use these credentials; nothing is believed until it is empty"
    )

    @property
    def trusted(self) -> bool:
        """Whether anything of the node is believed."""
        return not self.revoked and not self.disputed


@dataclass(frozen=True)
class _Known:
    version: tuple[int, int, int]
    entry: NodeEntry
    public_key: PublicKey


class KeyRing:
    """The nodes of a directory, one file each. A file that changed is read again; threads may share the ring.

    Several processes may change it: each change waits for the one before.
    """

    def __init__(self, directory: Path) -> None:
        self._nodes, self._lock_file = directory / "nodes", directory / "lock"
        self._turn, self._has_lock = RLock(), False
        self._known: dict[str, _Known] = {}
        self._host_name: TypeAdapter[str] = TypeAdapter(HostName)

    def entry(self, node: str) -> NodeEntry | None:
        """What the ring holds of a node; None for one that it does not know. Raises BadKey for an unusable file."""
        known = self._read(node)
        return known.entry if known else None

    def public_key(self, node: str) -> PublicKey | None:
        """The key that a node's reports must be signed with; None if unknown, revoked or disputed. Raises BadKey."""
        known = self._read(node)
        return known.public_key if known and known.entry.trusted else None

    def token_matches(self, node: str, token: str) -> bool:
        """Whether this is the token of a known node, in a time that does not depend on the token. Raises BadKey.

        Revoked nodes are looked at apart, see ``entry``.
        """
        known = self._read(node)
        return token_matches(token, known.entry.token_hash if known else _NOBODYS) and known is not None

    def nodes(self) -> list[str]:
        """The names of all known nodes, sorted. Raises BadKey if they cannot be listed."""
        try:
            names = names_in(self._nodes) or []
        except OSError as error:
            raise BadKey(f"{self._nodes}: cannot be read: {error.strerror}") from error
        return [name.removesuffix(".json") for name in names if name.endswith(".json")]

    def version(self) -> tuple[int, int] | None:
        """Another one whenever an entry was put in place or removed; None if the folder cannot be looked at."""
        try:
            info = self._nodes.stat()
        except OSError:
            return None
        return info.st_mtime_ns, info.st_ino

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Have the folder of keys to oneself, to look and to change what was seen; may be nested.

        No other thread or process changes it meanwhile. Raises TimeoutError if somebody else does not go on, OSError if
        the folder is away: it is not made, since it may be on its way back.
        """
        from bus.posix import locked  # noqa: PLC0415  agents import this module as well, and change no ring

        with self._turn:
            if self._has_lock:
                yield
                return
            with locked(self._lock_file, _PATIENCE):
                self._has_lock = True
                try:
                    yield
                finally:
                    self._has_lock = False

    def register(self, node: str, entry: NodeEntry) -> None:
        """Keep a node, in place of what was there of it. Raises BadKey for a bad name or key, OSError."""
        parse_public(entry.public_key)
        path = self._path(node)
        if path is None:
            raise BadKey(f"{node!r} is not a node's name: lower-case letters, digits, dashes and dots")
        self._nodes.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._nodes.mkdir(exist_ok=True)
        with self.changing():
            replace_secret(path, entry.model_dump_json(by_alias=True, indent=2).encode() + b"\n")

    def revoke(self, node: str) -> None:
        """Believe nothing of this node any more. Raises BadKey if it is not known."""
        self._change(node, revoked=True)

    def restore(self, node: str) -> None:
        """Take a revocation back. Raises BadKey if the node is not known."""
        self._change(node, revoked=False)

    def dispute(self, node: str, why: str) -> None:
        """Believe nothing of this node until a person says which machine it is. Raises BadKey if it is not known."""
        self._change(node, disputed=why)

    def trust(self, node: str) -> None:
        """End a dispute: a person has looked. Raises BadKey if the node is not known."""
        self._change(node, disputed="")

    def disputed(self) -> dict[str, str]:
        """Why each disputed node is; entries that cannot be used are left out. Raises BadKey if none can be listed."""
        found = {}
        for node in self.nodes():
            with contextlib.suppress(BadKey):
                entry = self.entry(node)
                if entry is not None and entry.disputed:
                    found[node] = entry.disputed
        return found

    def _change(self, node: str, **changes: object) -> None:
        with self.changing():
            entry = self.entry(node)
            if entry is None:
                raise BadKey(f"no node {node!r} is known in {self._nodes}")
            self.register(node, entry.model_copy(update=changes))

    def _path(self, node: str) -> Path | None:
        try:
            return self._nodes / f"{self._host_name.validate_python(node)}.json"
        except ValidationError:
            return None

    def _read(self, node: str) -> _Known | None:
        # A name that is known was checked when it was first read; others could lead out of the directory.
        path = self._nodes / f"{node}.json" if node in self._known else self._path(node)
        if path is None:
            return None
        try:
            info = path.stat()
        except OSError as error:
            self._known.pop(node, None)
            if error.errno == ENAMETOOLONG or (error.errno == ENOENT and is_absent(path)):
                return None
            raise BadKey(f"{path}: cannot be read: {error.strerror}") from error
        version = (info.st_mtime_ns, info.st_size, info.st_ino)
        known = self._known.get(node)
        if known is None or known.version != version:
            known = self._known[node] = _load(path, version)
        return known


def _load(path: Path, version: tuple[int, int, int]) -> _Known:
    try:
        entry = NodeEntry.model_validate_json(path.read_bytes())
        return _Known(version, entry, parse_public(entry.public_key))
    except OSError as error:
        raise BadKey(f"{path}: cannot be read: {error.strerror}") from error
    except (ValidationError, BadKey) as error:
        raise DamagedEntry(f"{path}: cannot be used: {error}; remove it and invite the node anew") from error


def write_node_keys(
    folder: Path,
    node: str,
    ring: KeyRing,
    controller_keys: Iterable[PublicKey],
    roles: Iterable[NodeRole] = ALL_ROLES,
) -> NodeKeys:
    """Make a node's credentials in a new folder and register the node, in place of its former credentials.

    For a demo or a test, where both ends are one machine; other nodes make their own key and join.

    The folder is what goes to the node: its private key, its token and the controller's public keys. Raises BadKey if
    the folder holds credentials already or the name is bad.
    """
    keys = NodeKeys(generate_key(), generate_token(), list(controller_keys))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    save_private_key(folder / NODE_KEY_FILE, keys.signer)
    write_secret(folder / TOKEN_FILE, keys.token.encode() + b"\n")
    pinned = "".join(f"{public_text(key)}\n" for key in keys.controller_keys)
    (folder / CONTROLLER_KEYS_FILE).write_text(pinned, encoding="utf-8")
    public_key = public_text(keys.signer.public_key)
    ring.register(node, NodeEntry(public_key=public_key, token_hash=hash_token(keys.token), roles=list(roles)))
    return keys
