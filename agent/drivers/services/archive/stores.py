"""Stores of artifacts that ask who is there, or whose certificate a private authority signed."""

import base64
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import Field, model_validator

from agent.drivers.contracts import Retry
from agent.files import SettingsPath
from crds.base import FileModel, Name

_PORTS = {"http": 80, "https": 443}


class Store(FileModel):
    """What the node says to the store of every URL that begins with ``prefix``."""

    prefix: Annotated[str, Field(pattern=r"^https?://[^/@?#\s]+/([^?#\s]*/)?$")] = Field(
        description="such as https://artifacts.example.com/; ends in /"
    )
    user: Annotated[str, Field(pattern=r"^[^:\s]+$")] | None = None
    password: Name | None = Field(default=None, description="name of a secret; with user")
    bearer: Name | None = Field(default=None, description="name of a secret: a token for Authorization: Bearer")
    ca: SettingsPath | None = Field(default=None, description="trust the certificates of this file only")
    certificate: SettingsPath | None = Field(default=None, description="the node's own, for a store that asks for it")
    key: SettingsPath | None = Field(default=None, description="the certificate's private key, if it is not beside it")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together; password is the name of a secret")
        if self.user is not None and self.bearer is not None:
            raise ValueError("a store has user and password, or bearer, not both")
        if self.key is not None and self.certificate is None:
            raise ValueError("a key needs its certificate")
        return self

    @property
    def secrets(self) -> list[str]:
        """The names of secrets that it uses."""
        return [name for name in (self.password, self.bearer) if name]

    def beside(self, folder: Path) -> "Store":
        """The same with relative paths led from a folder."""
        paths = {name: folder / path for name in ("ca", "certificate", "key") if (path := getattr(self, name))}
        return self.model_copy(update=paths)

    def covers(self, url: str) -> bool:
        """Whether the URL is the store's: same scheme, host and port, and a path below the prefix's."""
        ours, theirs = urlsplit(self.prefix), urlsplit(url)
        return origin(ours) == origin(theirs) and _plain(theirs.path).startswith(ours.path)


@dataclass(frozen=True)
class Access:
    """How one request is made: what is said, whom we trust, and who we are; the latter as names of files."""

    headers: dict[str, str] = field(default_factory=dict)
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


class Stores:
    """The stores that the node knows more of than their URL."""

    def __init__(self, stores: Sequence[Store] = (), secret: Callable[[str], str] = str) -> None:
        """``secret`` gives the value of a secret, or raises Retry or Terminal."""
        self._stores = sorted(stores, key=lambda store: -len(store.prefix))
        self._secret = secret

    def access(self, url: str) -> Access:
        """What is said to whoever answers at a URL: nothing, unless a store covers it. Raises Retry or Terminal."""
        store = next((store for store in self._stores if store.covers(url)), None)
        if store is None:
            return Access()
        ca, certificate, key = (_readable(path) if path else None for path in (store.ca, store.certificate, store.key))
        return Access(self._headers(store), ca, certificate, key)

    def _headers(self, store: Store) -> dict[str, str]:
        if store.user is not None and store.password is not None:
            account = f"{store.user}:{self._secret(store.password)}"
            return {"Authorization": f"Basic {base64.b64encode(account.encode()).decode()}"}
        return {"Authorization": f"Bearer {self._secret(store.bearer)}"} if store.bearer else {}


def origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    """Scheme, host and port (RFC 6454, section 4)."""
    try:
        return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)
    except ValueError:  # a port that is none; whoever asks there says so
        return url.scheme, url.hostname, None


def _plain(path: str) -> str:
    """The path as a server may understand it: nothing encoded, no dots to climb by."""
    return posixpath.normpath(unquote(path)) if path else "/"


def _readable(path: Path) -> str:
    try:
        path.open("rb").close()
    except OSError as error:
        raise Retry(f"cannot read {path}: {error.strerror}; see 'artifacts' in the agent's settings") from error
    return str(path)
