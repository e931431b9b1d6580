"""Operations through the forwarder and a real HAProxy: an answer counts only if it is proven to be the host's."""

import http.client
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.contracts import Outcome
from agent.drivers.operations import exec as exec_driver
from agent.drivers.operations import http as http_driver
from agent.drivers.operations.forwarder import PROOF, Forwarder
from agent.posix import PosixProcesses
from agent.redaction import Redactor
from agent.roles.runner import run_operation
from agent.secrets import Secrets, Source
from crds.messages import OperationSpec, Via
from tests.support.haproxy import MAINTENANCE, HAProxy, running
from tests.support.roles import no_command, without_secrets
from tests.support.waiting import eventually

CURL = ["curl", "-sS", "--fail", "{url}/quote"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HAProxy]:
    """A balancer whose maintenance pool holds vm1 alone, up; vm2 is in MAINT there."""
    with running(tmp_path_factory.mktemp("lb"), count=2) as (_, (node,)):
        node.tell(f"set server {MAINTENANCE}/vm1 state ready")
        eventually(lambda: ",UP," in node.tell(f"show stat {MAINTENANCE} 4 -1"))
        yield node


def spec(via: str, host: str = "vm1", **rest: Any) -> OperationSpec:
    rest.setdefault("timeout", 20.0)
    return OperationSpec(name="smoke", target="t@f", host=host, version="1.0", via=Via(url=via, server=host), **rest)


def through(node: HAProxy) -> str:
    return f"http://{node.site.services[0].bind_maintenance}"


@pytest.fixture
def command(tmp_path: Path) -> exec_driver.Driver:
    return exec_driver.Driver(
        exec_driver.Commands(PosixProcesses(), tmp_path, {"PATH": os.environ["PATH"], "LANG": "C"}, without_secrets())
    )


def get() -> http_driver.Driver:
    return http_driver.Driver(time.monotonic)


def test_a_command_that_asks_the_host_passes(node: HAProxy, command: exec_driver.Driver) -> None:
    outcome = run_operation(command, spec(through(node), command=CURL))
    assert (outcome.outcome, '"version":"1.0"' in outcome.log_tail[0]) == ("passed", True)


def test_the_answer_is_that_very_hosts(node: HAProxy, command: exec_driver.Driver) -> None:
    outcome = run_operation(
        command, spec(through(node), command=["curl", "-sS", "--fail", "{url}/{host}/{version}{x}"])
    )
    assert '"host":"vm1"' in outcome.log_tail[0]


def test_a_host_that_is_not_up_there_proves_nothing(node: HAProxy, command: exec_driver.Driver) -> None:
    """HAProxy would fall back to vm1, refuses that answer, and the forwarder tells the test nothing of it."""
    outcome = run_operation(command, spec(through(node), "vm2", command=["curl", "-sS", "{url}/quote"]))
    assert outcome.outcome == "inconclusive"
    assert "vm2 was asked for" in outcome.message
    assert not any("price" in line for line in outcome.log_tail)


def test_a_balancer_that_proves_nothing_lets_nothing_pass(tmp_path: Path, command: exec_driver.Driver) -> None:
    """Neither rule of the shipped configuration is there: vm1 answers for vm2, and nobody says so."""
    with running(tmp_path, 2, without="http-response") as (_, (bare,)):
        bare.tell(f"set server {MAINTENANCE}/vm1 state ready")
        eventually(lambda: ",UP," in bare.tell(f"show stat {MAINTENANCE} 4 -1"))
        for host in ("vm1", "vm2"):
            outcome = run_operation(command, spec(through(bare), host, command=CURL))
            assert (outcome.outcome, PROOF in outcome.message) == ("inconclusive", True)


def test_http_gates_look_at_status_and_text(node: HAProxy) -> None:
    def outcome(**rest: Any) -> Outcome:
        return run_operation(get(), spec(through(node), **rest))

    assert outcome(path="/quote", contains='"price":101.25').outcome == "passed"
    assert outcome(path="/quote", contains="no such text").outcome == "failed"
    wrong = outcome(path="/quote", status=[204])
    assert (wrong.outcome, wrong.message) == ("failed", "GET /quote: HTTP 200, expected 204")
    assert run_operation(get(), spec(through(node), "vm2", path="/quote")).outcome == "inconclusive"


def test_python_keeps_its_connection_and_posts(node: HAProxy, command: exec_driver.Driver) -> None:
    script = (
        "import http.client, os, urllib.parse as u; p = u.urlsplit(os.environ['DRUMBEAT_URL'])\n"
        "c = http.client.HTTPConnection(p.hostname, p.port)\n"
        "for body in (b'', b'x' * 30000):\n"
        "    c.request('POST', '/quote', body); r = c.getresponse(); r.read()\n"
        "    print(r.status, r.getheader('x-drumbeat-server'), os.environ['DRUMBEAT_HOST'], c.sock is not None)\n"
    )
    outcome = run_operation(command, spec(through(node), command=[sys.executable, "-c", script]))
    assert outcome.outcome == "passed", outcome
    assert outcome.log_tail == ["200 vm1 vm1 True"] * 2


