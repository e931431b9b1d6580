"""A cluster of three as deploy/rabbitmq has it, with the production ends of the bus: brokers die and are cut off."""

import ssl

import pika
import pytest

from bus.amqp_connection import VANISHED
from tests.e2e.rabbitmq_cluster.conversation import Conversation
from tests.support.rabbitmq_cluster import Cluster, Namespaces
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

AGAIN_WHOLE = 10.0
"""Seconds, while two brokers see each other."""
NOTICED = max(VANISHED["TCP_USER_TIMEOUT"] / 1000, 1.25 * 8)
"""Seconds after which clients (see bus/amqp_connection.py) and brokers (net_ticktime) know that one was cut off."""


def test_queues_are_spread(cluster: Cluster, talk: Conversation) -> None:
    """Each report is on all three; no broker leads them all."""
    queues = cluster.queues()
    assert [sorted(queue["members"]) for queue in queues] == [[each.broker.node for each in cluster.brokers]] * 4
    assert len({queue["leader"] for queue in queues}) > 1


@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_broker_dies_and_comes_back(cluster: Cluster, talk: Conversation, at: int) -> None:
    cluster.brokers[at].kill()
    talk.whole(AGAIN_WHOLE)
    cluster.brokers[at].start()
    talk.whole(AGAIN_WHOLE)
    eventually(lambda: all(len(queue["online"]) == 3 for queue in cluster.queues()), 60)


def test_a_deleted_account_is_out_at_every_broker(cluster: Cluster, talk: Conversation) -> None:
    """RabbitMQ closes its connections, also those to other brokers than the one that was told."""
    first, second, _ = cluster.brokers
    first.ctl("add_user", "leaves", "secret")
    first.ctl("set_permissions", "-p", "drumbeat", "leaves", "", "", "")
    context = ssl.create_default_context(cafile=str(cluster.authority.file))
    context.load_cert_chain(*cluster.authority.issue("leaves"))
    with_tls = pika.SSLOptions(context, second.broker.host)
    address = second.broker.host, second.broker.ports.amqp, "drumbeat"
    secret = pika.PlainCredentials("leaves", "secret")
    connection = pika.BlockingConnection(pika.ConnectionParameters(*address, secret, ssl_options=with_tls))
    connection.process_data_events(1.0)
    first.ctl("delete_user", "leaves")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="is deleted"):
        connection.process_data_events(30.0)


@pytest.mark.parametrize("at", [0, pytest.param(1, marks=pytest.mark.soak), pytest.param(2, marks=pytest.mark.soak)])
def test_one_broker_is_cut_off_and_comes_back(cluster: Cluster, talk: Conversation, at: int) -> None:
    """It hears from nobody, and stops serving; connections to it hang until they are given up."""
    if not isinstance(cluster.network, Namespaces):
        pytest.skip("network namespaces need root and iproute2")
    eventually(cluster.is_whole, 60)
    cluster.network.cut(at)
    try:
        talk.whole(NOTICED + AGAIN_WHOLE)
    finally:
        cluster.network.heal(at)
    talk.whole(AGAIN_WHOLE)
    cluster.await_return(at)
    talk.whole(AGAIN_WHOLE)
