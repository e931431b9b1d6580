"""The controller's end of the embedded bus: nodes post reports and long-poll for their newest assignment.

    POST /bus/v1/nodes/NODE/report            body: envelope of a full report     -> 202
    POST /bus/v1/nodes/NODE/poll?have=&wait=  body: envelope of a short report,   -> 200 an assignment's envelope
                                                    or nothing: none is due yet      204 none within ``wait`` seconds

``have`` is the tag that came with the last assignment (header ``Drumbeat-Tag``). Each publishing gets a tag of its own,
so that the transport need not look into an envelope, and what is published again is delivered again. The transport
knows nodes by bearer token; signatures are verified by whoever receives.
"""

import asyncio
import itertools
import logging
import secrets
import threading
from collections.abc import Callable
from typing import Literal, NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bus.envelope import MAX_ENVELOPE
from bus.keyring import KeyRing
from bus.keys import BadKey
from bus.port import Received

TAG_HEADER = "Drumbeat-Tag"
MAX_WAIT = 120.0
"""Seconds that a poll may ask to wait."""
MAX_UNSETTLED = 64 * 1024 * 1024
"""Bytes of reports that wait for the controller, before nodes are told to come back later."""

_OVERHEAD = 1024  # of one waiting report, beside its envelope

_Woken = Literal["published", "due", "displaced", "stopped"]


class _Offer(NamedTuple):
    tag: str
    envelope: bytes


class _Waiting(NamedTuple):
    woken: "asyncio.Future[_Woken]"
    have: str


class _Denied(Exception):
    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.response = PlainTextResponse(f"{text}\n", status, headers)


