"""The controller's process: its threads, started here and sharing mailboxes only."""

import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from random import Random

import structlog
import uvicorn
from prometheus_client import CollectorRegistry

from bus.amqp_url import parse_broker_url
from bus.clock import Clock, SystemClock
from bus.envelope import seal_assignment
from bus.history import History
from bus.http_join import JoinDesk
from bus.invitations import Invitations
from bus.joining import JoinAnswer
from bus.keyring import KeyRing
from bus.keys import CONTROLLER_KEY_FILE, SigningKey, load_private_key
from controller.broker.files import broker_accounts
from controller.broker.follower import AccountFollower
from controller.deciding import Deciding
from controller.http.api import create_app
from controller.intake import Intake, Refusals
from controller.mailbox import Mailbox, NodeJoined, Stop
from controller.metrics import Metrics
from controller.ring_watcher import RingWatcher
from controller.settings import Settings
from controller.source.commit_rule import CommitRule
from controller.source.in_force import revision_in_force
from controller.source.mirror import Mirror
from controller.source.watch import SourceWatcher
from controller.store import Store
from controller.transport import build_bus

_SWITCH = 0.0005
"""Seconds for which one thread may keep the others from going on."""
_REST, _LONGEST_REST = 2.0, 0.1
"""After a step, in times what it took, and in seconds at most: what is reported meanwhile is decided in one step then,
so that many hosts under way cost fewer steps and not longer queues. With few hosts steps are short, and so is the rest.
"""


class Controller:
    """Everything that runs in the process. ``run`` ends when it is told to, or when a thread cannot go on."""

    def __init__(self, settings: Settings, clock: Clock, random: Random) -> None:
        """Raises BadKey for a key that cannot be used, BadBrokerUrl for other files, OSError for an address that cannot
        be listened on."""
        self._settings, self._clock, self._random = settings, clock, random
        self._log = structlog.get_logger("controller.main")
        self._metrics = Metrics(CollectorRegistry())
        self._mailbox = Mailbox()
        self._stop = threading.Event()
        self._failed = False
        self._signer: SigningKey = load_private_key(settings.keys_directory / CONTROLLER_KEY_FILE)
        self._ring = KeyRing(settings.keys_directory)
        self._refusals = Refusals(self._metrics, clock)
        self._bus, routes = build_bus(settings, self._ring, self._refusals, self._metrics, clock)
        self._follower = self._account_follower()
        desk = JoinDesk(
            self._ring, Invitations(settings.keys_directory), [self._signer.public_key], clock, self._joined
        )
        self._socket = _listen(settings.listen)
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(self._mailbox, self._metrics, [*routes, *desk.routes()], clock=clock),
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
                timeout_keep_alive=75,
            )
        )

    @property
    def url(self) -> str:
        """Where agents, the CLI and Prometheus find the controller."""
        host, port = self._socket.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self) -> int:
        """Run until stopped; 0 after a stop that was asked for, 1 after a failure."""
        self._bus.start(Intake(self._ring, self._bus, self._mailbox, self._refusals).receive)
        threads = [
            self._thread("deciding", self._decide),
            self._thread("source", self._watch),
            self._thread("ring", partial(RingWatcher(self._ring, self._mailbox.put, self._clock).run, self._stop)),
        ]
        http = self._thread("http", lambda: self._server.run(sockets=[self._socket]))
        if self._follower:
            threads.append(self._thread("accounts", partial(self._follower.run, self._stop)))
        self._log.info("controller.listens", url=self.url)
        self._stop.wait()
        self._bus.stop()
        self._server.should_exit = True
        http.join(timeout=10)  # who joins until then is in the mailbox before the end is
        self._mailbox.put(Stop())
        for thread in threads:
            thread.join(timeout=10)
        return 1 if self._failed else 0

    def stop(self) -> None:
        """Ask ``run`` to end; from any thread or a signal handler."""
        self._stop.set()

    def _account_follower(self) -> AccountFollower | None:
        settings = self._settings
        if not settings.bus_management:
            return None
        vhost = parse_broker_url(settings.bus).vhost
        accounts = broker_accounts(settings.keys_directory, settings.bus_management, vhost, self._ring)
        return AccountFollower(accounts, settings.keys_directory, self._clock, self._random, self._metrics)

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guard, args=(name, work), name=name, daemon=True)
        thread.start()
        return thread

    def _joined(self, answer: JoinAnswer) -> None:
        roles = ", ".join(answer.roles)
        try:
            history = History(self._settings.keys_directory, by="controller")
            history.write("joined", answer.node, f"as {roles}", self._clock.now())
        except OSError as error:
            self._log.error("history.failed", node=answer.node, error=str(error))
        self._mailbox.put(NodeJoined(answer.node, f"as {roles}, with a key of its own"))

    def _guard(self, name: str, work: Callable[[], None]) -> None:
        """A thread that ends ends the process: better started anew from the store than half alive."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said once, and the process ends
            self._failed = True
            self._log.exception("thread.failed", worker=name, error=str(error))
        finally:
            self._stop.set()

    def _decide(self) -> None:
        store = Store.open(self._settings.data_directory / "drumbeat.db")
        try:
            self._decide_with(store)
        finally:
            store.close()

    def _decide_with(self, store: Store) -> None:
        deciding = Deciding(
            store=store,
            bus=self._bus,
            seal=lambda assignment: seal_assignment(assignment, self._signer),
            clock=self._clock,
            random=self._random,
            metrics=self._metrics,
            node_timeout=self._settings.node_timeout,
            ring=self._ring,
        )
        wake = deciding.step([])
        while True:
            messages = self._mailbox.drain(max((wake - self._clock.now()).total_seconds(), 0.0))
            if any(isinstance(message, Stop) for message in messages):
                # What else lies there is said again, or read again.
                if joined := [message for message in messages if isinstance(message, NodeJoined)]:
                    deciding.step(joined)
                return
            self._metrics.mailbox_depth.set(len(messages))
            begun = self._clock.monotonic()
            wake = deciding.step(messages)
            self._stop.wait(min(_REST * (self._clock.monotonic() - begun), _LONGEST_REST))

    def _watch(self) -> None:
        settings = self._settings
        mirror = Mirror(settings.repository, settings.branch, settings.folder, settings.data_directory / "mirror.git")
        rule = CommitRule(settings.keys_directory)
        in_force = partial(revision_in_force, self._mailbox)
        watcher = SourceWatcher(mirror, settings.poll_interval, self._mailbox.put, self._random, in_force, rule)
        while not self._stop.is_set():
            watcher.wait(watcher.step(), self._stop)


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family, backlog=1024)


def run_controller(settings: Settings) -> int:
    """Run the controller until SIGTERM or SIGINT, and return its exit code. Raises BadKey, BadBrokerUrl, OSError."""
    settings.data_directory.mkdir(parents=True, exist_ok=True)
    # The deciding thread gives way at each call of the database, and would get the interpreter back only after this.
    sys.setswitchinterval(_SWITCH)
    controller = Controller(settings, SystemClock(), Random())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: controller.stop())
    return controller.run()
