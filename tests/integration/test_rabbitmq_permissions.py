"""What `drumbeat bus definitions` allows to a node's account on a real broker, and what not: tried, one by one."""

import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pika
import pytest
import requests
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, ProbableAccessDeniedError

from bus.amqp_definitions import CONTROLLER_USER
from bus.amqp_topology import (
    EXCHANGE,
    NODE_QUEUE_ARGUMENTS,
    SHARDS,
    declare_node_queue,
    declare_reports,
    node_queue,
    report_queue,
)
from bus.keyring import KeyRing, write_node_keys
from bus.keys import BUS_PASSWORD_FILE, generate_key, save_private_key
from tests.support.cli import run
from tests.support.rabbitmq import RabbitMq, VirtualHost
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(240)

NODES = ("host.1", "host-2", "host-1")
"""The first one tries. Its name as a regular expression would match the last."""
_NUMBERS = itertools.count(1)


@dataclass
class Site:
    """A virtual host with the shipped definitions, and the passwords of all accounts."""

    rabbitmq: RabbitMq
    vhost: str
    keys: Path
    passwords: dict[str, str] = field(default_factory=dict)

    def connect(self, user: str, vhost: str | None = None) -> pika.BlockingConnection:
        host, _, port = self.rabbitmq.address.rpartition(":")
        credentials = pika.PlainCredentials(user, self.passwords[user])
        return pika.BlockingConnection(pika.ConnectionParameters(host, int(port), vhost or self.vhost, credentials))

    @contextmanager
    def channel(self, user: str) -> Iterator[BlockingChannel]:
        """A channel that waits for a confirm of each message, so that refusals show at once."""
        connection = self.connect(user)
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
        finally:
            connection.close()

    def definitions(self, *words: str) -> dict[str, Any]:
        """What the command prints."""
        result = run("bus", "definitions", "--keys-directory", self.keys, "--vhost", self.vhost, *words)
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def load(self, definitions: dict[str, Any]) -> None:
        self.rabbitmq.ask("POST", "definitions", definitions)

    def invite(self, node: str) -> None:
        folder = self.keys.parent / f"{node}-{next(_NUMBERS)}"
        keys = write_node_keys(folder, node, KeyRing(self.keys), [generate_key().public_key])
        self.passwords[node] = keys.token

    def remove(self) -> None:
        VirtualHost(self.rabbitmq, self.vhost, [CONTROLLER_USER, *NODES]).remove()


@pytest.fixture
def site(rabbitmq: RabbitMq, tmp_path: Path) -> Iterator[Site]:
    site = Site(rabbitmq, f"site-{os.getpid()}-{next(_NUMBERS)}", tmp_path / "keys")
    assert run("bus", "password", "--keys-directory", site.keys).exit_code == 0
    site.passwords[CONTROLLER_USER] = (site.keys / BUS_PASSWORD_FILE).read_text().strip()
    save_private_key(site.keys / "controller.key", generate_key())
    for node in NODES:
        site.invite(node)
    try:
        site.load(site.definitions())
        yield site
    finally:
        site.remove()


OWN, FOREIGN, ALIKE = (node_queue(node, 7) for node in NODES)
Attempt = Callable[[BlockingChannel], Any]


def publish(exchange: str, key: str, user: str | None = "host.1") -> Attempt:
    return lambda channel: channel.basic_publish(exchange, key, b"{}", pika.BasicProperties(user_id=user))


def declare(queue: str, durable: bool = False, **arguments: Any) -> Attempt:
    return lambda channel: channel.queue_declare(queue, durable=durable, arguments=arguments or NODE_QUEUE_ARGUMENTS)


