"""HTTP with answers in time: urllib3 alone, because each agent would hold 5 MiB more with requests on top of it."""

import re
import socket
import threading
import weakref
from collections.abc import Callable
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from bus.in_time import Deadline, answers_by
from bus.tls import tls_context

FAILURES = (HTTPError, OSError)
"""What a request raises that got no answer."""


class UnusableProxy(HTTPError):
    """The environment names a proxy that cannot be used; the text says what to do."""


class Sockets:
    """The open sockets of some connections, which another thread can end in the midst of waiting for an answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._cut = False

    def add(self, sock: socket.socket) -> None:
        """Keep a socket in mind; after ``cut`` it is ended at once."""
        with self._lock:
            self._open.add(sock)
            if self._cut:
                _end(sock)

    def cut(self) -> None:
        """End all sockets, those to come too: whoever waits for an answer gets an error."""
        with self._lock:
            self._cut = True
            for sock in list(self._open):
                _end(sock)


class Client:
    """Requests to one place, over one connection that is kept alive.

    Nothing is tried again, no redirect is followed and no answer unpacked, and of the environment nothing counts but
    its proxies, or, without ``proxies``, nothing at all. ``ca`` is a file of certificates to trust instead of the
    system's; ``certificate`` and ``key`` are our own.
    """

    def __init__(
        self,
        url: str,
        *,
        ca: str | None = None,
        certificate: str | None = None,
        key: str | None = None,
        sockets: Sockets | None = None,
        proxies: bool = True,
    ) -> None:
        """``url`` is the place, or any other at the same host."""
        self._url = url
        self._files = ca, certificate, key
        self._sockets = sockets or Sockets()
        self._proxies = proxies
        self._deadline = Deadline(0.0)

    @cached_property
    def _pools(self) -> PoolManager:
        said: dict[str, Any] = {"maxsize": 1, "retries": False}
        if self._url.startswith("https:"):
            said["ssl_context"] = tls_context(*self._files)
        pools = _through_proxy(self._url, said) if self._proxies else PoolManager(1, **said)
        pools.pool_classes_by_scheme = _pool_classes(self._sockets, self._left)
        return pools

    def request(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        timeout: urllib3.Timeout,
        body: bytes | None = None,
        *,
        deadline: Deadline,
    ) -> urllib3.BaseHTTPResponse:
        """Send it; the answer's body is still to be read, by the deadline.

        ``timeout`` is for the connection, and for the next bytes of the answer; ``deadline`` for its last.

        Raises HTTPError where no answer comes, BadTlsFiles where the files cannot be used, and ValueError for no URL.
        """
        self._deadline = deadline
        return self._pools.urlopen(
            method,
            url,
            redirect=False,
            headers={"Accept-Encoding": "identity", **headers},
            body=body,
            timeout=timeout,
            preload_content=False,
            decode_content=False,
        )

    def _left(self) -> float:
        return self._deadline.left()

    def close(self) -> None:
        """End the connection."""
        if "_pools" in vars(self):
            self._pools.clear()


def _end(sock: socket.socket) -> None:
    try:
        # The plain socket's: a TLS socket would forget its state, under the feet of the thread that reads from it.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return  # the other side, or its own thread, was faster


def _through_proxy(url: str, said: dict[str, Any]) -> PoolManager:
    """A way to a URL as the environment says (http_proxy, https_proxy, all_proxy, no_proxy). Raises UnusableProxy."""
    place, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(place.scheme) or proxies.get("all")
    host = place.hostname or ""
    if not proxy or proxy_bypass(host) or _in_networks(host, proxies.get("no", "")):
        return PoolManager(1, **said)
    try:
        address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        account = f"{unquote(address.username)}:{unquote(address.password or '')}" if address.username else None
        plain = address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()
        return ProxyManager(plain, 1, proxy_headers=urllib3.make_headers(proxy_basic_auth=account), **said)
    except ValueError:  # the library's own for a scheme that it does not know, and for what is no URL
        shown = re.sub("//.*@", "//", proxy)
        raise UnusableProxy(
            f"the proxy {shown} of the environment cannot be used, only one of http:// or https:// can: mend "
            f"{place.scheme}_proxy or all_proxy, or add {host} to no_proxy"
        ) from None


def _in_networks(host: str, no_proxy: str) -> bool:
    """Whether ``no_proxy`` has a network that the address is in, such as 10.0.0.0/8.

    The standard library looks for names and single addresses alone; curl and Go take networks too.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for item in no_proxy.split(",") for network in _networks(item.strip()))


def _networks(item: str) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(item, strict=False)]
    except ValueError:
        return []


def _pool_classes(sockets: Sockets, left: Callable[[], float]) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        response_class = answers_by(left)

        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Tls(HTTPSConnection):
        response_class = answers_by(left)

        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}
