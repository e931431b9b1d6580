"""A controller for tests of its faces: the real deciding thread, store and API, with pretend nodes behind it."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import requests
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from bus.clock import SystemClock
from bus.keyring import KeyRing
from controller.deciding import Deciding
from controller.http.api import create_app
from controller.mailbox import Ask, Mailbox, ReportArrived, RevisionRead, SourceFailed, Stop
from controller.metrics import Metrics
from controller.ring_watcher import RingWatcher
from controller.store import Store
from crds.desired import DesiredState
from tests.support.pretend import Pretence, PretendBus
from tests.support.waiting import eventually


class PretendController:
    """The deciding thread in a thread of its own, and its API on loopback."""

    def __init__(self, folder: Path, hosts: int, pretence: Pretence, node_timeout: float) -> None:
        self.mailbox, self.pretence = Mailbox(), pretence
        self.bus = PretendBus([f"vm{number}" for number in range(1, hosts + 1)], pretence)
        self._metrics = Metrics(CollectorRegistry())
        self._folder, self._node_timeout = folder, node_timeout
        self.keys = folder / "keys"
        self._thread = threading.Thread(target=self._decide, name="deciding", daemon=True)
        self._stop = threading.Event()
        watcher = RingWatcher(KeyRing(self.keys), self.mailbox.put, SystemClock())
        self._ring_thread = threading.Thread(target=watcher.run, args=(self._stop,), name="ring", daemon=True)
        self.app = create_app(self.mailbox, self._metrics, clock=SystemClock(), answer_within=5.0)

    def __enter__(self) -> "PretendController":
        self._thread.start()
        self._ring_thread.start()
        self.bus.connect(lambda report, received: self.mailbox.put(ReportArrived(report, received)))
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.mailbox.put(Stop())
        self._thread.join(timeout=10)
        self._ring_thread.join(timeout=10)

    def _decide(self) -> None:
        store = Store.open(self._folder / "drumbeat.db")
        clock = SystemClock()
        deciding = Deciding(
            store=store,
            bus=self.bus,
            seal=lambda assignment: assignment.model_dump_json(by_alias=True).encode(),
            clock=clock,
            random=Random(1),
            metrics=self._metrics,
            node_timeout=self._node_timeout,
            ring=KeyRing(self.keys),
        )
        wake = deciding.step([])
        while True:
            messages = self.mailbox.drain(max((wake - clock.now()).total_seconds(), 0.0))
            if any(isinstance(message, Stop) for message in messages):
                break
            wake = deciding.step(messages)
        store.close()

    def commit(self, state: DesiredState) -> None:
        """Put a revision in force."""
        self.mailbox.put(RevisionRead(state.revision, state, [], {}, author="ann", subject=f"bump {state.revision}"))

    def refuse(self, revision: str, *problems: str) -> None:
        """Have a revision refused."""
        self.mailbox.put(RevisionRead(revision, None, list(problems), {}))

    def ask(self, question: Callable[[Deciding], Any]) -> Any:
        """What the deciding thread answers."""
        answer: Future[Any] = Future()
        self.mailbox.put(Ask(question, answer))
        return answer.result(timeout=10)

    def lose_source(self, message: str) -> None:
        """Have the repository be unreadable."""
        self.mailbox.put(SourceFailed(message))


class Serving:
    """An application on a port of loopback, which it finds again after an interruption."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._port = app, 0
        self.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> int:
        """How many it has answered since it was started."""
        return self._server.server_state.total_requests

    def start(self) -> None:
        """Listen; returns once it does."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        config = uvicorn.Config(self._app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="http", daemon=True
        )
        self._thread.start()
        eventually(lambda: self._server.started)

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._listener.close()


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The application on a port of loopback; yields its URL."""
    served = Serving(app)
    try:
        yield served.url
    finally:
        served.stop()


class Served:
    """A pretend controller that listens."""

    def __init__(self, controller: PretendController) -> None:
        self.controller, self.http = controller, Serving(controller.app)
        self.url = self.http.url

    def get(self, path: str, **params: Any) -> Any:
        """What the API says there."""
        answer = requests.get(self.url + path, params=params, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def waits_for(self, reason: str, target: str = "api@prod") -> None:
        """Return once a host on its journey has a reason with these words."""
        path = f"/api/v1/rollouts/{target}"
        eventually(lambda: any(reason in row["reason"] for row in self.get(path)["status"]["journeys"]))

    def reaches(self, reason: str, target: str = "api@prod", current: int = 0) -> dict[str, Any]:
        """The target once one of its true conditions has that reason, and at least so many hosts are current."""

        def look() -> dict[str, Any]:
            answer = requests.get(f"{self.url}/api/v1/targets/{target}", timeout=10)
            found: dict[str, Any] = answer.json() if answer.ok else {"status": {"conditions": []}}
            true = [each for each in found["status"]["conditions"] if each["status"] == "True"]
            there = any(each["reason"] == reason for each in true) and found["status"]["counts"]["current"] >= current
            return found if there else {}

        return eventually(look)


@contextmanager
def controller(
    folder: Path, hosts: int = 4, pretence: Pretence | None = None, node_timeout: float = 3600.0
) -> Iterator[Served]:
    """A running controller without a revision; what it logs is kept from stdout, where commands under test print."""
    with capture_logs(), PretendController(folder, hosts, pretence or Pretence(), node_timeout) as running:
        served = Served(running)
        try:
            yield served
        finally:
            served.http.stop()
