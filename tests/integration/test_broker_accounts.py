"""`drumbeat bus apply`, and the controller's follower, on a real broker: its accounts are what the ring says."""

import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pika
import pytest
from click.testing import Result
from pika.exceptions import ConnectionClosedByBroker, ProbableAuthenticationError
from prometheus_client import CollectorRegistry

from bus.amqp_definitions import CONTROLLER_USER, MANAGEMENT_USER, mark
from bus.amqp_topology import declare_node_queue, declare_reports, node_queue, report_queue
from bus.clock import SystemClock
from bus.keyring import KeyRing, write_node_keys
from bus.keys import BUS_PASSWORD_FILE, MANAGEMENT_PASSWORD_FILE, generate_key
from controller.broker.files import broker_accounts
from controller.broker.follower import AccountFollower
from controller.metrics import Metrics
from tests.support.cli import run
from tests.support.rabbitmq import RabbitMq, VirtualHost
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(240)

_NUMBERS = itertools.count(1)
FOREIGN = "somebody-else"


@dataclass
class Site:
    """A folder of keys, and a virtual host that follows it. Names of accounts are the whole broker's."""

    rabbitmq: RabbitMq
    vhost: str
    keys: Path

    @property
    def ring(self) -> KeyRing:
        return KeyRing(self.keys)

    def enrol(self, node: str) -> str:
        """Give the node new credentials; its password at the broker."""
        folder = self.keys.parent / f"{node}-{next(_NUMBERS)}"
        return write_node_keys(folder, node, self.ring, [generate_key().public_key]).token

    def apply(self, *words: str) -> Result:
        url = f"http://{self.rabbitmq.broker.host}:{self.rabbitmq.http_port}"
        words = ("--management", url, "--vhost", self.vhost, "--keys-directory", str(self.keys), *words)
        return run("bus", "apply", *words)

    def applied(self) -> list[str]:
        result = self.apply()
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    def accounts(self) -> set[str]:
        """The names that are ours, by their tag."""
        return {user["name"] for user in self.rabbitmq.ask("GET", "users") if mark(self.vhost) in user["tags"]}

    def connect(self, user: str, password: str) -> pika.BlockingConnection:
        return pika.BlockingConnection(
            pika.URLParameters(VirtualHost(self.rabbitmq, self.vhost).url_of(user, password))
        )

    def password(self, file: str) -> str:
        return (self.keys / file).read_text().strip()

    @contextmanager
    def following(self, metrics: Metrics) -> Iterator[None]:
        """A follower in a thread of its own, as the controller has it."""
        url = f"http://{self.rabbitmq.broker.host}:{self.rabbitmq.http_port}"
        accounts = broker_accounts(self.keys, url, self.vhost, self.ring)
        follower = AccountFollower(accounts, self.keys, SystemClock(), Random(1), metrics)
        stop = threading.Event()
        thread = threading.Thread(target=follower.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture
def site(rabbitmq: RabbitMq, tmp_path: Path) -> Iterator[Site]:
    """A broker that knows nothing but the account that makes the others, which may do nothing in any virtual host."""
    site = Site(rabbitmq, f"accounts-{os.getpid()}-{next(_NUMBERS)}", tmp_path / "keys")
    for words in ([], ["--management"]):
        assert run("bus", "password", "--keys-directory", site.keys, *words).exit_code == 0
    password = site.password(MANAGEMENT_PASSWORD_FILE)
    rabbitmq.ask("PUT", f"users/{MANAGEMENT_USER}", {"password": password, "tags": "administrator"})
    rabbitmq.add_user(FOREIGN, "secret")
    try:
        yield site
    finally:
        VirtualHost(rabbitmq, site.vhost, [*site.accounts(), MANAGEMENT_USER, FOREIGN]).remove()


def closed(connection: pika.BlockingConnection) -> bool:
    """Whether the broker closes it; raises TimeoutError after a while if not."""

    def ended() -> bool:
        try:
            connection.process_data_events(0.1)
        except ConnectionClosedByBroker:
            return True
        return False

    return eventually(ended)


def test_a_broker_becomes_what_the_ring_says_and_stays_so(site: Site) -> None:
    token = site.enrol("host-1")
    planned = site.apply("--dry-run")
    assert planned.exit_code == 2
    assert site.accounts() == set()
    said = site.applied()
    assert [f"{line} (dry run)" for line in said] == planned.stdout.splitlines()
    assert {f"vhost/{site.vhost} created", "account/host-1 created", f"account/{CONTROLLER_USER} created"} <= set(said)
    with site.connect(CONTROLLER_USER, site.password(BUS_PASSWORD_FILE)) as controller:
        declare_reports(controller.channel())  # fails if anything is otherwise
    with site.connect("host-1", token) as node:
        declare_node_queue(node.channel(), node_queue("host-1", 7))
    assert site.applied() == []
    assert site.apply("--dry-run").exit_code == 0
    assert site.rabbitmq.ask("GET", f"users/{MANAGEMENT_USER}/permissions") == [], "it keeps no rights of its own"


REMOVALS: dict[str, Callable[[Site], None]] = {
    "revoked": lambda site: site.ring.revoke("host-2"),
    "disputed": lambda site: site.ring.dispute("host-2", "two of them"),
    "forgotten": lambda site: (site.keys / "nodes/host-2.json").unlink(),
}


@pytest.mark.parametrize("how", REMOVALS)
def test_who_is_trusted_no_more_is_out_at_once(site: Site, how: str) -> None:
    tokens = {node: site.enrol(node) for node in ("host-1", "host-2")}
    site.applied()
    with site.connect("host-1", tokens["host-1"]) as stays:
        goes = site.connect("host-2", tokens["host-2"])
        REMOVALS[how](site)
        assert site.applied() == ["account/host-2 deleted"]
        assert closed(goes)
        with pytest.raises(ProbableAuthenticationError):
            site.connect("host-2", tokens["host-2"])
        stays.process_data_events(0.1)
    assert FOREIGN in [user["name"] for user in site.rabbitmq.ask("GET", "users")]


def test_new_credentials_put_the_old_ones_out(site: Site) -> None:
    token = site.enrol("host-1")
    site.applied()
    old = site.connect("host-1", token)
    new = site.enrol("host-1")
    assert site.applied() == ["account/host-1 changed (password)"]
    assert closed(old)
    site.connect("host-1", new).close()


def test_what_was_changed_at_the_broker_is_changed_back(site: Site) -> None:
    site.enrol("host-1")
    site.applied()
    ask, vhost = site.rabbitmq.ask, site.vhost
    ask("POST", "definitions", {"users": [user(site, "host-1") | {"tags": [mark(vhost), "impersonator"]}]})
    site.rabbitmq.permit("host-1", vhost)
    site.rabbitmq.permit("host-1", "/")
    ask("PUT", "user-limits/host-1/max-connections", {"value": 1000})
    site.rabbitmq.permit("guest", vhost)
    ask("DELETE", f"queues/{vhost}/{report_queue(2)}")
    assert site.applied() == [
        f"queue/{report_queue(2)} created",
        f"binding/drumbeat.reports:2:{report_queue(2)} created",
        "account/host-1 changed (tags, limits)",
        "account/host-1 changed (permissions)",
        "account/host-1 changed (may do nothing in /)",
    ]
    assert site.applied() == []


def user(site: Site, name: str) -> dict[str, object]:
    found: dict[str, object] = site.rabbitmq.ask("GET", f"users/{name}")
    return found


def test_accounts_of_others_and_of_another_drumbeat_are_left_alone(site: Site) -> None:
    site.enrol("host-1")
    site.enrol(FOREIGN)
    site.rabbitmq.ask(
        "POST", "definitions", {"users": [user(site, FOREIGN) | {"name": "host-9", "tags": [mark("other")]}]}
    )
    before = user(site, FOREIGN), user(site, "host-9")
    result = site.apply()
    assert result.exit_code == 1
    assert f"account/{FOREIGN} is there and is not Drumbeat's" in result.stderr
    assert "account/host-1 created" in result.stdout, "the others are served all the same"
    assert (user(site, FOREIGN), user(site, "host-9")) == before
    site.rabbitmq.ask("DELETE", "users/host-9")


def test_a_queue_with_other_arguments_is_said_and_left(site: Site) -> None:
    site.applied()
    site.rabbitmq.permit("guest", site.vhost)
    site.rabbitmq.ask("DELETE", f"queues/{site.vhost}/{report_queue(0)}")
    site.rabbitmq.ask("PUT", f"queues/{site.vhost}/{report_queue(0)}", {"durable": True})
    result = site.apply()
    assert result.exit_code == 1
    assert f"rabbitmqctl -p {site.vhost} delete_queue {report_queue(0)}" in result.stderr


def test_a_damaged_entry_or_a_missing_ring_locks_nobody_out(site: Site) -> None:
    for node in ("host-1", "host-2"):
        site.enrol(node)
    site.applied()
    file = site.keys / "nodes/host-1.json"
    file.write_text(file.read_text()[:40])
    result = site.apply()
    assert result.exit_code == 1
    assert "account/host-1 is left as it is" in result.stderr
    shutil.rmtree(site.keys / "nodes")
    result = site.apply()
    assert result.exit_code == 1
    assert "accounts without a node in the ring: 2 (host-1, host-2), with one: 0; none" in result.stderr
    assert site.accounts() == {"host-1", "host-2", CONTROLLER_USER}


def test_many_that_vanish_at_once_go_only_if_a_person_says_so(site: Site) -> None:
    nodes = [f"host-{number}" for number in range(10, 22)]
    for node in nodes:
        site.enrol(node)
    site.applied()
    forget(site, nodes[:5])
    assert site.applied() == [f"account/{node} deleted" for node in nodes[:5]], "five are few"
    forget(site, nodes[5:11])
    site.ring.revoke(nodes[11])
    result = site.apply()
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [f"account/{nodes[11]} deleted"], "who is revoked is out at once all the same"
    assert "accounts without a node in the ring: 6 (host-15, host-16, host-17, ...), with one: 1; none" in result.stderr
    assert site.accounts() == {*nodes[5:11], CONTROLLER_USER}
    allowed = site.apply("--allow-delete")
    assert (allowed.exit_code, site.accounts()) == (0, {CONTROLLER_USER}), allowed.output


def forget(site: Site, nodes: list[str]) -> None:
    for node in nodes:
        (site.keys / f"nodes/{node}.json").unlink()


def test_what_the_account_needs_is_said(site: Site) -> None:
    site.rabbitmq.ask("PUT", f"users/{MANAGEMENT_USER}", {"password": "another", "tags": "administrator"})
    result = site.apply()
    assert result.exit_code == 1
    assert f"the account {MANAGEMENT_USER} needs this password and the tag administrator" in result.stderr
    assert site.password(MANAGEMENT_PASSWORD_FILE) not in result.output
    plain = run("bus", "apply", "--management", "http://broker-1:15672", "--keys-directory", site.keys)
    assert plain.exit_code == 1
    assert "write https://" in plain.stderr


def test_the_controller_follows_within_seconds_and_outlives_the_broker(site: Site) -> None:
    metrics = Metrics(CollectorRegistry())
    site.enrol("host-1")
    with site.following(metrics):
        eventually(lambda: site.accounts() == {"host-1", CONTROLLER_USER}, patience=60)
        site.enrol("host-2")
        eventually(lambda: "host-2" in site.accounts(), patience=60)
        site.ring.revoke("host-1")
        eventually(lambda: "host-1" not in site.accounts(), patience=60)
        site.ring.restore("host-1")
        eventually(lambda: "host-1" in site.accounts(), patience=60)
        site.ring.dispute("host-2", "two of them")
        eventually(lambda: "host-2" not in site.accounts(), patience=60)
        shutil.copytree(site.keys / "nodes", site.keys / "restored")
        shutil.rmtree(site.keys / "nodes")
        (site.keys / "restored").rename(site.keys / "nodes")
        site.enrol("host-3")
        eventually(lambda: "host-3" in site.accounts(), patience=60)
        assert "host-1" in site.accounts()

        site.rabbitmq.ask("PUT", f"users/{MANAGEMENT_USER}", {"password": "another", "tags": "administrator"})
        before = failures(metrics)
        site.ring.trust("host-2")
        eventually(lambda: failures(metrics) >= before + 2)
        password = site.password(MANAGEMENT_PASSWORD_FILE)
        site.rabbitmq.ask("PUT", f"users/{MANAGEMENT_USER}", {"password": password, "tags": "administrator"})
        eventually(lambda: "host-2" in site.accounts())


def test_a_ring_that_is_emptied_and_restored_cuts_nobody_off(site: Site) -> None:
    metrics = Metrics(CollectorRegistry())
    tokens = {node: site.enrol(node) for node in ("host-1", "host-2", "host-3")}
    before = {*tokens, CONTROLLER_USER}
    with site.following(metrics), ExitStack() as open_ones:
        eventually(lambda: {each["user"] for each in permissions(site)} == before, patience=60)
        connections = [open_ones.enter_context(site.connect(*of_node)) for of_node in tokens.items()]
        shutil.copytree(site.keys / "nodes", site.keys / "copy")
        forget(site, list(tokens))
        eventually(lambda: failures(metrics) or site.accounts() != before, patience=60)
        assert site.accounts() == before
        for file in (site.keys / "copy").iterdir():
            shutil.copy2(file, site.keys / "nodes")
        site.enrol("host-4")
        eventually(lambda: site.accounts() == {*before, "host-4"}, patience=60)
        for connection in connections:
            connection.process_data_events(0.1)  # fails if its account was away meanwhile


def test_a_broker_that_was_made_anew_gets_everything_again(site: Site) -> None:
    site.enrol("host-1")
    with site.following(Metrics(CollectorRegistry())):
        eventually(lambda: "host-1" in site.accounts(), patience=60)
        site.rabbitmq.ask("DELETE", f"vhosts/{site.vhost}")
        token = site.enrol("host-2")
        eventually(lambda: "host-2" in {each["user"] for each in permissions(site)}, patience=60)
        site.connect("host-2", token).close()
        eventually(lambda: {each["user"] for each in permissions(site)} == site.accounts(), patience=60)


def permissions(site: Site) -> list[dict[str, str]]:
    found: list[dict[str, str]] = site.rabbitmq.ask("GET", f"vhosts/{site.vhost}/permissions", missing_ok=True)
    return found if isinstance(found, list) else []


def failures(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("drumbeat_failures_total", {"part": "accounts"}) or 0.0