class HttpControllerBus:
    """A ControllerBus whose routes are part of an ASGI application: ``Starlette(routes=bus.routes())``.

    Stop the bus before the server, so that waiting polls end.
    """

    def __init__(
        self,
        ring: KeyRing,
        *,
        max_envelope: int = MAX_ENVELOPE,
        max_unsettled: int = MAX_UNSETTLED,
    ) -> None:
        self._ring = ring
        self._max_envelope = max_envelope
        self._max_unsettled = max_unsettled
        self._logger = logging.getLogger("bus")
        self._receive: Callable[[Received], None] | None = None
        self._newest: dict[str, _Offer] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._life = secrets.token_hex(4)
        self._count = itertools.count(1)
        self._unsettled = 0
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """Where nodes report and poll."""
        return [
            Route("/bus/v1/nodes/{node}/report", self._report, methods=["POST"]),
            Route("/bus/v1/nodes/{node}/poll", self._poll, methods=["POST"]),
        ]

    def start(self, receive: Callable[[Received], None]) -> None:
        self._receive = receive

    def publish(self, node: str, envelope: bytes) -> None:
        self._newest[node] = _Offer(f"{self._life}.{next(self._count)}", envelope)
        self._on_loop(self._published, node)

    def settle(self, received: list[Received]) -> None:
        with self._lock:
            self._unsettled -= sum(len(one.envelope) + _OVERHEAD for one in received)

    def stop(self) -> None:
        self._receive = None
        self._on_loop(self._wake_all)

    def _on_loop(self, call: Callable[..., None], *arguments: object) -> None:
        """Have the server's thread do it, if it ever served a poll; a server that has ended has none waiting."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(call, *arguments)
            except RuntimeError:  # closed just now
                self._loop = None

    def _published(self, node: str) -> None:
        waiting = self._waiting.get(node)
        # The poll may have begun since the publishing, and have it.
        if waiting is not None and self._newest[node].tag != waiting.have:
            self._wake(node, "published")

    def _wake(self, node: str, why: _Woken) -> None:
        waiting = self._waiting.pop(node, None)
        if waiting is not None:
            _resolve(waiting.woken, why)

    def _wake_all(self) -> None:
        for node in list(self._waiting):
            self._wake(node, "stopped")

    async def _report(self, request: Request) -> Response:
        try:
            node = self._authenticate(request)
            report = await self._body(request)
            if not report:
                raise _Denied(400, "The body is empty; send the envelope of a report.")
            self._hand_over(node, report)
        except _Denied as denied:
            return denied.response
        return Response(status_code=202)

    async def _poll(self, request: Request) -> Response:
        try:
            node = self._authenticate(request)
            wait = _seconds(request.query_params.get("wait", "0"))
            short = await self._body(request)
            if short or self._receive is None:
                self._hand_over(node, short)
            offer = await self._next_offer(node, request.query_params.get("have", ""), wait)
        except _Denied as denied:
            return denied.response
        if offer is None:
            return Response(status_code=204)
        return Response(offer.envelope, 200, {TAG_HEADER: offer.tag}, "application/json")

    def _authenticate(self, request: Request) -> str:
        node: str = request.path_params["node"]
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _Denied(401, "Send the node's token: 'Authorization: Bearer TOKEN'.", {"WWW-Authenticate": "Bearer"})
        try:
            if not self._ring.token_matches(node, token):
                raise _Denied(403, f"No node {node!r} with this token is known; join with an invitation.")
            entry = self._ring.entry(node)
            if entry is None or entry.revoked:
                raise _Denied(403, f"The credentials of node {node!r} were revoked; join anew with a new invitation.")
            if entry.disputed:
                raise _Denied(403, f"Node {node!r} is disputed, and waits for a person: {entry.disputed}.")
        except BadKey as error:
            self._logger.error("a node is shut out by its damaged entry", extra={"node": node, "error": str(error)})
            raise _Denied(403, f"The controller's entry of node {node!r} is damaged; its log says more.") from error
        return node

    async def _body(self, request: Request) -> bytes:
        declared = request.headers.get("content-length", "")
        too_large = _Denied(413, f"At most {self._max_envelope} bytes are taken.")
        if declared.isdecimal() and int(declared) > self._max_envelope:
            raise too_large
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > self._max_envelope:
                    raise too_large
        except ClientDisconnect as gone:
            raise _Denied(400, "The body broke off.") from gone
        return bytes(body)

    def _hand_over(self, node: str, envelope: bytes) -> None:
        receive, size = self._receive, len(envelope) + _OVERHEAD
        with self._lock:
            if receive is None or self._unsettled + size > self._max_unsettled:
                why = "not ready yet, or about to stop" if receive is None else "busy with what it got before"
                raise _Denied(503, f"The controller is {why}; come back later.", {"Retry-After": "1"})
            self._unsettled += size
        receive(Received(node, envelope))

    async def _next_offer(self, node: str, have: str, wait: float) -> _Offer | None:
        """The newest assignment as soon as it is not the one that the node has; None after ``wait`` seconds."""
        self._wake(node, "displaced")
        self._loop = loop = asyncio.get_running_loop()
        mine = self._waiting[node] = _Waiting(loop.create_future(), have)
        timer = loop.call_later(wait, _resolve, mine.woken, "due")
        try:
            offer = self._newest.get(node)
            if offer is None or offer.tag == have:
                _go_on(await mine.woken)
                offer = self._newest.get(node)
        finally:
            timer.cancel()
            if self._waiting.get(node) is mine:
                del self._waiting[node]
        return offer if offer is not None and offer.tag != have else None


def _resolve(woken: "asyncio.Future[_Woken]", why: _Woken) -> None:
    if not woken.done():
        woken.set_result(why)


def _go_on(why: _Woken) -> None:
    if why == "displaced":
        raise _Denied(409, "Another poll of this node came; do two agents run with the same credentials?")
    if why == "stopped":
        raise _Denied(503, "The controller is about to stop; come back later.", {"Retry-After": "1"})


def _seconds(text: str) -> float:
    try:
        wait = float(text)
    except ValueError:
        wait = -1.0
    if not 0 <= wait <= MAX_WAIT:
        raise _Denied(400, f"wait={text[:20]!r} is not a number of seconds from 0 to {MAX_WAIT:g}.")
    return wait
