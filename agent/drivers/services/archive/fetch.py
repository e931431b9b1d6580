"""Fetching an artifact: to the end, within its bounds, and only if it is what the release names."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import get_ident
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

from urllib3 import BaseHTTPResponse, Timeout
from urllib3 import exceptions as http

from agent.drivers.contracts import Retry, Terminal
from agent.drivers.services.archive.limits import Limits
from agent.drivers.services.archive.stores import Access, Stores, origin
from bus.clock import Clock
from bus.durable import sync_folder
from bus.http_client import Client, UnusableProxy
from bus.in_time import Deadline

_CHUNK = 256 * 1024
_CONNECT, _SILENCE = 10.0, 30.0
"""Seconds to wait for a connection, and for the next bytes."""
_REDIRECTS = 5
_PASSING = {408, 425, 429}
"""Answers below 500 that say "later" (RFC 9110 section 15.5.9, RFC 8470, RFC 6585 section 4)."""


def fetch(url: str, sha256: str, place: Path, limits: Limits, clock: Clock, stores: Stores) -> None:
    """Have the verified artifact at ``place``, whole or not at all; what is there already is not fetched again.

    Raises Retry or Terminal.
    """
    if place.exists():
        return
    partial = place.with_name(f".{place.name}.{get_ident()}.part")
    deadline = Deadline(limits.fetch_timeout, clock.monotonic)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _content(url, stores, deadline) as content:
            found = _save(content.chunks, partial, limits, deadline)
        if found != sha256:
            raise _another(url, found, sha256, content.bounded)
        partial.replace(place)
        sync_folder(place.parent)
    except TimeoutError:
        raise Retry(f"fetching {shown(url)} took longer than fetchTimeout ({limits.fetch_timeout:g} s)") from None
    except OSError as error:
        raise Retry(disk_text(error, place.parent)) from error
    finally:
        partial.unlink(missing_ok=True)


def shown(url: str) -> str:
    """The URL for people to read: without a password, and without a query, which may be a signature."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def checksum(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def disk_text(error: OSError, folder: Path) -> str:
    """What people should do about a disk that refuses."""
    return f"cannot write in {folder}: {error.strerror or error}; free some space or mend the disk, it is tried again"


class _Content(NamedTuple):
    chunks: Iterator[bytes]
    bounded: bool
    """It was said beforehand where it ends, so that it cannot break off without an error."""


def _another(url: str, found: str, sha256: str, bounded: bool) -> Retry | Terminal:
    text = f"{shown(url)} has sha256 {found}, the version file says {sha256}: "
    wrong = (
        "the artifact was replaced or the version file is wrong. Publish it under a new version, or mend the checksum"
    )
    if bounded:
        return Terminal(f"{text}{wrong}")
    return Retry(f"{text}the server does not say how long it is, so it may have broken off; if this lasts, {wrong}")


def _save(chunks: Iterator[bytes], partial: Path, limits: Limits, deadline: Deadline) -> str:
    digest, size = hashlib.sha256(), 0
    with partial.open("wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > limits.artifact_bytes:
                raise Terminal(
                    f"the artifact is larger than artifactBytes: {limits.artifact_bytes} in the agent's settings"
                )
            deadline.left()
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


@contextmanager
def _content(url: str, stores: Stores, deadline: Deadline) -> Iterator[_Content]:
    if urlsplit(url).scheme == "file":
        with _of_file(url) as content:
            yield content
    else:
        with _of_http(url, stores, deadline) as content:
            yield content


@contextmanager
def _of_file(url: str) -> Iterator[_Content]:
    try:
        file = Path(url2pathname(urlsplit(url).path)).open("rb")  # noqa: SIM115  closed below
    except OSError as error:
        raise Retry(f"cannot open {shown(url)}: {error.strerror}") from error
    with file:
        yield _Content(iter(lambda: file.read(_CHUNK), b""), bounded=True)


@contextmanager
def _of_http(url: str, stores: Stores, deadline: Deadline) -> Iterator[_Content]:
    try:
        with _answer(url, stores, deadline) as answer:
            if answer.status != 200:
                raise _refused(shown(url), answer.status)
            bounded = "Content-Length" in answer.headers or "Transfer-Encoding" in answer.headers
            yield _Content(iter(lambda: answer.read1(_CHUNK, decode_content=False), b""), bounded)
    except ValueError:  # the library's own for what is no URL, or no host, or no port
        raise Terminal(f"{shown(url)} is not an address that can be fetched, or leads to one") from None
    except http.HTTPError as error:
        deadline.left()
        raise Retry(f"cannot fetch {shown(url)}: {_why(error)}") from None


def _why(error: http.HTTPError) -> str:
    if isinstance(error, http.TimeoutError):
        return "no answer in time"
    if isinstance(error, http.SSLError):
        return "its certificate is not trusted, or ours is not; see 'artifacts' in the agent's settings"
    if isinstance(error, UnusableProxy):
        return str(error)
    return type(error).__name__  # its own text has the whole URL


@contextmanager
def _answer(url: str, stores: Stores, deadline: Deadline) -> Iterator[BaseHTTPResponse]:
    """The answer at the end of all redirects. What the node says to a store it says to no other host."""
    asked, nobody = origin(urlsplit(url)), Stores()
    following = url
    for _ in range(_REDIRECTS):
        access = (stores if origin(urlsplit(following)) == asked else nobody).access(following)
        client = Client(following, ca=access.ca, certificate=access.certificate, key=access.key)
        # What it is sent as, not what a server makes of it: the checksum is of the file.
        with closing(client), _ask(client, following, access, deadline) as answer:
            location = answer.get_redirect_location()
            if not location:
                yield answer
                return
            following = urljoin(following, location)
    raise Retry(f"cannot fetch {shown(url)}: it leads from one address to another {_REDIRECTS} times")


def _ask(client: Client, url: str, access: Access, deadline: Deadline) -> BaseHTTPResponse:
    timeout = Timeout(connect=min(_CONNECT, deadline.left()), read=_SILENCE)
    try:
        return client.request("GET", url, access.headers, timeout, deadline=deadline)
    except OSError as error:
        raise Retry(f"{error}; see 'artifacts' in agent.yaml") from error


def _refused(url: str, status: int) -> Retry | Terminal:
    if status == 401:
        return Terminal(f"{url} answers HTTP 401: name the store and what it asks for in 'artifacts' of agent.yaml")
    if 400 <= status < 500 and status not in _PASSING:
        return Terminal(f"{url} answers HTTP {status}: was this version published there, and may this host read it?")
    return Retry(f"{url} answers HTTP {status}")
