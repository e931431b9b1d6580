"""A node's end of the embedded bus: one thread long-polls for assignments, another posts full reports."""

import logging
import threading
from collections.abc import Callable
from random import Random
from typing import NamedTuple
from urllib.parse import quote

from urllib3 import BaseHTTPResponse, Timeout

from bus.clock import Clock, SystemClock
from bus.envelope import MAX_ENVELOPE
from bus.http_client import FAILURES, Client, Sockets
from bus.in_time import Deadline

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 10.0
"""Seconds for an answer, beyond those that a poll asks the controller to wait."""
WHOLE_TIMEOUT = 30.0
"""Seconds more for all of it: it may be as large as an envelope, and come over a slow line."""
FIRST_RETRY = 0.1

_TAG_HEADER = "Drumbeat-Tag"
_REFUSED_FOR_GOOD = {400, 413}


class _Answer(NamedTuple):
    status: int
    body: bytes
    tag: str


class _Away(Exception):
    """The controller did not answer, or not as it should."""

    def __init__(self, kind: str, text: str, retry_after: float = 0.0, for_good: bool = False) -> None:
        super().__init__(text)
        self.kind = kind
        self.retry_after = retry_after
        self.for_good = for_good


class HttpNodeBus:
    """A NodeBus over http(s)://.

    ``ca`` is a file of certificates to trust instead of the system's. A poll lasts until the next heartbeat is due, at
    most ``interval`` seconds, and the poll after it carries that heartbeat. While the controller is away, each try
    waits a random time of up to half of how long it has been away, ``retry_cap`` seconds at most: short absences are
    noticed soon, long ones cost little.
    """

    def __init__(
        self,
        url: str,
        node: str,
        token: str,
        *,
        ca: str | None = None,
        interval: float = 30.0,
        retry_cap: float = 10.0,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        base = f"{url.rstrip('/')}/bus/v1/nodes/{quote(node, safe='')}"
        self._interval = interval
        self._retry_cap = retry_cap
        self._clock = clock or SystemClock()
        self._random = random or Random()
        self._logger = logging.getLogger("bus")
        self._sockets = Sockets()
        self._polls = _Door(f"{base}/poll", token, ca, self._sockets)
        self._reports = _Door(f"{base}/report", token, ca, self._sockets)
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._waiting: bytes | None = None
        self._away_since: float | None = None
        self._away_kind = ""
        self._returns = 0
        self._have = ""
        self._beat_at = 0.0
        """When the next heartbeat is due, on the monotonic clock."""

    def start(self, receive: Callable[[bytes], None], heartbeat: Callable[[], bytes]) -> None:
        self._threads = [
            threading.Thread(target=self._repeat, args=[lambda: self._poll(receive, heartbeat)], name="bus-poll"),
            threading.Thread(target=self._repeat, args=[self._report], name="bus-report"),
        ]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def send(self, envelope: bytes) -> None:
        with self._changed:
            self._waiting = envelope
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._sockets.cut()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(CONNECT_TIMEOUT + ANSWER_TIMEOUT)
        self._polls.close()
        self._reports.close()

    def _repeat(self, step: Callable[[], None]) -> None:
        while not self._stopping:
            try:
                step()
            except _Away as away:
                self._lost(away)
                self._pause(away.retry_after)
            except Exception:
                self._logger.exception("the agent's part of the bus failed; the bus goes on")
                self._pause(1.0)

    def _poll(self, receive: Callable[[bytes], None], heartbeat: Callable[[], bytes]) -> None:
        began = self._clock.monotonic()
        beats = began >= self._beat_at
        if beats:
            # Not always the whole interval, so that nodes that came back together do not poll together for ever.
            self._beat_at = began + self._interval * self._random.uniform(0.8, 1.0)
        wait = self._beat_at - began
        asked = f"?have={quote(self._have)}&wait={wait:.3f}"
        try:
            answer = self._post(self._polls, heartbeat() if beats else b"", wait + ANSWER_TIMEOUT, asked)
        except _Away:
            self._beat_at = began  # whoever answers next has not heard of us
            raise
        if answer.status != 200 or self._stopping:
            if self._clock.monotonic() - began < wait / 2:
                self._pause(1.0)  # something between the ends does not let polls wait; it is not to be flooded
            return
        if len(answer.body) > MAX_ENVELOPE:
            self._logger.error("an assignment was too large and is ignored", extra={"limit": MAX_ENVELOPE})
        else:
            receive(answer.body)
        self._have = answer.tag

    def _report(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._waiting is not None)
            report, self._waiting = self._waiting, None
        if report is None or self._stopping:
            return
        try:
            self._post(self._reports, report, ANSWER_TIMEOUT)
        except _Away as away:
            if not away.for_good:
                self._put_back(report)
            raise

    def _put_back(self, report: bytes) -> None:
        with self._changed:
            if self._waiting is None:
                self._waiting = report

    def _post(self, door: "_Door", body: bytes, timeout: float, asked: str = "") -> _Answer:
        try:
            with door.post(body, asked, timeout) as response:
                answer = _Answer(
                    response.status, response.read(MAX_ENVELOPE + 1), response.headers.get(_TAG_HEADER, "")
                )
                retry_after = response.headers.get("Retry-After", "")
        except FAILURES as error:
            raise _Away("unreachable", str(error)) from error
        _must_be_good(answer, float(retry_after) if retry_after.isdecimal() else 0.0)
        self._found()
        return answer

    def _lost(self, away: _Away) -> None:
        with self._changed:
            news = self._away_kind != away.kind and not self._stopping
            self._away_kind = away.kind
            if self._away_since is None:
                self._away_since = self._clock.monotonic()
        if news:
            self._logger.warning("the controller cannot be used; trying again until it can", extra={"why": str(away)})

    def _found(self) -> None:
        with self._changed:
            if self._away_since is None:
                return
            seconds = self._clock.monotonic() - self._away_since
            self._away_since, self._away_kind = None, ""
            self._returns += 1
            self._changed.notify_all()
        self._logger.info("the controller is back", extra={"after_seconds": round(seconds, 1)})

    def _pause(self, at_least: float) -> None:
        """Wait before the next try; the other thread's success and ``stop`` cut it short."""
        with self._changed:
            returns = self._returns
            away = self._clock.monotonic() - self._away_since if self._away_since is not None else 0.0
            at_most = min(self._retry_cap, max(FIRST_RETRY, away / 2))
            delay = min(at_least, self._retry_cap) + self._random.uniform(0, at_most)
            self._changed.wait_for(lambda: self._stopping or self._returns != returns, delay)


class _Door:
    """One place at the controller, and one connection to it."""

    def __init__(self, url: str, token: str, ca: str | None, sockets: Sockets) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._client = Client(url, ca=ca, sockets=sockets)

    def post(self, body: bytes, query: str, timeout: float) -> BaseHTTPResponse:
        """Send it; the answer's body is still to be read. Raises one of FAILURES."""
        patience = Timeout(connect=CONNECT_TIMEOUT, read=timeout)
        deadline = Deadline(timeout + WHOLE_TIMEOUT)
        return self._client.request("POST", f"{self._url}{query}", self._headers, patience, body, deadline=deadline)

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def _must_be_good(answer: _Answer, retry_after: float) -> None:
    if answer.status in {200, 202, 204}:
        return
    text = answer.body[:300].decode(errors="replace").strip()
    raise _Away(
        f"status {answer.status}",
        f"it answered {answer.status}: {text}",
        retry_after,
        for_good=answer.status in _REFUSED_FOR_GOOD,
    )
