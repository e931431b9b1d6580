"""A RabbitMQ of one's own: in a folder, on loopback, run by any account, apart from a system's own broker."""

import json
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus.keys import hash_token
from controller.demo.processes import Process, Processes, free_ports
from controller.demo.programs import need_program

RABBITMQ = "rabbitmq"
"""The process, and its folder."""
PACKAGE = "rabbitmq-server"
VHOST = "drumbeat"
# Debian's /usr/sbin/rabbitmq-server insists on root or on the package's account; what it wraps does not.
_SCRIPTS = Path("/usr/lib/rabbitmq/bin")
_LOOPBACK = "127.0.0.1"
# The node shares its machine with everything else of the demo: one scheduler, which never spins.
_ERLANG = (
    "+S 1:1 +SDcpu 1:1 +SDio 2 +A 2 +sbwt none +sbwtdcpu none +sbwtdio none "
    "-start_epmd false -kernel inet_dist_use_interface"
)


@dataclass(frozen=True)
class Ports:
    """Free ones, from the system. Nodes of one cluster share ``names``."""

    amqp: int
    distribution: int
    names: int
    """Where epmd says which node listens where."""

    @classmethod
    def free(cls) -> "Ports":
        return cls(*free_ports(3))


@dataclass(frozen=True)
class Broker:
    """One node's plan: its files below ``folder``, its ports, its configuration. Nothing of it exists yet."""

    folder: Path
    name: str = "broker"
    host: str = _LOOPBACK
    """The IPv4 address at which all of it listens."""
    ports: Ports = field(default_factory=Ports.free)
    lines: Sequence[str] = ()
    """More of rabbitmq.conf, after what is always there; a later line of the same key wins."""
    definitions: Mapping[str, Any] | None = None
    """Users, virtual hosts, permissions, queues: what RabbitMQ calls definitions; loaded with each start."""
    plugins: Sequence[str] = ()
    cookie: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    """The secret that nodes of one cluster share."""

    @property
    def node(self) -> str:
        return f"{self.name}@{self.host}"

    @property
    def address(self) -> str:
        """HOST:PORT for clients."""
        return f"{self.host}:{self.ports.amqp}"

    @property
    def url(self) -> str:
        """As settings of controller and agents name the bus."""
        return f"amqp://{self.address}/{VHOST}"

    def write(self) -> None:
        """Lay out the folder, which holds secrets and is nobody else's to read."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        cookie = self.folder / ".erlang.cookie"
        cookie.unlink(missing_ok=True)
        cookie.write_text(self.cookie, encoding="ascii")
        cookie.chmod(0o400)
        plugins = ",".join(self.plugins)
        (self.folder / "enabled_plugins").write_text(f"[{plugins}].\n", encoding="ascii")
        if self.definitions is not None:
            (self.folder / "definitions.json").write_text(json.dumps(self.definitions), encoding="utf-8")
        (self.folder / "rabbitmq.conf").write_text("\n".join([*self._configuration(), ""]), encoding="utf-8")

    def _configuration(self) -> list[str]:
        lines = [
            f"listeners.tcp.1 = {self.address}",
            "log.console.level = warning",
            # A demo's disk may be small, and nothing here is kept for long.
            "disk_free_limit.absolute = 20MB",
        ]
        if self.definitions is not None:
            lines.append(f"load_definitions = {self.folder / 'definitions.json'}")
        return [*lines, *self.lines]

    def environment(self) -> dict[str, str]:
        """What RabbitMQ's scripts are told, the server's and the tools' alike."""
        folder = self.folder
        return {
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self.ports.names),
            "ERL_EPMD_ADDRESS": self.host,
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_DIST_PORT": str(self.ports.distribution),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_ERLANG} {{{self.host.replace('.', ',')}}}",
            # Its scripts then put Erlang in their own place, whose process id is the one to stop or kill.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def names_command(self) -> list[str]:
        """epmd, which a node needs before it starts; in the foreground, so that it can be ended."""
        return [str(need_program("epmd", PACKAGE)), "-port", str(self.ports.names), "-address", self.host]

    def command(self) -> list[str]:
        """The server, in the foreground. Raises DemoError if it is not installed."""
        return self.tool("rabbitmq-server")

    def tool(self, name: str, *words: str) -> list[str]:
        """One of RabbitMQ's commands, about this node: ``tool("rabbitmqctl", "list_queues")``. Raises DemoError."""
        need_program(PACKAGE)
        program = _SCRIPTS / name
        found = str(program) if program.exists() else str(need_program(name, PACKAGE))
        return ["env", *(f"{key}={value}" for key, value in self.environment().items()), found, *words]

    def accepts(self) -> bool:
        """Whether clients can connect."""
        with suppress(OSError), socket.create_connection((self.host, self.ports.amqp), 1):
            return True
        return False


def start_broker(processes: Processes, broker: Broker, name: str = RABBITMQ, names: bool = True) -> Process:
    """Lay out a node and start it; it takes seconds until it ``accepts``. Raises DemoError.

    ``names``: start epmd too, which nodes of one cluster share.
    """
    command = broker.command()
    broker.write()
    if names:
        processes.start(f"{name}-names", broker.names_command())
    return processes.start(name, command)


def is_installed() -> bool:
    """Whether RabbitMQ can be started here."""
    return os.name == "posix" and _SCRIPTS.is_dir()


def user(name: str, password: str, *tags: str) -> dict[str, Any]:
    """A user, for definitions."""
    return {
        "name": name,
        "password_hash": hash_token(password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": list(tags),
    }


def permission(name: str, vhost: str, configure: str = ".*", write: str = ".*", read: str = ".*") -> dict[str, str]:
    """What a user may do in a virtual host, for definitions: regular expressions over names of resources."""
    return {"user": name, "vhost": vhost, "configure": configure, "write": write, "read": read}
