"""deploy/rabbitmq/rabbitmq.conf with a real broker: who gets in, and who does not."""

import contextlib
import json
import shutil
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pika
import pytest

from bus.envelope import MAX_ENVELOPE
from controller.demo.processes import free_ports
from controller.demo.rabbitmq import Broker, Ports, permission, user
from tests.support.certificates import Authority
from tests.support.cli import run
from tests.support.ports import own_address
from tests.support.rabbitmq import RabbitMq, is_installed
from tests.support.rabbitmq_cluster import shipped_lines
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not is_installed(), reason="rabbitmq-server is not installed"),
]

REFUSED = (pika.exceptions.AMQPError, ssl.SSLError, ConnectionError)


@dataclass
class Site:
    """A broker, and the authority that it and its clients trust."""

    rabbitmq: RabbitMq
    authority: Authority
    management: int
    """The port of its management over TLS."""

    def connect(self, context: ssl.SSLContext | None, user: str = "host-1", password: str = "secret") -> None:
        """Log in, ask for something, and leave. Raises one of REFUSED."""
        with self.open(context, user, password) as connection:
            connection.channel().queue_declare("", exclusive=True)

    def publish(self, connection: pika.BlockingConnection, size: int) -> None:
        """Send a message of so many bytes by a channel of its own, and wait until the broker has it or refuses it."""
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", "mine", b"x" * size, mandatory=True)

    def open(
        self, context: ssl.SSLContext | None, user: str = "host-1", password: str = "secret"
    ) -> pika.BlockingConnection:
        """Log in. Raises one of REFUSED."""
        options = pika.SSLOptions(context, self.rabbitmq.broker.host) if context else None
        parameters = pika.ConnectionParameters(
            self.rabbitmq.broker.host,
            self.rabbitmq.broker.ports.amqp,
            "/",
            pika.PlainCredentials(user, password),
            ssl_options=options,
            socket_timeout=30,
            stack_timeout=60,
            blocked_connection_timeout=30,
        )
        return pika.BlockingConnection(parameters)

    def context(self, issuer: Authority | None = None, days: int = 1) -> ssl.SSLContext:
        """A client that trusts the broker's authority, with a certificate of ``issuer``."""
        context = self.trusting(self.authority)
        context.load_cert_chain(*(issuer or self.authority).issue("host-1", days=days))
        return context

    def trusting(self, authority: Authority) -> ssl.SSLContext:
        """A client without a certificate."""
        return ssl.create_default_context(cafile=str(authority.file))

    def old(self) -> None:
        """A handshake by TLS 1.1."""
        context = self.context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        broker = self.rabbitmq.broker
        with socket.create_connection((broker.host, broker.ports.amqp), 30) as plain:
            context.wrap_socket(plain, server_hostname=broker.host)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    authority, ports, management = Authority(tmp_path / "tls"), Ports.free(), free_ports(1)[0]
    host = own_address()
    lines = shipped_lines(host, ports.amqp, authority, management=management)
    rabbitmq = RabbitMq(Broker(tmp_path / "node", host=host, ports=ports, lines=lines))
    accounts = tmp_path / "accounts.json"
    accounts.write_text(json.dumps({"users": [user("host-1", "secret")], "permissions": [permission("host-1", "/")]}))
    try:
        rabbitmq.start()
        rabbitmq.ctl("await_startup")  # clients may connect a little earlier
        rabbitmq.ctl("import_definitions", str(accounts))
        yield Site(rabbitmq, authority, management)
    finally:
        rabbitmq.end()


def test_only_certificates_of_our_authority_get_in(site: Site, tmp_path: Path) -> None:
    eventually(lambda: gets_in(site))
    stranger = Authority(tmp_path / "stranger", "stranger")
    attempts: dict[str, Callable[[], None]] = {
        "a certificate of another authority": lambda: site.connect(site.context(stranger)),
        "no certificate": lambda: site.connect(site.trusting(site.authority)),
        "an expired certificate": lambda: site.connect(site.context(days=-2)),
        "no TLS": lambda: site.connect(None),
        "a broker of another authority": lambda: site.connect(site.trusting(stranger)),
        "a wrong password": lambda: site.connect(site.context(), password="guessed"),
        "guest": lambda: site.connect(site.context(), "guest", "guest"),
        "TLS 1.1": site.old,
    }
    for what, attempt in attempts.items():
        with pytest.raises(REFUSED):
            attempt()
            pytest.fail(f"{what} got in")
    site.connect(site.context())
    listeners = site.rabbitmq.ctl("-q", "listeners", tool="rabbitmq-diagnostics")
    assert "protocol: amqp/ssl" in listeners
    assert "protocol: amqp," not in listeners


def test_the_management_asks_for_a_certificate_too(site: Site, tmp_path: Path) -> None:
    keys, url = tmp_path / "keys", f"https://{site.rabbitmq.broker.host}:{site.management}"
    for words in ([], ["--management"]):
        assert run("bus", "password", "--keys-directory", keys, *words).exit_code == 0
    definitions = tmp_path / "definitions.json"
    definitions.write_text(run("bus", "definitions", "--keys-directory", keys).stdout)
    site.rabbitmq.ctl("import_definitions", str(definitions))
    apply = ("bus", "apply", "--management", url, "--keys-directory", keys)
    shutil.copy(site.authority.file, keys / "bus.ca")
    refused = run(*apply)
    assert refused.exit_code == 1
    assert "no broker answers" in refused.stderr
    shown = site.authority.issue("controller")
    shutil.copy(shown.file, keys / "bus.certificate")
    shutil.copy(shown.key, keys / "bus.key")
    eventually(lambda: run(*apply).exit_code == 0)
    shutil.copy(Authority(tmp_path / "stranger", "stranger").file, keys / "bus.ca")
    assert "certificate verify failed" in run(*apply).stderr


def test_a_message_above_the_limit_is_refused_and_the_bus_goes_on(site: Site) -> None:
    eventually(lambda: gets_in(site))
    with site.open(site.context()) as connection:
        connection.channel().queue_declare("mine", exclusive=True)
        site.publish(connection, MAX_ENVELOPE)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="larger than configured max size"):
            site.publish(connection, MAX_ENVELOPE + 1)
        assert connection.is_open
        site.publish(connection, 1)
        assert eventually(lambda: connection.channel().queue_declare("mine", passive=True).method.message_count == 2)


def gets_in(site: Site) -> bool:
    """An import goes on after its command has ended."""
    with contextlib.suppress(*REFUSED):
        site.connect(site.context())
        return True
    return False