def test_a_command_that_never_asks_proves_nothing(node: HAProxy, command: exec_driver.Driver) -> None:
    asks_nobody = run_operation(command, spec(through(node), command=["true"]))
    assert (asks_nobody.outcome, "without a single request" in asks_nobody.message) == ("inconclusive", True)
    assert run_operation(command, spec(through(node), command=["false"])).outcome == "failed"


def test_without_a_way_the_address_itself_is_asked(node: HAProxy, command: exec_driver.Driver) -> None:
    address = node.site.services[0].servers["vm2"]
    straight = OperationSpec(name="s", target="t@f", host="vm2", command=CURL, address=address, timeout=20.0)
    assert run_operation(command, straight).outcome == "passed"


def test_a_command_is_killed_with_all_its_children(tmp_path: Path, command: exec_driver.Driver) -> None:
    kept = tmp_path / "pid"
    lasting = ["sh", "-c", f"echo begun; sleep 1000 & echo $! > {kept}; wait"]
    begun = time.monotonic()
    outcome = command.run(OperationSpec(name="s", target="t@f", command=lasting, timeout=1.0), {})
    assert time.monotonic() - begun < 15
    assert (outcome.outcome, outcome.log_tail) == ("failed", ["begun"])
    assert "within 1 s" in outcome.message
    child = int(kept.read_text())
    eventually(lambda: not Path(f"/proc/{child}").exists() or ") Z " in Path(f"/proc/{child}/stat").read_text())


def test_output_is_cut(command: exec_driver.Driver) -> None:
    loud = ["sh", "-c", "for i in $(seq 100); do printf '%0500d\\n' $i; done; exit 3"]
    outcome = command.run(OperationSpec(name="s", target="t@f", command=loud, timeout=20.0), {})
    assert (outcome.message, len(outcome.log_tail)) == ("sh: exit status 3", 20)
    assert {len(line) for line in outcome.log_tail} == {300}


def test_a_command_that_cannot_start_proves_nothing(command: exec_driver.Driver) -> None:
    outcome = command.run(OperationSpec(name="s", target="t@f", command=["./no-such"], timeout=1.0), {})
    assert (outcome.outcome, "./no-such" in outcome.message) == ("inconclusive", True)


class Behind(BaseHTTPRequestHandler):
    """A maintenance pool that behaves as the test wants."""

    protocol_version = "HTTP/1.1"
    server: "Pool"

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        size = 0
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while length := int(self.rfile.readline(), 16):
                size += len(self.rfile.read(length + 2)) - 2
            self.rfile.readline()
        else:
            size = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        self.server.seen.append((self.command, self.path, self.headers.get(PROOF), size))
        self.send_response(int(self.path.strip("/") or 200))
        for value in self.server.proof:
            self.send_header(PROOF, value)
        if self.server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n" if self.server.chunked else self.server.body)

    do_POST = do_PUT = do_HEAD = do_FROB = do_GET  # noqa: N815  the base class wants these names


