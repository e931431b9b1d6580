"""The API: resources, events, commands, health and metrics. Errors are {"error": ..., "hint": ...}."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from bus.clock import Clock, SystemClock
from controller import views
from controller.http.asking import DEADLINE, Asker
from controller.http.commands import commands
from controller.http.forecasts import forecasts
from controller.http.problems import PROBLEMS, answer_problems
from controller.mailbox import Mailbox
from controller.metrics import Metrics
from controller.views.resources import (
    EventList,
    NodeList,
    NodeResource,
    PoolList,
    PoolResource,
    RolloutList,
    RolloutResource,
    StateResource,
    TargetList,
    TargetResource,
)

LabelSelector = Annotated[
    str,
    Query(
        alias="labelSelector", description="KEY=VALUE or KEY!=VALUE, several with commas: service=api,fleet!=staging"
    ),
]
MAX_EVENTS = 5000


def create_app(
    mailbox: Mailbox,
    metrics: Metrics,
    routes: Sequence[Route] = (),
    *,
    clock: Clock | None = None,
    answer_within: float = DEADLINE,
) -> Starlette:
    """The application: ``routes``, and the API over the deciding thread behind ``mailbox``.

    The routes come first and go by themselves: FastAPI would cost each report as much again as it costs to take it.

    ``answer_within``: seconds for the deciding thread; after that the API answers 503.
    """
    asker, time = Asker(mailbox, answer_within), clock or SystemClock()
    app = FastAPI(
        title="Drumbeat",
        version=version("drumbeat"),
        summary="What should be, what is, and why it is not moving.",
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
    )
    answer_problems(app)
    app.include_router(_targets_and_rollouts(asker, time), prefix="/api/v1", responses=PROBLEMS)
    app.include_router(_nodes_and_pools(asker, time), prefix="/api/v1", responses=PROBLEMS)
    app.include_router(_state_and_events(asker, time), prefix="/api/v1", responses=PROBLEMS)
    app.include_router(commands(asker), prefix="/api/v1")
    app.include_router(forecasts(asker, time), prefix="/api/v1")
    app.include_router(_health(asker, metrics))
    return Starlette(routes=[*routes, Mount("/", app)])


def _targets_and_rollouts(asker: Asker, clock: Clock) -> APIRouter:
    router = APIRouter(tags=["targets"])

    @router.get("/targets")
    async def list_targets(selector: LabelSelector = "") -> TargetList:
        """All targets, without the rows of their hosts."""
        matches, now = views.parse_selector(selector), clock.now()
        return await asker.ask(lambda deciding: views.targets(deciding, matches, now))

    @router.get("/targets/{name}")
    async def read_target(name: str, hosts: bool = True) -> TargetResource:
        """One target, with its hosts unless told otherwise; who only waits for it should do without them."""
        now = clock.now()
        return await asker.ask(lambda deciding: views.target(deciding, name, now, hosts))

    @router.get("/rollouts")
    async def list_rollouts(selector: LabelSelector = "") -> RolloutList:
        """The rollout of every target."""
        matches, now = views.parse_selector(selector), clock.now()
        return await asker.ask(lambda deciding: views.rollouts(deciding, matches, now))

    @router.get("/rollouts/{name}")
    async def read_rollout(name: str) -> RolloutResource:
        """The rollout of one target, with its hosts' journeys."""
        now = clock.now()
        return await asker.ask(lambda deciding: views.rollout(deciding, name, now))

    return router


def _nodes_and_pools(asker: Asker, clock: Clock) -> APIRouter:
    router = APIRouter(tags=["nodes"])

    @router.get("/nodes")
    async def list_nodes(selector: LabelSelector = "") -> NodeList:
        """Hosts, balancer nodes and runners: those declared, and such that reported once."""
        matches, now = views.parse_selector(selector), clock.now()
        return await asker.ask(lambda deciding: views.nodes(deciding, matches, now))

    @router.get("/nodes/{name}")
    async def read_node(name: str) -> NodeResource:
        """One node with its services."""
        now = clock.now()
        return await asker.ask(lambda deciding: views.node(deciding, name, now))

    @router.get("/pools")
    async def list_pools(selector: LabelSelector = "") -> PoolList:
        """Every pool on every balancer node, without the servers."""
        matches, now = views.parse_selector(selector), clock.now()
        return await asker.ask(lambda deciding: views.pools(deciding, matches, now))

    @router.get("/pools/{name:path}")
    async def read_pool(name: str) -> PoolResource:
        """One pool on one balancer node, named NODE/POOL, with its servers."""
        now = clock.now()
        return await asker.ask(lambda deciding: views.pool(deciding, name, now))

    return router


def _state_and_events(asker: Asker, clock: Clock) -> APIRouter:
    router = APIRouter(tags=["state"])

    @router.get("/state")
    async def read_state() -> StateResource:
        """The revision in force, a refused one with its problems, and how the whole stands."""
        now = clock.now()
        return await asker.ask(lambda deciding: views.state(deciding, now))

    @router.get("/events")
    async def list_events(
        after: Annotated[int | None, Query(ge=0, description="a resource version; without it, the newest")] = None,
        about: Annotated[str | None, Query(alias="object", description="with what is below it, as its hosts")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = 100,
    ) -> EventList:
        """Events, oldest first. The next page goes on after this one's metadata.resourceVersion."""
        now = clock.now()
        return await asker.ask(lambda deciding: views.events(deciding, after, about, limit, now))

    return router


def _health(asker: Asker, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @router.get("/readyz", responses={503: PROBLEMS[503]})
    async def readyz() -> dict[str, str]:
        """The deciding thread answers, and knows a revision."""
        return {"status": "ok", "revision": await asker.ask(views.revision_in_force)}

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def read_metrics() -> Response:
        """For Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
