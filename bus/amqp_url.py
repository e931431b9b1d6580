"""Where brokers are and who connects: ``amqps://host1:5671,host2:5671/vhost`` and what goes with it."""

import ipaddress
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from bus.keys import BadKey, read_secret
from bus.tls import BadTlsFiles, tls_context

PORT, TLS_PORT = 5672, 5671

_URL = re.compile(r"(?P<scheme>amqps?)://(?:(?P<user>[^@/\s]+)@)?(?P<hosts>[^@/\s?#]+)(?:/(?P<vhost>[^/\s?#]*))?")
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")


class BadBrokerUrl(ValueError):
    """The URL cannot be used; the text says why, and what to write."""


@dataclass(frozen=True)
class BrokerUrl:
    """Brokers of one cluster, any of which will do."""

    addresses: tuple[tuple[str, int], ...]
    vhost: str = "/"
    user: str | None = None
    tls: bool = False


@dataclass(frozen=True)
class Account:
    """Who connects, and whom it trusts."""

    user: str
    password: str = field(repr=False)
    ca: Path | None = None
    """Trust the certificates of this file only, instead of the system's."""
    certificate: Path | None = None
    """Shown to the broker; ``key`` goes with it."""
    key: Path | None = None

    @classmethod
    def of(cls, user: str, password: Path, ca: Path | None, certificate: Path, key: Path) -> "Account":
        """An account from its files; certificate and key are shown if they are there. Raises BadKey, BadBrokerUrl."""
        secret = read_secret(password).decode("utf-8", errors="replace").strip()
        if not secret:
            raise BadKey(f"{password}: is empty; write the password of {user!r} at the broker into it")
        if certificate.exists() != key.exists():
            there, missing = (certificate, key) if certificate.exists() else (key, certificate)
            raise BadBrokerUrl(f"{there} is there without {missing}; both are shown to the broker, or neither")
        shown = certificate.exists()
        return cls(user, secret, ca, certificate if shown else None, key if shown else None)


def is_broker_url(text: str) -> bool:
    """Whether a bus setting names brokers, well or badly."""
    return text.startswith(("amqp://", "amqps://"))


def parse_broker_url(text: str) -> BrokerUrl:
    """Read a bus setting; amqp:// is for loopback alone. Raises BadBrokerUrl, whose text repeats no password."""
    match = _URL.fullmatch(text)
    if match is None:
        raise BadBrokerUrl("write amqps://HOST:PORT,HOST:PORT/VHOST")
    user = match["user"]
    if user is not None and ":" in user:
        raise BadBrokerUrl("a password does not belong here; leave out ':PASSWORD', it is read from its own file")
    tls = match["scheme"] == "amqps"
    addresses = tuple(_address(part, TLS_PORT if tls else PORT) for part in match["hosts"].split(","))
    vhost = unquote(match["vhost"]) if match["vhost"] else "/"
    if not tls and not all(is_loopback(host) for host, _ in addresses):
        raise BadBrokerUrl(
            "amqp:// would show passwords and messages on the way; write amqps://, or loopback addresses"
        )
    return BrokerUrl(addresses, vhost, unquote(user) if user else None, tls)


def _address(text: str, default: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    port = int(match["port"] or default) if match else 0
    if match is None or not 0 < port < 65536:
        raise BadBrokerUrl(f"{text!r} is not HOST:PORT; write HOST:PORT,HOST:PORT for several brokers")
    return match["name"].strip("[]"), port


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine. The name ``localhost`` is taken at its word."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def broker_tls(account: Account) -> ssl.SSLContext:
    """What a connection trusts and shows. Raises BadBrokerUrl for files that cannot be used."""
    try:
        return tls_context(account.ca, account.certificate, account.key)
    except BadTlsFiles as error:
        raise BadBrokerUrl(str(error)) from error
