"""A broker's management that says what a test wants: it was taken over, or is something else altogether."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bus.amqp_definitions import mark

VHOST = "drumbeat"
Answer = tuple[int, bytes] | Callable[["Handler"], None]
"""A status and a body, or whatever is done with the connection."""


class LyingManagement(ThreadingHTTPServer):
    """It listens on loopback. What is asked with GET and is not in ``answers`` is not there; the rest is done."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        """By path, without ``/api/``."""
        self.asked: list[str] = []
        """Method and path of each request."""
        self.stopped = threading.Event()
        self.credentials: set[str] = set()
        """What was said in ``Authorization``."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: LyingManagement

    def do_GET(self) -> None:
        path = self._asked()
        answer = self.server.answers.get(path, (404, b"{}"))
        if callable(answer):
            answer(self)
        else:
            self._say(*answer)

    def do_POST(self) -> None:
        self._asked()
        self._say(204, b"")

    def do_DELETE(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None: ...

    def _asked(self) -> str:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.removeprefix("/api/")
        self.server.asked.append(f"{self.command} {path}")
        self.server.credentials.add(self.headers["Authorization"])
        return path

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def lying_management() -> Iterator[LyingManagement]:
    """One that listens until the end of the block."""
    with LyingManagement() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.stopped.set()
            server.shutdown()
            thread.join()


def said(**kinds: Any) -> Answer:
    """Definitions of a broker that has nothing but these."""
    return 200, json.dumps({"users": [], "permissions": []} | kinds).encode()


def ours(name: Any) -> dict[str, Any]:
    """An account that is Drumbeat's by its tag."""
    return {"name": name, "tags": [mark(VHOST)]}
