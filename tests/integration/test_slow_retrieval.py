"""Slow retrieval: who sends a byte now and then must not hold a download for ever, nor keep others from speaking."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from agent.drivers.contracts import Retry
from agent.drivers.operations import http as http_driver
from agent.drivers.services.archive.fetch import fetch
from agent.drivers.services.archive.limits import Limits
from agent.drivers.services.archive.stores import Store, Stores
from agent.posix import PosixProcesses
from agent.probes import Asked, Prober
from bus.clock import SystemClock
from bus.http_client import Client
from bus.in_time import Deadline
from bus.port import Received
from crds.messages import OperationSpec
from crds.probe import Probe
from tests.conformance.bus.transports import Http, eventually
from tests.support.certificates import Authority

BETWEEN = 0.05
"""Seconds between two bytes: far less than silence may last."""


HEADS = {
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
    "header": b"HTTP/1.1 200 OK\r\nX-Long: ",
    "status": b"HTTP/1.1 200 ",
    "size of a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
}
"""What comes at once, before the bytes that come slowly."""


@contextmanager
def trickling(head: bytes, stop: threading.Event, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server's port. It begins an answer to whoever asks, and goes on byte by byte until ``stop``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                plain = listener.accept()[0]
                with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
                    connection.recv(65536)
                    connection.sendall(head)
                    while not stop.wait(BETWEEN):
                        connection.sendall(b"x")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        thread.join()


def ended_by_itself(head: bytes, ask: Callable[[int], str], tls: ssl.SSLContext | None = None) -> str:
    """What is said of a server that trickles; it must be said before the server gives up."""
    stop, said = threading.Event(), list[str]()
    with trickling(head, stop, tls) as port:
        asking = threading.Thread(target=lambda: said.append(ask(port)), daemon=True)
        asking.start()
        asking.join(10.0)
        in_time = not asking.is_alive()
        stop.set()
        asking.join()
    assert in_time
    return said[0]


def fetched(url: str, folder: Path, stores: Stores) -> str:
    with pytest.raises(Retry) as caught:
        fetch(url, "0" * 64, folder / "a", Limits(fetch_timeout="500ms"), SystemClock(), stores)
    return str(caught.value)


@pytest.mark.parametrize("head", HEADS)
def test_slow_retrieval_of_an_artifact(tmp_path: Path, head: str) -> None:
    """It ends by fetchTimeout, whatever comes meanwhile, and is tried again."""
    said = ended_by_itself(HEADS[head], lambda port: fetched(f"http://127.0.0.1:{port}/api.tar.gz", tmp_path, Stores()))
    assert "longer than fetchTimeout (0.5 s)" in said


@pytest.mark.parametrize("head", ["body", "header"])
def test_slow_retrieval_of_an_artifact_over_tls(tmp_path: Path, head: str) -> None:
    authority = Authority(tmp_path)
    server, tls = authority.issue("store"), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(server.file, server.key)

    def ask(port: int) -> str:
        place = f"https://127.0.0.1:{port}/"
        stores = Stores([Store.model_validate({"prefix": place, "ca": str(authority.file)})])
        return fetched(f"{place}api.tar.gz", tmp_path, stores)

    assert "longer than fetchTimeout (0.5 s)" in ended_by_itself(HEADS[head], ask, tls)


@pytest.mark.parametrize("head", ["status", "header"])
def test_slow_retrieval_of_a_service_s_health(tmp_path: Path, head: str) -> None:
    def ask(port: int) -> str:
        probe = Probe.model_validate({"http": {"port": port, "path": "/"}, "timeout": "500ms"})
        return Prober(PosixProcesses()).ask(probe, Asked("127.0.0.1", tmp_path, {}, {}))

    assert "no answer within 0.5 s" in ended_by_itself(HEADS[head], ask)


@pytest.mark.parametrize("head", HEADS)
def test_slow_retrieval_of_a_page_that_an_operation_looks_at(head: str) -> None:
    spec = OperationSpec(name="smoke", target="t@f", host="vm1", version="1", timeout=0.5)

    def ask(port: int) -> str:
        return http_driver.Driver(time.monotonic).run(spec, {"url": f"http://127.0.0.1:{port}"}).message

    assert "no whole answer within 0.5 s" in ended_by_itself(HEADS[head], ask)


@pytest.mark.parametrize("head", HEADS)
def test_slow_retrieval_of_an_assignment(head: str) -> None:
    """A poll that never ends would be the node's last."""

    def ask(port: int) -> str:
        client = Client(f"http://127.0.0.1:{port}/")
        with closing(client), pytest.raises(HTTPError) as caught:
            client.request("POST", f"http://127.0.0.1:{port}/", {}, Timeout(5.0), b"", deadline=Deadline(0.5)).read()
        return str(caught.value)

    assert "timed out" in ended_by_itself(HEADS[head], ask)


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
