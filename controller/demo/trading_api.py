"""trading-api: a small HTTP service, as a team might hand it over; it is packed into an artifact and knows no Drumbeat.

    trading-api --port N [--address A] [--startup SECONDS] [--latency SECONDS] [--graceful]

``/health`` says whether it runs, ``/quote`` is what customers come for, anything else says who answers. Keep-alive
HTTP/1.1, one thread, few imports: a hundred of them fit on a laptop. SIGTERM ends it at once, with ``--graceful`` after
the requests in flight.
"""

import itertools
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque

VERSION = "0.0.0"
PRICE = "101.25"

MAX_HEAD = 65536
LINGER = 0.2
"""Seconds between SIGTERM and the end of a graceful service: kept-alive clients hear of it by then."""


class Options:
    """The command line; argparse would take longer than everything else at start-up."""

    def __init__(self, words: list[str]) -> None:
        self.graceful = "--graceful" in words
        given = dict(itertools.pairwise(words))
        self.address = given.get("--address", "127.0.0.1")
        self.port = int(given["--port"])
        self.startup = float(given.get("--startup", "0"))
        self.latency = float(given.get("--latency", "0.005"))


class Request:
    """The first request of a buffer, or nothing (``whole`` is False) until all of it has arrived."""

    def __init__(self, buffer: bytes) -> None:
        head, separator, rest = buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip().lower() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        self.whole = bool(separator) and len(rest) >= length
        self.rest = rest[length:]
        self.method, self.path, self.protocol = ([*lines[0].split(" "), "", "", ""])[:3]
        wish = headers.get("connection", "")
        self.keep = wish == "keep-alive" if self.protocol == "HTTP/1.0" else wish != "close"


def answer(request: Request, host: str) -> tuple[str, str]:
    """Status line and JSON body for a request."""
    path = request.path.partition("?")[0]
    if path == "/quote":
        try:
            return "200 OK", f'{{"symbol":"ACME","price":{float(PRICE)},"version":"{VERSION}"}}\n'
        except ValueError:
            return "500 Internal Server Error", '{"error":"no price"}\n'
    return "200 OK", f'{{"service":"trading-api","version":"{VERSION}","host":"{host}","pid":{os.getpid()}}}\n'


class Service:
    """The listening socket, its connections, and the answers whose time has not come."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.stopping: float | None = None
        self.selector = selectors.DefaultSelector()
        self.buffers: dict[socket.socket, bytes] = {}
        self.pending: deque[tuple[float, socket.socket, bytes, bool]] = deque()
        self.listener = socket.create_server((options.address, options.port), backlog=512)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.wakeup, signalled = socket.socketpair()
        signalled.setblocking(False)
        self.selector.register(self.wakeup, selectors.EVENT_READ)
        self.signalled = signalled

    def stop_gracefully(self) -> None:
        """From now on SIGTERM lets what is in flight end first."""
        signal.set_wakeup_fd(self.signalled.fileno())
        signal.signal(signal.SIGTERM, lambda *_: None)

    def run(self) -> None:
        """Serve until SIGTERM."""
        while not self.ended():
            for key, _ in self.selector.select(self.patience()):
                assert isinstance(key.fileobj, socket.socket)
                self.on_readable(key.fileobj)
            while self.pending and self.pending[0][0] <= time.monotonic():
                self.send(*self.pending.popleft()[1:])

    def ended(self) -> bool:
        return self.stopping is not None and not self.pending and time.monotonic() >= self.stopping + LINGER

    def patience(self) -> float | None:
        if self.pending:
            return max(0.0, self.pending[0][0] - time.monotonic())
        return None if self.stopping is None else LINGER / 4

    def on_readable(self, ready: socket.socket) -> None:
        if ready is self.listener:
            client = self.listener.accept()[0]
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.settimeout(5)
            self.buffers[client] = b""
            self.selector.register(client, selectors.EVENT_READ)
        elif ready is self.wakeup:
            self.begin_stop()
        else:
            self.receive(ready)

    def begin_stop(self) -> None:
        self.wakeup.recv(64)
        if self.stopping is None:
            self.stopping = time.monotonic()
            self.selector.unregister(self.listener)
            self.listener.close()

    def receive(self, client: socket.socket) -> None:
        try:
            data = client.recv(65536)
        except OSError:
            data = b""
        self.buffers[client] += data
        if not data or len(self.buffers[client]) > MAX_HEAD:
            self.close(client)
            return
        request = Request(self.buffers[client])
        if request.whole:
            self.buffers[client] = request.rest
            self.reply(client, request)

    def reply(self, client: socket.socket, request: Request) -> None:
        status, body = answer(request, os.environ.get("DRUMBEAT_HOST", self.options.address))
        keep = request.keep and self.stopping is None
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-App-Version: {VERSION}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        )
        latency = 0.0 if request.path == "/health" else self.options.latency
        if latency:
            self.pending.append((time.monotonic() + latency, client, (head + body).encode(), keep))
        else:
            self.send(client, (head + body).encode(), keep)

    def send(self, client: socket.socket, data: bytes, keep: bool) -> None:
        if client not in self.buffers:
            return
        try:
            client.sendall(data)
        except OSError:
            keep = False
        if not keep:
            self.close(client)

    def close(self, client: socket.socket) -> None:
        del self.buffers[client]
        self.selector.unregister(client)
        client.close()


def main() -> None:
    """Start up, listen, serve."""
    options = Options(sys.argv[1:])
    time.sleep(options.startup)
    service = Service(options)
    if options.graceful:
        service.stop_gracefully()
    service.run()


if __name__ == "__main__":
    main()