class Pool(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Behind)
        self.proof, self.body = ["vm1"], b"hello"
        self.chunked = False
        self.seen: list[tuple[str, str, str | None, int]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool() as pool:
        threading.Thread(target=pool.serve_forever, args=(0.01,), daemon=True).start()
        yield pool
        pool.shutdown()


def ask(forwarder: Forwarder, method: str = "GET", path: str = "/", body: Any = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", int(forwarder.url.rpartition(":")[2]), timeout=20)
    connection.request(method, path, body, {PROOF: "vm3"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


@pytest.mark.parametrize("chunked", [False, True])
def test_every_method_and_body_is_forwarded_as_it_is(pool: Pool, chunked: bool) -> None:
    pool.chunked = chunked
    with Forwarder(pool.url, "vm1", 20) as forwarder:
        assert ask(forwarder) == (200, b"hello")
        assert ask(forwarder, "FROB", "/404") == (404, b"hello")
        assert ask(forwarder, "HEAD") == (200, b"")
        assert ask(forwarder, "PUT", body=b"x" * 5_000_000) == (200, b"hello")
        assert ask(forwarder, "POST", body=iter([b"x" * 70_000] * 10)) == (200, b"hello")
        assert forwarder.unproven() == []
        assert forwarder.requests() == 5
    assert [size for *_, size in pool.seen] == [0, 0, 0, 5_000_000, 700_000]
    assert {asked for _, _, asked, _ in pool.seen} == {"vm1"}


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        (b"GET /200 HTTP/1.1\r\n\r\nGET /404 HTTP/1.1\r\nConnection: Close\r\n\r\n", [b"200", b"404"]),
        (b"GET /200 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /404 HTTP/1.0\r\n\r\n", [b"200", b"404"]),
        (
            b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
            [b"100", b"200"],
        ),
        (b"GET / HTTP/2.0\r\n\r\nGET / HTTP/1.1\r\n\r\n", [b"400"]),
        (b"nonsense\r\n\r\n", [b"400"]),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", [b"400"]),
    ],
)
def test_a_connection_lasts_as_long_as_its_client_wants_and_is_understood(
    pool: Pool, sent: bytes, got: list[bytes]
) -> None:
    with (
        Forwarder(pool.url, "vm1", 20) as forwarder,
        socket.create_connection(("127.0.0.1", int(forwarder.url.rpartition(":")[2])), 20) as client,
    ):
        client.sendall(sent)
        answers = b"".join(iter(lambda: client.recv(65536), b""))
        assert re.findall(rb"HTTP/1.1 (\d+) ", answers) == got
        assert answers.count(b"Connection: close") == (got[-1] != b"100")
        assert forwarder.unproven() == []


@pytest.mark.parametrize("proof", [[], ["vm2"], ["vm1", "vm2"], ["vm1, vm2"]])
def test_an_answer_without_proof_never_reaches_the_test(pool: Pool, proof: list[str]) -> None:
    pool.proof = proof
    with Forwarder(pool.url, "vm1", 20) as forwarder:
        status, content = ask(forwarder)
        assert (status, b"hello" in content) == (502, False)
        assert len(forwarder.unproven()) == 1
        pool.proof = ["vm1"]
        assert ask(forwarder) == (200, b"hello")
        assert len(forwarder.unproven()) == 1, "one answer without proof is one too many"


def test_one_answer_without_proof_spoils_the_whole_operation(pool: Pool, command: exec_driver.Driver) -> None:
    pool.proof = []
    smoke = ["sh", "-c", "curl -s {url}; exit 0"]
    assert run_operation(command, spec(pool.url, command=smoke)).outcome == "inconclusive"


def test_nobody_behind_proves_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = run_operation(get(), spec(f"http://127.0.0.1:{port}", path="/"))
    assert outcome.outcome == "inconclusive"


def test_nothing_listens_once_the_operation_is_over(pool: Pool) -> None:
    with Forwarder(pool.url, "vm1", 600) as forwarder:
        lasting = socket.create_connection(("127.0.0.1", int(forwarder.url.rpartition(":")[2])), 20)
        eventually(lambda: ask(forwarder)[0] == 200)
    assert lasting.recv(1) == b""
    lasting.close()
    with pytest.raises(OSError, match="refused"):
        ask(forwarder)


def test_a_command_gets_its_secrets_and_what_it_says_of_them_is_hidden(tmp_path: Path) -> None:
    redactor = Redactor()
    sources = {"token": Source(environment="T", services=["api"]), "of-web": Source(environment="T", services=["web"])}
    known = Secrets(sources, redactor, no_command, {"T": "planted-secret"})
    driver = exec_driver.Driver(
        exec_driver.Commands(PosixProcesses(), tmp_path, {"PATH": os.environ["PATH"]}, known, redactor.hide)
    )
    said = {
        "name": "g",
        "target": "api@prod",
        "command": ["sh", "-c", 'printf %0290d$TOKEN 0; test "$TOKEN" = planted-secret'],
    }
    outcome = driver.run(OperationSpec.model_validate({**said, "secrets": {"TOKEN": "token"}}), {})
    assert (outcome.outcome, outcome.log_tail) == ("passed", ["0" * 290 + "***"])
    unknown = driver.run(OperationSpec.model_validate({**said, "secrets": {"TOKEN": "other"}}), {})
    assert unknown.outcome == "inconclusive"
    assert "this node knows no secret 'other'; it knows: of-web, token" in unknown.message
    foreign = driver.run(OperationSpec.model_validate({**said, "secrets": {"TOKEN": "of-web"}}), {})
    assert foreign.outcome == "inconclusive"
    assert "secret 'of-web' is not for api: this node keeps it for web" in foreign.message


def test_what_is_quoted_of_an_answer_is_hidden_before_it_is_cut(pool: Pool) -> None:
    """Half of a secret would not be found any more, and would leave the node with the report."""
    redactor, pool.body = Redactor(), b"\n" + b"0" * 290 + b"planted-secret\n\n1\n2\n3\n4\n5"
    redactor.learn("planted-secret")
    driver = http_driver.Driver(time.monotonic, redactor.hide)
    for wrong in ({"status": [204]}, {"contains": "no such text"}):
        assert run_operation(driver, spec(pool.url, path="/", **wrong)).log_tail == ["0" * 290 + "***", *"1234"]
