"""Connections of requests that another thread can end, in the midst of waiting for an answer."""

import socket
import threading
import weakref
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class Sockets:
    """The open sockets of some connections."""

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


def _end(sock: socket.socket) -> None:
    try:
        # The plain socket's: a TLS socket would forget its state, under the feet of the thread that reads from it.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return  # the other side, or its own thread, was faster


class CuttableAdapter(HTTPAdapter):
    """Keeps one connection alive, whose socket is in ``sockets``. Never tries again by itself."""

    def __init__(self, sockets: Sockets) -> None:
        self._pools = _pool_classes(sockets)
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *arguments: Any, **named: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **named)
        manager.pool_classes_by_scheme = self._pools
        return manager


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
