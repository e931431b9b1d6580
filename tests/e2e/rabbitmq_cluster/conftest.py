"""One cluster for all tests of this folder, with the shipped definitions and a conversation over it."""

import json
from collections.abc import Iterator

import pytest

from bus.amqp_definitions import CONTROLLER_USER, definitions
from bus.amqp_topology import SHARDS
from bus.keys import generate_token, hash_token
from tests.e2e.rabbitmq_cluster.conversation import VHOST, Conversation, conversation
from tests.support.rabbitmq import is_installed
from tests.support.rabbitmq_cluster import Cluster, running_cluster
from tests.support.waiting import eventually

NODES = [f"host-{number}" for number in range(1, 7)]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not is_installed():
        pytest.skip("rabbitmq-server is not installed")
    with running_cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="session")
def talk(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conversation]:
    """Everybody is connected, and reached."""
    passwords = {name: generate_token() for name in (CONTROLLER_USER, *NODES)}
    hashes = {name: hash_token(password) for name, password in passwords.items()}
    file = tmp_path_factory.mktemp("definitions") / "drumbeat.json"
    file.write_text(json.dumps(definitions(VHOST, hashes.pop(CONTROLLER_USER), hashes)))
    cluster.brokers[0].ctl("import_definitions", str(file))
    eventually(lambda: len(cluster.queues()) == SHARDS, 60)
    with conversation(cluster, passwords) as talk:
        talk.whole(within=60)
        yield talk
