"""Slow retrieval: who sends a byte now and then must not hold a download for ever, nor keep others from speaking."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.drivers.contracts import Retry
from agent.drivers.services.archive.fetch import fetch
from agent.drivers.services.archive.limits import Limits
from agent.drivers.services.archive.stores import Stores
from bus.clock import SystemClock
from bus.port import Received
from tests.conformance.bus.transports import Http, eventually

BETWEEN = 0.05
"""Seconds between two bytes: far less than silence may last."""


@contextmanager
def trickling(stop: threading.Event) -> Iterator[str]:
    """A store that promises an artifact, and sends it byte by byte until ``stop``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                connection = listener.accept()[0]
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                    while not stop.wait(BETWEEN):
                        connection.sendall(b"x")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api.tar.gz"
        stop.set()
        thread.join()


def test_slow_retrieval_of_an_artifact(tmp_path: Path) -> None:
    """It ends by fetchTimeout, whatever comes meanwhile, and is tried again."""
    stop, ended = threading.Event(), list[str]()
    with trickling(stop) as url:

        def go() -> None:
            try:
                fetch(url, "0" * 64, tmp_path / "a", Limits(fetch_timeout="500ms"), SystemClock(), Stores())
            except Retry as error:
                ended.append(str(error))

        fetching = threading.Thread(target=go, daemon=True)
        fetching.start()
        fetching.join(10.0)
        in_time = not fetching.is_alive()
        stop.set()
        fetching.join()
    assert in_time
    assert "longer than fetchTimeout" in ended[0]


def test_slow_retrieval_of_a_report(tmp_path: Path) -> None:
    """Nodes that trickle hold their own connections; others are heard meanwhile, and nothing broken is handed on."""
    heard: list[Received] = []
    http = Http(tmp_path)
    bus = http.start_controller(heard.append)
    token = http.token("slow")
    slow = [socket.create_connection(("127.0.0.1", http.server.port)) for _ in range(50)]
    try:
        for connection in slow:
            head = f"POST /bus/v1/nodes/slow/report HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            connection.sendall(f"{head}Content-Length: 20000\r\n\r\nx".encode())
        node = http.node("host-1")
        node.start(lambda envelope: None, lambda: b"beat")
        node.send(b"report")
        eventually(http, lambda: any(one.envelope == b"report" for one in heard))
        assert {one.node for one in heard} == {"host-1"}
        bus.settle(heard)
    finally:
        for connection in slow:
            connection.close()
        http.close()
