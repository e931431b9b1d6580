"""HTTP where another thread can end it: urllib3 alone, because each agent would hold 5 MiB more with requests on it."""

import socket
import ssl
import threading
import weakref
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

FAILURES = (HTTPError, OSError)
"""What a request raises that got no answer."""


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

    @cached_property
    def _pools(self) -> PoolManager:
        said: dict[str, Any] = {"maxsize": 1, "retries": False}
        if self._url.startswith("https:"):
            said["ssl_context"] = _trust(*self._files)
        pools = _through_proxy(self._url, said) if self._proxies else PoolManager(1, **said)
        pools.pool_classes_by_scheme = _pool_classes(self._sockets)
        return pools

    def request(
        self, method: str, url: str, headers: dict[str, str], timeout: urllib3.Timeout, body: bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Send it; the answer's body is still to be read.

        Raises HTTPError where no answer comes, OSError where the files cannot be used, and ValueError for no URL.
        """
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


def _trust(ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def _through_proxy(url: str, said: dict[str, Any]) -> PoolManager:
    """A way to a URL as the environment says (http_proxy, https_proxy, all_proxy, no_proxy)."""
    place, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(place.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(place.hostname or ""):
        return PoolManager(1, **said)
    address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    account = f"{unquote(address.username)}:{unquote(address.password or '')}" if address.username else None
    plain = address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()
    return ProxyManager(plain, 1, proxy_headers=urllib3.make_headers(proxy_basic_auth=account), **said)


def _pool_classes(sockets: Sockets) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Tls(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}