FORBIDDEN: dict[str, tuple[int, Attempt]] = {
    "take another node's assignment": (403, lambda channel: channel.basic_get(FOREIGN)),
    "consume another node's queue": (403, lambda channel: channel.basic_consume(FOREIGN, lambda *_: None)),
    "take an assignment of a node whose name is nearly alike": (403, lambda channel: channel.basic_get(ALIKE)),
    "take reports": (403, lambda channel: channel.basic_get(report_queue(0))),
    "consume reports": (403, lambda channel: channel.basic_consume(report_queue(0), lambda *_: None)),
    "declare a queue of another's name": (403, declare(node_queue("host-2", 8))),
    "declare a queue of a name that is nearly alike": (403, declare(node_queue("host-1", 8))),
    "declare a queue of a name that begins alike": (403, declare(node_queue("host.1.example", 8))),
    "declare a queue of any other name": (403, declare("mine")),
    "have the broker name a queue": (403, declare("")),
    "declare a report queue anew": (403, declare(report_queue(0))),
    "declare another report queue": (403, declare(report_queue(SHARDS))),
    "declare an exchange": (403, lambda channel: channel.exchange_declare("mine", "fanout")),
    "declare the reports' exchange anew": (403, lambda channel: channel.exchange_declare(EXCHANGE, "fanout")),
    "publish to another node's queue": (403, publish("", FOREIGN)),
    "publish to its own queue": (403, publish("", OWN)),
    "publish reports past their exchange": (403, publish("", report_queue(0))),
    "publish to a standard exchange": (403, publish("amq.fanout", "")),
    "publish as another node": (406, publish(EXCHANGE, "0", "host-2")),
    "publish as the controller": (406, publish(EXCHANGE, "0", CONTROLLER_USER)),
    "bind its queue to the reports": (403, lambda channel: channel.queue_bind(OWN, EXCHANGE, "0")),
    "bind its queue to a standard exchange": (403, lambda channel: channel.queue_bind(OWN, "amq.fanout")),
    "bind a report queue to a standard exchange": (
        403,
        lambda channel: channel.queue_bind(report_queue(0), "amq.fanout"),
    ),
    "bind an exchange to an exchange": (403, lambda channel: channel.exchange_bind(EXCHANGE, "amq.fanout")),
    "unbind a report queue": (403, lambda channel: channel.queue_unbind(report_queue(0), EXCHANGE, "0")),
    "purge reports": (403, lambda channel: channel.queue_purge(report_queue(0))),
    "delete a report queue": (403, lambda channel: channel.queue_delete(report_queue(0))),
    "delete another node's queue": (403, lambda channel: channel.queue_delete(FOREIGN)),
    "delete the reports' exchange": (403, lambda channel: channel.exchange_delete(EXCHANGE)),
    "have its letters forwarded to another node": (
        403,
        declare(node_queue("host.1", 9), **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": FOREIGN}),
    ),
    "have its letters forwarded by a standard exchange": (
        403,
        declare(node_queue("host.1", 9), **{"x-dead-letter-exchange": "amq.fanout"}),
    ),
}


def test_a_node_may_do_nothing_else(site: Site) -> None:
    with site.channel("host-2") as foreign, site.channel("host-1") as alike:
        declare_node_queue(foreign, FOREIGN)
        declare_node_queue(alike, ALIKE)
        before = topology(site)
        with site.channel("host.1") as own:
            declare_node_queue(own, OWN)
            answers = {what: refusal(own.connection, attempt) for what, (_, attempt) in FORBIDDEN.items()}
        assert answers == {what: code for what, (code, _) in FORBIDDEN.items()}
        assert topology(site) == before
        with site.channel(CONTROLLER_USER) as controller:
            waiting = [controller.queue_declare(report_queue(at), passive=True) for at in range(SHARDS)]
            assert [declared.method.message_count for declared in waiting] == [0] * SHARDS
        for channel, queue in ((foreign, FOREIGN), (alike, ALIKE)):
            assert channel.queue_declare(queue, passive=True).method.message_count == 0


def refusal(connection: pika.BlockingConnection, attempt: Attempt) -> int | None:
    """With which code the broker refuses this; None if it does not. It closes the channel then."""
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        attempt(channel)
    except ChannelClosedByBroker as error:
        return int(error.reply_code)
    return None


def topology(site: Site) -> Any:
    """Everything that can be declared, apart from queues of single connections."""
    asked = [site.rabbitmq.ask("GET", f"{kind}/{site.vhost}") for kind in ("exchanges", "queues", "bindings")]
    names = [(each.get("name"), each.get("source"), each.get("destination")) for found in asked for each in found]
    return sorted((one for one in names if OWN not in one), key=str)


def test_other_virtual_hosts_and_the_management_are_closed(site: Site) -> None:
    for user in (*NODES, CONTROLLER_USER):
        with pytest.raises((ProbableAccessDeniedError, ConnectionClosedByBroker)):
            site.connect(user, "/")
        with requests.Session() as session:
            session.trust_env = False
            url = f"http://{site.rabbitmq.broker.host}:{site.rabbitmq.http_port}/api/overview"
            assert session.get(url, auth=(user, site.passwords[user]), timeout=30).status_code == 401


def test_what_the_bus_needs_is_allowed(site: Site) -> None:
    with site.channel("host.1") as node, site.channel(CONTROLLER_USER) as controller:
        declare_node_queue(node, OWN)
        for shard in range(SHARDS):
            properties = pika.BasicProperties(user_id="host.1", reply_to=OWN)
            node.basic_publish(EXCHANGE, str(shard), b"report", properties, mandatory=True)
            method, got, body = next(controller.consume(report_queue(shard), inactivity_timeout=30))
            controller.basic_ack(method.delivery_tag)
            controller.cancel()
            assert (got.user_id, got.reply_to, body) == ("host.1", OWN, b"report")
        controller.basic_publish("", OWN, b"assignment", mandatory=True)
        assert eventually(lambda: taken(node, OWN))[2] == b"assignment"


def taken(channel: BlockingChannel, queue: str) -> Any:
    found = channel.basic_get(queue)
    return found if found[0] else None


def test_the_controller_mends_what_was_deleted(site: Site) -> None:
    before = topology(site)
    with site.channel(CONTROLLER_USER) as controller:
        controller.queue_delete(report_queue(1))
        declare_reports(controller)
    assert topology(site) == before


def test_new_credentials_and_a_revoked_node_are_one_command_each(site: Site) -> None:
    old = site.passwords["host.1"]
    site.invite("host.1")
    site.load(site.definitions("--node", "host.1"))
    with site.channel("host.1") as node:
        declare_node_queue(node, OWN)
    site.passwords["host.1"] = old
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        site.connect("host.1")

    KeyRing(site.keys).revoke("host-2")
    refused = run("bus", "definitions", "--keys-directory", site.keys, "--node", "host-2")
    assert refused.exit_code == 1
    assert "rabbitmqctl delete_user host-2" in refused.stderr
    assert "host-2" not in [user["name"] for user in site.definitions()["users"]]
    with site.connect("host-2") as connection:
        site.rabbitmq.ctl("delete_user", "host-2")
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
            eventually(lambda: connection.process_data_events(0.1))
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        site.connect("host-2")
