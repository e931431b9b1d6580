"""What programs rely on in the API: its document, its resources, selectors, errors, and that it never hangs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from controller.http.api import create_app
from controller.mailbox import Mailbox
from controller.metrics import Metrics
from tests.support.controller import Served, controller, serving
from tests.support.pretend import Pretence
from tests.support.states import state
from tests.support.waiting import eventually

PATHS = (
    "/api/v1/targets",
    "/api/v1/targets/api@prod",
    "/api/v1/rollouts",
    "/api/v1/rollouts/api@prod",
    "/api/v1/nodes",
    "/api/v1/nodes/vm1",
    "/api/v1/nodes/lb1",
    "/api/v1/pools",
    "/api/v1/pools/lb1/on",
    "/api/v1/state",
    "/api/v1/events",
    "/healthz",
    "/readyz",
)


@pytest.fixture(scope="module")
def converged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with controller(tmp_path_factory.mktemp("store")) as served:
        served.controller.commit(state("1"))
        served.reaches("Converged")
        yield served


@pytest.fixture(scope="module")
def document(converged: Served) -> dict[str, Any]:
    found: dict[str, Any] = converged.get("/openapi.json")
    return found


def template(path: str, document: dict[str, Any]) -> str:
    """The path of the document that leads to this one."""
    if path in document["paths"]:
        return path
    parent = "/".join(path.split("/")[:4])
    return next(str(known) for known in document["paths"] if known.startswith(f"{parent}/"))


@pytest.mark.parametrize("path", PATHS)
def test_every_path_answers_what_the_document_says(converged: Served, document: dict[str, Any], path: str) -> None:
    said = document["paths"][template(path, document)]["get"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    schema = {**said, "components": document["components"]}
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(converged.get(path))


def test_the_document_lists_every_path_and_resolves(converged: Served, document: dict[str, Any]) -> None:
    commands = {path for path, methods in document["paths"].items() if list(methods) == ["post"]}
    assert {template(path, document) for path in PATHS} | {"/metrics"} | commands == set(document["paths"])
    references = set(_references(document))
    assert references
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _references(each)


def test_a_target_shows_its_hosts_only_by_name(converged: Served) -> None:
    [listed] = converged.get("/api/v1/targets")["items"]
    assert listed["status"]["hosts"] is None
    assert converged.get("/api/v1/targets/api@prod", hosts="false") | {"metadata": None} == listed | {"metadata": None}
    read = converged.get("/api/v1/targets/api@prod")
    assert read["metadata"]["labels"] == {"service": "api", "fleet": "prod", "version": "1"}
    assert read["metadata"]["generation"] == read["status"]["observedGeneration"] == 1
    assert [host["name"] for host in read["status"]["hosts"]] == ["vm1", "vm2", "vm3", "vm4"]
    host = read["status"]["hosts"][1]
    assert (host["zone"], host["standing"], host["version"], host["healthy"]) == ("b", "current", "1", True)
    assert [(seat["node"], seat["pool"], seat["admin"], seat["up"]) for seat in host["seats"]] == [
        ("lb1", "on", "ready", True),
        ("lb2", "on", "ready", True),
    ]
    assert read["status"]["running"] == [{"version": "1", "digest": read["spec"]["digest"], "hosts": 4}]


def test_a_host_under_way_shows_what_each_balancer_node_does_with_it(tmp_path: Path) -> None:
    with controller(tmp_path, pretence=Pretence()) as served:
        served.controller.commit(state("1"))
        served.reaches("Converged")
        served.controller.pretence.installing.add("vm1")
        served.controller.commit(state("2"))
        served.waits_for("unpacks the archive")
        host = served.get("/api/v1/targets/api@prod")["status"]["hosts"][0]
        assert (host["name"], host["standing"], host["reason"]) == ("vm1", "inFlight", "unpacks the archive")
        assert {seat["admin"] for seat in host["seats"]} == {"maint"}
        [journey] = served.get("/api/v1/rollouts/api@prod")["status"]["journeys"]
        assert (journey["host"], journey["batch"], journey["step"], journey["out"]) == ("vm1", 1, "deploying", True)
        pool = served.get("/api/v1/pools/lb1/on")
        assert pool["status"]["counts"]["maint"] == 1
        assert {row["name"]: row["admin"] for row in pool["status"]["servers"]}["vm1"] == "maint"
        assert served.get("/api/v1/targets/api@prod")["status"]["nextWake"] is not None


@pytest.mark.parametrize(
    ("path", "selector", "names"),
    [
        ("targets", "service=api", ["api@prod"]),
        ("targets", "service=api,fleet!=staging", ["api@prod"]),
        ("targets", "service == api , fleet=prod", ["api@prod"]),
        ("targets", "fleet=staging", []),
        ("targets", "missing!=x", ["api@prod"]),
        ("targets", "missing=x", []),
        ("nodes", "zone=b", ["vm2", "vm4"]),
        ("nodes", "role-balancer=true", ["lb1", "lb2"]),
        ("pools", "use=online,version=1", ["lb1/on", "lb2/on"]),
        ("rollouts", "version!=1", []),
    ],
)
def test_selectors(converged: Served, path: str, selector: str, names: list[str]) -> None:
    items = converged.get(f"/api/v1/{path}", labelSelector=selector)["items"]
    assert [item["metadata"]["name"] for item in items] == names


@pytest.mark.parametrize(
    ("path", "status", "error", "hint"),
    [
        ("/api/v1/targets/apj@prod", 404, "no target 'apj@prod'", "did you mean 'api@prod'?"),
        ("/api/v1/targets/zzzzzz", 404, "no target 'zzzzzz'", "'drumbeat get targets' lists them"),
        ("/api/v1/rollouts/apj@prod", 404, "no rollout 'apj@prod'", "did you mean 'api@prod'?"),
        ("/api/v1/nodes/vm11", 404, "no node 'vm11'", "did you mean 'vm1'?"),
        ("/api/v1/pools/lb1/onn", 404, "no pool 'lb1/onn'", "did you mean 'lb1/on'?"),
        ("/api/v1/targets?labelSelector=a%3Eb", 400, "'a>b' in selector 'a>b' is not KEY=VALUE or KEY!=VALUE", "write"),
        ("/api/v1/events?limit=0", 422, "parameter limit: ", "see /openapi.json"),
        ("/api/v2/targets", 404, "there is no path /api/v2/targets", "see /openapi.json"),
    ],
)
def test_errors_say_what_is_wrong_and_what_to_do(
    converged: Served, path: str, status: int, error: str, hint: str
) -> None:
    answer = requests.get(converged.url + path, timeout=10)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(error)
    assert answer.json()["hint"].startswith(hint)


def test_writing_is_refused_as_an_error_like_any_other(converged: Served) -> None:
    answer = requests.post(f"{converged.url}/api/v1/targets", timeout=10)
    assert answer.status_code == 405
    assert "error" in answer.json()


def test_events_go_on_where_the_last_page_ended(converged: Served) -> None:
    everything = converged.get("/api/v1/events", limit=1000)["items"]
    pages, after = [], 0
    while items := (page := converged.get("/api/v1/events", after=after, limit=3))["items"]:
        pages += items
        after = page["metadata"]["resourceVersion"]
    assert pages == everything
    newest = converged.get("/api/v1/events", limit=2)
    assert newest["items"] == everything[-2:]
    assert converged.get("/api/v1/events", after=newest["metadata"]["resourceVersion"])["items"] == []


def test_events_of_a_target_include_those_of_its_hosts(converged: Served) -> None:
    about = {event["object"] for event in converged.get("/api/v1/events", object="api@prod", limit=1000)["items"]}
    assert about == {"api@prod", *(f"api@prod/vm{number}" for number in (1, 2, 3, 4))}


def test_the_state_names_what_is_in_force_and_what_was_refused(tmp_path: Path) -> None:
    with controller(tmp_path) as served:
        assert requests.get(f"{served.url}/readyz", timeout=10).status_code == 503
        served.controller.commit(state("1"))
        served.reaches("Converged")
        served.controller.refuse("bad1", "services/api.yaml:3: spec.hots: no such field")
        refused = eventually(lambda: served.get("/api/v1/state")["refused"])
        assert (refused["id"], refused["problems"]) == ("bad1", ["services/api.yaml:3: spec.hots: no such field"])
        served.controller.lose_source("cannot be fetched")
        eventually(lambda: served.get("/api/v1/state")["sourceError"] == "cannot be fetched")
        found = served.get("/api/v1/state")
        assert (found["revision"]["id"], found["targets"], found["silentNodes"]) == ("rev1", {"Ready": 1}, [])
        assert served.get("/readyz") == {"status": "ok", "revision": "rev1"}


def test_silence_is_not_evidence(tmp_path: Path) -> None:
    with controller(tmp_path, node_timeout=0.5) as served:
        served.controller.commit(state("1"))
        served.reaches("BalancerSilent")
        assert eventually(lambda: len(served.get("/api/v1/state")["silentNodes"]) == 7)
        pool = served.get("/api/v1/pools/lb1/on")
        assert pool["status"]["headline"] == "Silent"
        assert {row["admin"] for row in pool["status"]["servers"]} == {"unknown"}
        assert sum(pool["status"]["counts"].values()) == 0
        target = served.get("/api/v1/targets/api@prod")
        assert (target["status"]["running"], target["status"]["unknown"]) == ([], 4)
        node = served.get("/api/v1/nodes/vm1")
        assert (node["status"]["headline"], node["status"]["silent"]) == ("Silent", True)


def test_metrics_are_for_prometheus(converged: Served) -> None:
    answer = requests.get(f"{converged.url}/metrics", timeout=10)
    assert answer.headers["content-type"].startswith("text/plain")
    assert "drumbeat_reports_total" in answer.text


def test_a_deciding_thread_that_does_not_answer_is_an_error_not_a_hang() -> None:
    app = create_app(Mailbox(), Metrics(CollectorRegistry()), answer_within=0.2)
    with serving(app) as url:
        answer = requests.get(f"{url}/api/v1/targets", timeout=10)
        assert answer.status_code == 503
        assert answer.json()["error"] == "the controller's deciding thread does not answer in time"
        assert requests.get(f"{url}/healthz", timeout=10).json() == {"status": "ok"}


def _break_one_target(deciding: Any) -> None:
    deciding.world.statuses["broken"] = None


def test_a_view_that_fails_is_an_error_of_that_question_alone(tmp_path: Path) -> None:
    with controller(tmp_path) as served:
        served.controller.commit(state("1"))
        served.reaches("Converged")
        served.controller.ask(_break_one_target)
        answer = requests.get(f"{served.url}/api/v1/rollouts/broken", timeout=10)
        assert (answer.status_code, answer.json()["error"]) == (500, "the controller failed on this question")
        assert served.get("/api/v1/targets/api@prod")["status"]["headline"] == "Ready"


def test_other_routes_live_in_the_same_application() -> None:
    async def hello(request: Request) -> Response:
        return PlainTextResponse(f"hello {request.path_params['node']}")

    with serving(create_app(Mailbox(), Metrics(CollectorRegistry()), [Route("/bus/v1/{node}", hello)])) as url:
        assert requests.get(f"{url}/bus/v1/vm1", timeout=10).text == "hello vm1"
        assert requests.get(f"{url}/healthz", timeout=10).json() == {"status": "ok"}
