"""A forwarder on the runner's loopback: it names the server in each request and demands proof in each answer.

An existing test suite needs only a URL, and still can say nothing about another host than the one it is run for. The
client's Host header is passed on as it is, so that redirects lead back through the forwarder.
"""

import http.client
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Lock, Thread
from typing import Any, Self
from urllib.parse import urlsplit

PROOF = "x-drumbeat-server"
"""The header that asks for a server, and in which the balancer says which one answered."""

_BLOCK = 65536
_HEED = 0.02
"""Seconds until the end is noticed: each gate's result waits for it, and gates queue for the runner's places."""
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect")
)
"""Headers that concern one connection (RFC 9110, section 7.6.1); ``expect`` is answered here."""


class Forwarder:
    """Listens on a port of the system's choice from ``__enter__`` to ``__exit__``."""

    def __init__(self, url: str, server: str, timeout: float) -> None:
        """Forward to ``url``, asking for ``server``; ``timeout`` in seconds for each read. Raises OSError."""
        self._listener = _Listener(_Link(url, server, timeout))
        self._thread = Thread(target=self._listener.serve_forever, args=(_HEED,), name="forwarder", daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.hang_up()
        self._listener.server_close()

    def requests(self) -> int:
        """Requests so far."""
        return self._listener.link.requests

    def unproven(self) -> list[str]:
        """In words, the first few answers that were not proven to be the server's."""
        return list(self._listener.link.unproven)


class _Link:
    """What all connections share: where to, and what came back."""

    def __init__(self, url: str, server: str, timeout: float) -> None:
        place = urlsplit(url)
        self.host, self.port, self.base = place.hostname or "127.0.0.1", place.port or 80, place.path.rstrip("/")
        self.url, self.server, self.timeout = url, server, timeout
        self.requests = 0
        self.unproven: list[str] = []
        self._lock = Lock()

    def count(self) -> None:
        with self._lock:
            self.requests += 1

    def deny(self, words: str) -> str:
        with self._lock:
            self.unproven.append(words)
        return words

    def why_unproven(self, answer: http.client.HTTPResponse) -> str:
        """Empty if the balancer says that the server asked for gave this answer."""
        said = [value.strip() for value in answer.headers.get_all(PROOF, [])]
        if said == [self.server]:
            return ""
        which = f"was given by {', '.join(said)}" if said else f"bears no {PROOF} header"
        return f"HTTP {answer.status} from {self.url} {which}, and {self.server} was asked for"


class _Listener(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, link: _Link) -> None:
        self.link = link
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, in whatever way, is its own business."""

    def hang_up(self) -> None:
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Connection(BaseHTTPRequestHandler):
    """One client's connection; it may carry many requests. Each is asked on a connection of its own behind."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def __getattr__(self, name: str) -> Any:
        """Every method is forwarded, also those that nobody thought of."""
        if name.startswith("do_"):
            return self._forward
        raise AttributeError(name)

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.link.timeout)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged: answers are judged by whoever sent the request."""

    def _forward(self) -> None:
        link = self.server.link
        link.count()
        behind = http.client.HTTPConnection(link.host, link.port, timeout=link.timeout)
        try:
            answer = self._ask(behind)
            unproven = link.why_unproven(answer)
            if unproven:
                self._refuse(link.deny(unproven))
            else:
                self._reply(answer)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._fail(error)
        finally:
            behind.close()

    def _ask(self, behind: http.client.HTTPConnection) -> http.client.HTTPResponse:
        behind.putrequest(self.command, self.server.link.base + self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP and name.lower() != PROOF:
                behind.putheader(name, value)
        behind.putheader(PROOF, self.server.link.server)
        behind.putheader("Connection", "close")
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        if chunked:
            behind.putheader("Transfer-Encoding", "chunked")
        behind.endheaders()
        for block in self._chunks() if chunked else self._blocks(int(self.headers.get("Content-Length") or 0)):
            behind.send(f"{len(block):x}\r\n".encode() + block + b"\r\n" if chunked else block)
        if chunked:
            behind.send(b"0\r\n\r\n")
        return behind.getresponse()

    def _blocks(self, length: int) -> Iterator[bytes]:
        while length > 0:
            block = self.rfile.read1(min(length, _BLOCK))
            if not block:
                raise ConnectionResetError("the client went away in mid-request")
            length -= len(block)
            yield block

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(64).partition(b";")[0], 16):
            yield from self._blocks(size)
            self.rfile.readline(8)
        while self.rfile.readline(_BLOCK).strip():
            """Trailers are not passed on."""

    def _reply(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        bodiless = self.command == "HEAD" or answer.status in (204, 304)
        chunked = not bodiless and answer.getheader("Content-Length") is None and self.request_version >= "HTTP/1.1"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif not bodiless and answer.getheader("Content-Length") is None:
            self.close_connection = True
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        while block := answer.read1(_BLOCK):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _fail(self, error: Exception) -> None:
        link = self.server.link
        words = link.deny(f"no whole answer from {link.url}: {getattr(error, 'strerror', None) or error}")
        with suppress(OSError):
            self._refuse(words)

    def _refuse(self, words: str) -> None:
        """502, and the connection ends: what was left of the request has not been read."""
        body = f"{words}\n".encode()
        self.close_connection = True
        self.send_response_only(502)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
