"""Questions to a Prometheus: to a real one, and to one that misbehaves as the test wants it to."""

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agent.drivers.contracts import Outcome
from agent.drivers.operations.prometheus import Driver
from agent.redaction import Redactor
from agent.secrets import Secrets, Source
from crds.messages import OperationSpec, PrometheusQuery
from tests.support.ports import free_port, own_address
from tests.support.roles import no_command
from tests.support.waiting import eventually


def ask(url: str, query: str, secrets: dict[str, str] | None = None, timeout: float = 20.0, **said: Any) -> Outcome:
    redactor = Redactor()
    known = Secrets(
        {"prom": Source(environment="TOKEN"), "other": Source(environment="NONE")},
        redactor,
        no_command,
        {"TOKEN": "planted-secret"},
    )
    asked = PrometheusQuery.model_validate({"url": url, "query": query, **said})
    spec = OperationSpec(name="q", target="api@prod", prometheus=asked, secrets=secrets or {}, timeout=timeout)
    return Driver(known, time.monotonic, redactor.hide).run(spec, {"host": "vm1", "version": "2.0"})


class Answers(BaseHTTPRequestHandler):
    """Says what the test wants."""

    protocol_version = "HTTP/1.1"
    server: "Stub"

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        status, body = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if status == 302:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(text)


class Stub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.seen: list[tuple[str, str | None]] = []
        self.answers: list[tuple[int, Any]] = []


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def vector(*values: str, **more: Any) -> tuple[int, dict[str, Any]]:
    result = [{"metric": {"job": f"j{number}"}, "value": [1.0, value]} for number, value in enumerate(values)]
    return 200, {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


@pytest.mark.parametrize(
    ("values", "outcome", "words"),
    [
        (("0", "0.5"), "passed", "2 values from 0 to 0.5"),
        (("0", "1.5"), "failed", "1 of 2 values are above 1: 1.5 {job='j1'}"),
        (("-1",), "failed", "below 0: -1"),
        (("+Inf",), "failed", "above 1: inf"),
        ((), "inconclusive", "finds nothing"),
        (("NaN",), "inconclusive", "not a number"),
        (("0.5", "NaN"), "inconclusive", "{job='j1'} is not a number"),
    ],
)
def test_every_value_counts(stub: Stub, values: tuple[str, ...], outcome: str, words: str) -> None:
    stub.answers = [vector(*values)]
    said = ask(stub.url, "errors", max=1.0, min=0.0)
    assert (said.outcome, words in said.message) == (outcome, True), said


@pytest.mark.parametrize(("count", "outcome"), [("99", "inconclusive"), ("100", "passed")])
def test_too_few_samples_tell_nothing(stub: Stub, count: str, outcome: str) -> None:
    stub.answers = [vector(count), vector("0")]
    said = ask(stub.url, "errors", max=1.0, samples="requests", fewest=100.0)
    assert said.outcome == outcome
    assert "samples are fewer than 100" in said.message or outcome == "passed"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((400, {"status": "error", "error": "parse error"}), "refuses the query (HTTP 400): parse error"),
        (vector("0", warnings=["a store did not answer"]), "not whole: a store did not answer"),
        ((200, {"status": "success", "data": {"resultType": "matrix", "result": []}}), "gives a matrix"),
        ((200, b"<html>"), "not as Prometheus does: <html>"),
        ((401, b"who are you"), "HTTP 401, and not as Prometheus does"),
        ((302, b""), "HTTP 302"),
        ((200, b"[" * 100_000), "not as Prometheus does"),
        ((200, {"status": "success"}), "not as Prometheus does"),
        ((200, b" " * (1024 * 1024 + 1)), "more than 1,048,576 bytes"),
    ],
)
def test_an_answer_that_is_none_tells_nothing(stub: Stub, answer: tuple[int, Any], words: str) -> None:
    stub.answers = [answer]
    said = ask(stub.url, "errors", max=1.0)
    assert (said.outcome, words in said.message) == ("inconclusive", True), said
    assert len(stub.seen) == 1, "no redirect is followed: the credentials are for this address alone"


def test_nobody_there_and_somebody_slow_tell_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        said = ask(url, "errors", max=1.0, timeout=0.3)
        assert said.outcome == "inconclusive"
    assert ask(url, "errors", max=1.0).outcome == "inconclusive"


def test_credentials_are_secrets_of_the_runner(stub: Stub) -> None:
    stub.answers = [vector("0")]
    assert (
        ask(stub.url, 'up{instance="{host}:80", version="{version}"}', {"token": "prom"}, max=1.0).outcome == "passed"
    )
    assert stub.seen[-1][1] == "Bearer planted-secret"
    assert "instance%3D%22vm1%3A80%22%2C+version%3D%222.0" in stub.seen[-1][0]
    ask(stub.url, "up", {"password": "prom"}, user="ann", max=1.0)
    assert stub.seen[-1][1] == "Basic YW5uOnBsYW50ZWQtc2VjcmV0"
    stub.answers = [(500, b"planted-secret is wrong")]
    assert "***" in ask(stub.url, "up", {"token": "prom"}, max=1.0).message
    before = len(stub.seen)
    said = ask(stub.url, "up", {"token": "other"}, max=1.0)
    assert (said.outcome, len(stub.seen)) == ("inconclusive", before)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real one, that scrapes itself each second."""
    program = shutil.which("prometheus")
    assert program, "prometheus is missing; run: deploy/dev/setup.sh prometheus"
    folder, place = tmp_path_factory.mktemp("prometheus"), f"{own_address()}:{free_port()}"
    scrape = {"job_name": "self", "static_configs": [{"targets": [place]}]}
    (folder / "prometheus.yml").write_text(
        json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]})
    )
    command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={place}"], stdout=log, stderr=log)
    url = f"http://{place}"
    try:
        eventually(lambda: _scraped(url), patience=60)
        yield url
    finally:
        process.kill()
        process.wait()


def _scraped(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?query=up", timeout=5) as answer:
            return bool(json.load(answer)["data"]["result"])
    except (urllib.error.URLError, OSError):
        return False


def test_a_real_prometheus(prometheus: str) -> None:
    assert ask(prometheus, "up", min=1.0).outcome == "passed"
    assert ask(prometheus, "up", max=0.0).message.startswith("1 of 1 values are above 0: 1 {__name__='up'")
    assert ask(prometheus, "1 + 1", max=2.0, min=2.0).outcome == "passed"
    for query, words in (
        ("no_such_series", "finds nothing"),
        ("0 * up / 0", "not a number"),
        ("sum(rate(up[", "refuses the query (HTTP 400)"),
        ("up[5m]", "gives a matrix"),
        ('"text"', "gives a string"),
    ):
        said = ask(prometheus, query, max=1.0)
        assert (said.outcome, words in said.message) == ("inconclusive", True), said
    assert ask(prometheus, "up", max=1.0, samples="count(up)", fewest=1.0).outcome == "passed"
    assert ask(prometheus, "up", max=1.0, samples="count(up)", fewest=2.0).outcome == "inconclusive"
