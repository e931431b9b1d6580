"""A forwarder on the runner's loopback: it names the server in each request and demands proof in each answer.

An existing test suite needs only a URL, and still can say nothing about another host than the one it is run for. The
client's Host header is passed on as it is, so that redirects lead back through the forwarder.
"""

import http.client
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from email.message import Message
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Lock, Thread
from typing import Any, NamedTuple, Self
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


class _Request(NamedTuple):
    """The head of a request."""

    method: str
    path: str
    version: str
    headers: Message

    @property
    def is_last(self) -> bool:
        """Whether the client wants the connection to end with it."""
        said = self.headers.get("Connection", "").lower()
        return said == "close" or (self.version < "HTTP/1.1" and said != "keep-alive")


class _Connection(StreamRequestHandler):
    """One client's connection; it may carry many requests. Each is asked on a connection of its own behind.

    Not the standard library's ``http.server``, which would keep every name that HTML has in the agent's memory.
    """

    disable_nagle_algorithm = True
    server: _Listener
    _request: _Request
    _is_last = False

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.link.timeout)

    def handle(self) -> None:
        """Forward one request after another. Every method, also those that nobody thought of."""
        while not self._is_last and (line := self.rfile.readline(_BLOCK)).strip():
            self._is_last = True  # unless all of the request can be read
            try:
                self._request = self._read(line)
            except (http.client.HTTPException, ValueError):
                self._send(400, http.client.responses[400], [("Content-Length", "0")])
                return
            self._is_last = self._request.is_last
            self._forward()

    def _read(self, line: bytes) -> _Request:
        method, path, version = line.decode("latin-1").split()
        if version not in ("HTTP/1.0", "HTTP/1.1"):
            raise ValueError(f"{version!r} is no version that is spoken here")
        headers = http.client.parse_headers(self.rfile)
        if headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return _Request(method, path, version, headers)

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
        method, path, _, headers = self._request
        behind.putrequest(method, self.server.link.base + path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP and name.lower() != PROOF:
                behind.putheader(name, value)
        behind.putheader(PROOF, self.server.link.server)
        behind.putheader("Connection", "close")
        chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        if chunked:
            behind.putheader("Transfer-Encoding", "chunked")
        behind.endheaders()
        for block in self._chunks() if chunked else self._blocks(int(headers.get("Content-Length") or 0)):
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
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
        bodiless = self._request.method == "HEAD" or answer.status in (204, 304)
        endless = not bodiless and answer.getheader("Content-Length") is None
        chunked = endless and self._request.version >= "HTTP/1.1"
        if chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif endless:
            self._is_last = True
        self._send(answer.status, answer.reason, headers)
        while block := answer.read1(_BLOCK):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _send(self, status: int, reason: str, headers: Iterable[tuple[str, str]]) -> None:
        ends = [("Connection", "close")] if self._is_last else []
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in [*headers, *ends]), "", ""]
        self.wfile.write("\r\n".join(lines).encode("latin-1"))

    def _fail(self, error: Exception) -> None:
        link = self.server.link
        words = link.deny(f"no whole answer from {link.url}: {getattr(error, 'strerror', None) or error}")
        with suppress(OSError):
            self._refuse(words)

    def _refuse(self, words: str) -> None:
        """502, and the connection ends: what was left of the request has not been read."""
        body = f"{words}\n".encode()
        self._is_last = True
        kind, length = ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))
        self._send(502, http.client.responses[502], [kind, length])
        if self._request.method != "HEAD":
            self.wfile.write(body)
