"""A real RabbitMQ for tests, started as a child of the test, and the means to harm it."""

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from controller.demo.processes import Process, Processes, free_ports
from controller.demo.rabbitmq import Broker, is_installed, start_broker
from tests.support.ports import own_address
from tests.support.waiting import eventually

__all__ = ["RabbitMq", "VirtualHost", "is_installed", "running"]

START = 90.0
"""Seconds that a node may take to start; 5 to 10 are usual."""
ADMIN = "guest"
"""A node without definitions has this user; its password is the same."""


class RabbitMq:
    """One node, with the management plugin. Whatever is started here is ended by ``end``.

    With ``definitions`` of your own, name a user of theirs with the tag administrator as ``admin``.
    """

    def __init__(self, broker: Broker, processes: Processes | None = None, admin: tuple[str, str] = (ADMIN, ADMIN)):
        self.http_port = free_ports(1)[0]
        management = [
            f"management.tcp.port = {self.http_port}",
            f"management.tcp.ip = {broker.host}",
        ]
        plugins = ["rabbitmq_management", *broker.plugins]
        self.broker = replace(broker, plugins=plugins, lines=[*management, *broker.lines])
        self.processes = processes or Processes(broker.folder.parent / f"{broker.folder.name}-logs")
        self._admin = admin
        self._process: Process | None = None
        self._numbers = itertools.count(1)

    @property
    def address(self) -> str:
        """HOST:PORT for AMQP."""
        return self.broker.address

    def begin(self, names: bool = True) -> None:
        """Start without waiting; ``names``: start an epmd too, which nodes of one cluster share."""
        self._process = start_broker(self.processes, self.broker, self.broker.name, names)

    def start(self) -> None:
        """Start, for the first time or again on the same folder, and wait until clients can connect."""
        if self._process is None:
            self.begin()
        else:
            self._process = self.processes.restart(self._process)
        self.wait()

    def wait(self, patience: float = START) -> None:
        """Wait until clients can connect. Raises DemoError if it ended instead."""

        def accepts() -> bool:
            self.process.check()
            return self.broker.accepts()

        eventually(accepts, patience)

    @property
    def process(self) -> Process:
        assert self._process is not None, "it was not started"
        return self._process

    def kill(self) -> None:
        """kill -9; ``start`` starts it again, with what was on its disk.

        RabbitMQ writes down which quorum queues it has with a delay; one declared in the last half second would come
        back without a leader, which is not what a test of ours is about.
        """
        self.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")
        self.processes.kill(self.process)

    def stop(self) -> None:
        """End it in order; ``start`` starts it again."""
        self.processes.stop(self.process, timeout=60.0)

    def end(self) -> None:
        """End everything that was started here, at once: nobody needs its data any more."""
        self.processes.kill_all()

    # -- asking and harming

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, missing_ok: bool = False) -> Any:
        """Use the management API: ``ask("GET", "queues")``; its answer, None for none."""
        url = f"http://{self.broker.host}:{self.http_port}/api/{path}"
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, url, json=body, auth=self._admin, timeout=30)
        if not (missing_ok and answer.status_code == 404):
            assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def ctl(self, *words: str, tool: str = "rabbitmqctl") -> str:
        """What one of RabbitMQ's commands prints; it takes a second or more."""
        command = self.broker.tool(tool, *words)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=dict(os.environ))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def add_user(self, name: str, password: str) -> None:
        self.ask("PUT", f"users/{quote(name, safe='')}", {"password": password, "tags": ""})

    def permit(self, user: str, vhost: str, configure: str = ".*", write: str = ".*", read: str = ".*") -> None:
        rules = {"configure": configure, "write": write, "read": read}
        self.ask("PUT", f"permissions/{quote(vhost, safe='')}/{quote(user, safe='')}", rules)

    def close_connections(self, user: str) -> None:
        """Have the broker close every connection of a user."""
        self.ctl("await_startup")  # clients may connect a little earlier
        self.ctl("close_all_user_connections", user, "the test says so")

    @contextlib.contextmanager
    def memory_alarm(self) -> Iterator[None]:
        """The broker is out of memory, as far as it knows: it blocks whoever publishes."""
        self.ctl("set_vm_memory_high_watermark", "0.000001")
        try:
            yield
        finally:
            self.ctl("set_vm_memory_high_watermark", "0.4")

    @contextlib.contextmanager
    def vhost(self) -> Iterator["VirtualHost"]:
        """A virtual host of one's own, removed at the end with its users."""
        made = VirtualHost(self, f"test-{os.getpid()}-{next(self._numbers)}")
        self.ask("PUT", f"vhosts/{made.name}")
        self.permit(self._admin[0], made.name)
        try:
            yield made
        finally:
            made.remove()


@dataclass
class VirtualHost:
    """A virtual host, and users that may do everything in it, and nothing elsewhere."""

    rabbitmq: RabbitMq
    name: str
    users: Sequence[str] = ()

    @property
    def url(self) -> str:
        """As Drumbeat's settings name it."""
        return f"amqp://{self.rabbitmq.address}/{self.name}"

    def url_of(self, user: str, password: str) -> str:
        """As pika.URLParameters takes it."""
        return f"amqp://{quote(user)}:{quote(password)}@{self.rabbitmq.address}/{self.name}"

    @property
    def admin_url(self) -> str:
        return self.url_of(*self.rabbitmq._admin)

    def add_user(self, name: str, password: str, **permissions: str) -> None:
        """A user; of the same name in another virtual host it would be the same one."""
        self.rabbitmq.add_user(name, password)
        self.rabbitmq.permit(name, self.name, **permissions)
        self.users = [*self.users, name]

    def queues(self) -> list[str]:
        return [queue["name"] for queue in self.rabbitmq.ask("GET", f"queues/{self.name}?columns=name")]

    def waiting(self, queue: str) -> int:
        """How many messages a queue holds, delivered ones that nobody has acknowledged among them."""
        self.rabbitmq.ctl("await_startup")  # clients may connect a little earlier
        listed = self.rabbitmq.ctl("-q", "list_queues", "-p", self.name, "name", "messages", "--no-table-headers")
        return int(dict(line.split() for line in listed.splitlines())[queue])

    def delete_queue(self, queue: str) -> None:
        self.rabbitmq.ask("DELETE", f"queues/{self.name}/{quote(queue, safe='')}", missing_ok=True)

    def remove(self) -> None:
        for user in self.users:
            self.rabbitmq.ask("DELETE", f"users/{quote(user, safe='')}", missing_ok=True)
        self.rabbitmq.ask("DELETE", f"vhosts/{self.name}", missing_ok=True)


@contextlib.contextmanager
def running(folder: Path, **plan: Any) -> Iterator[RabbitMq]:
    """A node of one's own, started, and ended whatever happens; ``plan`` is Broker's."""
    rabbitmq = RabbitMq(Broker(folder, host=own_address(), **plan))
    try:
        rabbitmq.start()
        yield rabbitmq
    finally:
        rabbitmq.end()
