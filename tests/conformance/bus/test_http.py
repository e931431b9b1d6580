"""What the embedded bus promises beyond the port: statuses that help, refusals that cost little, TLS."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi import FastAPI, Request, Response
from starlette.applications import Starlette

from bus.http_controller import HttpControllerBus
from bus.http_node import HttpNodeBus
from bus.port import Received
from tests.conformance.bus.transports import MAX_ENVELOPE, Http, eventually
from tests.support.certificates import Authority
from tests.support.logs import capture_logs


@pytest.fixture
def http(tmp_path: Path) -> Iterator[Http]:
    made = Http(tmp_path)
    try:
        yield made
    finally:
        made.close()


def post(http: Http, path: str, body: Any = b"x", token: str | None = None, **asked: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return requests.post(
        f"{http.url}/bus/v1/nodes/{path}", data=body, headers=headers, params=asked, timeout=20, proxies={"http": ""}
    )


def test_statuses_say_what_to_do(http: Http) -> None:
    got: list[Received] = []
    http.start_controller(got.append)
    token, other = http.token("host-1"), http.token("host-2")
    disputed = http.token("host-3")
    http.ring.revoke("host-2")
    http.ring.dispute("host-3", "two machines")
    cases = [
        (401, "Bearer TOKEN", post(http, "host-1/report")),
        (403, "join with an invitation", post(http, "host-1/report", token="wrong")),
        (403, "join with an invitation", post(http, "host-9/report", token=token)),
        (403, "revoked", post(http, "host-2/poll", token=other)),
        (403, "two machines", post(http, "host-3/poll", token=disputed)),
        (413, str(MAX_ENVELOPE), post(http, "host-1/report", b"x" * (MAX_ENVELOPE + 1), token)),
        (413, str(MAX_ENVELOPE), post(http, "host-1/report", iter([b"x" * 15_000] * 2), token)),
        (400, "wait=", post(http, "host-1/poll", token=token, wait="long")),
        (400, "wait=", post(http, "host-1/poll", token=token, wait="nan")),
        (400, "wait=", post(http, "host-1/poll", token=token, wait="9999")),
        (400, "empty", post(http, "host-1/report", b"", token)),
    ]
    for status, words, answer in cases:
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert got == []
    assert post(http, "host-1/report", token=token).status_code == 202
    assert post(http, "host-1/poll", token=token, wait="0.01").status_code == 204
    assert [(one.node, one.envelope) for one in got] == [("host-1", b"x")] * 2


def test_a_second_poll_of_a_node_ends_the_first(http: Http) -> None:
    controller = http.start_controller(lambda received: None)
    token, first = http.token("host-1"), []
    thread = threading.Thread(target=lambda: first.append(post(http, "host-1/poll", token=token, wait="60")))
    thread.start()
    eventually(http, lambda: "host-1" in controller._waiting)
    assert post(http, "host-1/poll", token=token, wait="0.01").status_code == 204
    thread.join(10)
    assert first[0].status_code == 409
    assert "two agents" in first[0].text


def test_a_controller_that_is_busy_or_stops_says_when_to_come_back(http: Http) -> None:
    controller = http.start_controller(lambda received: None, backlog=1)
    token = http.token("host-1")
    assert post(http, "host-1/report", token=token).status_code == 202
    busy = post(http, "host-1/report", token=token)
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "1")
    controller.settle([Received("host-1", b"x")])
    assert post(http, "host-1/report", token=token).status_code == 202
    controller.stop()
    assert post(http, "host-1/poll", token=token, wait="60").status_code == 503


def test_stopping_the_bus_ends_polls_that_wait(http: Http) -> None:
    controller = http.start_controller(lambda received: None)
    token, answers = http.token("host-1"), []
    thread = threading.Thread(target=lambda: answers.append(post(http, "host-1/poll", token=token, wait="60")))
    thread.start()
    eventually(http, lambda: "host-1" in controller._waiting)
    controller.stop()
    thread.join(10)
    assert answers[0].status_code == 503


def test_publishing_before_between_and_after_servers_is_harmless(http: Http) -> None:
    controller = HttpControllerBus(http.ring)
    controller.publish("host-1", b"1")
    running = http.start_controller(lambda received: None)
    assert post(http, "host-1/poll", token=http.token("host-1"), wait="0").status_code == 204
    http.stop_controller()
    running.publish("host-1", b"2")
    running.stop()


def answering(answer: Callable[[str], Response]) -> FastAPI:
    """A server that gives its own answer to every path, from a worker thread."""
    app = FastAPI()

    @app.middleware("http")
    async def fixed(request: Request, call_next: Any) -> Response:
        return await asyncio.to_thread(answer, request.url.path.rpartition("/")[2])

    return app


def test_an_outage_is_logged_once(http: Http) -> None:
    tries: list[str] = []

    def fail(path: str) -> Response:
        tries.append(path)
        return Response("out of order", 500)

    http.server.start(answering(fail))
    with capture_logs("bus") as logs:
        node = http.node("host-1")
        node.start(lambda envelope: None, lambda: b"beat")
        node.send(b"1")
        eventually(http, lambda: len(tries) >= 6)
        assert [line["log_level"] for line in logs] == ["warning"]
        assert "out of order" in logs[0]["why"]
        http.server.stop()
        http.start_controller(lambda received: None)
        eventually(http, lambda: logs[-1]["event"] == "the controller is back")
        node.stop()
    assert [line["log_level"] for line in logs].count("info") == 1
    assert http.token("host-1") not in str(logs)


def test_a_wrong_token_is_told_to_the_node_s_operator(http: Http) -> None:
    http.start_controller(lambda received: None)
    with capture_logs("bus") as logs:
        http.node("host-1", credentials_of="host-2").start(lambda envelope: None, lambda: b"beat")
        eventually(http, lambda: bool(logs))
    assert "403" in logs[0]["why"]
    assert "join with an invitation" in logs[0]["why"]


def test_what_the_agent_failed_to_take_comes_again(http: Http) -> None:
    controller, got = http.start_controller(lambda received: None), []

    def fail_at_first(envelope: bytes) -> None:
        got.append(envelope)
        if len(got) == 1:
            raise RuntimeError("not today")

    with capture_logs("bus") as logs:
        http.node("host-1").start(fail_at_first, lambda: b"beat")
        controller.publish("host-1", b"1")
        eventually(http, lambda: got == [b"1", b"1"])
    assert any(line["log_level"] == "error" for line in logs)


def test_a_report_that_failed_does_not_take_the_place_of_a_newer_one(http: Http) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def fail_slowly(path: str) -> Response:
        if path == "report":
            arrived.set()
            go_on.wait(20)
        return Response("out of order", 500)

    http.server.start(answering(fail_slowly))
    node, got = http.node("host-1"), []
    node.start(lambda envelope: None, lambda: b"beat")
    node.send(b"older")
    assert arrived.wait(20)
    node.send(b"newer")
    go_on.set()
    http.server.stop()
    http.start_controller(lambda received: got.append(received.envelope))
    eventually(http, lambda: b"newer" in got)
    assert b"older" not in got


def test_polls_that_end_at_once_are_not_repeated_at_once(http: Http) -> None:
    tries: list[float] = []

    def hasten(path: str) -> Response:
        tries.append(time.monotonic())
        return Response(status_code=204)

    http.server.start(answering(hasten))
    http.node("host-1").start(lambda envelope: None, lambda: b"beat")
    eventually(http, lambda: len(tries) >= 3)
    assert tries[2] - tries[0] >= 1.5


def test_what_is_refused_for_good_is_not_sent_again(http: Http) -> None:
    tries: list[str] = []

    def refuse(path: str) -> Response:
        tries.append(path)
        if path == "report":
            return Response("too large", 413)
        time.sleep(0.25)
        return Response(status_code=204)

    http.server.start(answering(refuse))
    node = http.node("host-1")
    node.start(lambda envelope: None, lambda: b"beat")
    node.send(b"1")
    eventually(http, lambda: "report" in tries)
    polls = len(tries)
    eventually(http, lambda: len(tries) >= polls + 5)
    node.stop()
    assert tries.count("report") == 1


def test_a_report_goes_out_at_once(http: Http) -> None:
    """Of 50 reports on an open connection, most must be there within 50 ms; usual is 1 ms."""
    arrived: list[float] = []
    http.start_controller(lambda received: arrived.append(time.monotonic()) if received.envelope == b"1" else None)
    node = http.node("host-1")
    node.start(lambda envelope: None, lambda: b"beat")
    took = []
    for count in range(1, 51):
        sent = time.monotonic()
        node.send(b"1")
        eventually(http, lambda count=count: len(arrived) == count)
        took.append(arrived[-1] - sent)
    assert sorted(took)[25] < 0.05


def test_proxies_come_from_the_environment_and_netrc_does_not(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{http.server.port}")
    monkeypatch.setenv("no_proxy", "")
    seen: list[str] = []
    app = FastAPI()

    @app.middleware("http")
    async def as_proxy(request: Any, call_next: Any) -> Any:
        seen.append(f"{request.headers['host']} {request.headers['authorization']}")
        return await call_next(request)

    http.server.start(app)
    node = HttpNodeBus("http://controller.invalid:1", "host-1", "the-token")
    node.start(lambda envelope: None, lambda: b"beat")
    eventually(http, lambda: bool(seen))
    node.stop()
    assert seen[0] == "controller.invalid:1 Bearer the-token"


def test_tls_with_a_ca_of_one_s_own(http: Http, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("controller")
    received: list[Received] = []
    controller, got = HttpControllerBus(http.ring), []
    controller.start(received.append)
    app = Starlette(routes=controller.routes())
    http.server.start(app, ssl_certfile=str(server.file), ssl_keyfile=str(server.key))
    url = http.url.replace("http://", "https://")
    trusting = HttpNodeBus(url, "host-1", http.token("host-1"), ca=str(authority.file))
    trusting.start(got.append, lambda: b"beat")
    with capture_logs("bus") as logs:
        doubting = HttpNodeBus(url, "host-2", http.token("host-2"))
        doubting.start(got.append, lambda: b"beat")
        eventually(http, lambda: bool(logs))
        doubting.stop()
    assert "certificate verify failed" in logs[0]["why"]
    trusting.send(b"1")
    controller.publish("host-1", b"2")
    eventually(http, lambda: got == [b"2"] and b"1" in [one.envelope for one in received])
    eventually(http, lambda: "host-1" in controller._waiting)
    began = time.monotonic()
    trusting.stop()
    assert time.monotonic() - began < 5
    assert {one.node for one in received} == {"host-1"}
    controller.stop()
