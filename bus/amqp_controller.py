"""The controller's end of the bus on RabbitMQ: consumes all shards, publishes to the queue that each node named."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from random import Random

from pika import BasicProperties, DeliveryMode
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker
from pika.frame import Method
from pika.spec import Basic

from bus.amqp_connection import HEARTBEAT, RETRY_CAP, AmqpConnection, connection_parameters
from bus.amqp_settling import Deliveries, Publications
from bus.amqp_topology import CONTENT_TYPE, SHARDS, check_reports, declare_reports, node_of_queue, report_queue
from bus.amqp_url import Account, BrokerUrl
from bus.clock import Clock
from bus.envelope import MAX_ENVELOPE
from bus.port import Received

MAX_UNSETTLED = 1024
"""Reports that wait for the controller, before the broker keeps further ones to itself."""
MAX_QUEUES = 100_000
"""Nodes whose queue is remembered; a broker that lies may invent a node's name for each report."""
CHECK = 10.0
"""Seconds between two looks whether exchange and queues are there still: nobody tells when an exchange is deleted."""
PINNED = 1.0
"""Seconds after which what is settled is not held back any more by one report that is not."""
NOT_FOUND = 404

OnRefused = Callable[[str, str, str], None]
"""The sender (empty if it is not known), the reason for counting, the detail for people."""
OnLost = Callable[[str], None]
"""Why an assignment was lost: unroutable, rejected, unconfirmed."""


class AmqpControllerBus:
    """A ControllerBus over amqp(s)://.

    The broker vouches for the sender (``user_id``). A node's assignments go to the queue that its newest report named;
    when a node appears with another queue, it is given its newest assignment at once.
    """

    def __init__(
        self,
        url: BrokerUrl,
        account: Account,
        *,
        max_unsettled: int = MAX_UNSETTLED,
        max_envelope: int = MAX_ENVELOPE,
        retry_cap: float = RETRY_CAP,
        heartbeat: int = HEARTBEAT,
        check_interval: float = CHECK,
        on_refused: OnRefused | None = None,
        on_lost: OnLost | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        """Raises BadBrokerUrl for files of TLS that cannot be used."""
        self._prefetch = max(1, max_unsettled // SHARDS)
        self._max_envelope = max_envelope
        self._check_interval = check_interval
        self._logger = logging.getLogger("bus")
        self._on_refused = on_refused or (lambda *_: None)
        self._on_lost = on_lost or (lambda _: None)
        self._connection = AmqpConnection(
            connection_parameters(url, account, "controller", heartbeat),
            self,
            retry_cap=retry_cap,
            clock=clock,
            random=random,
        )
        self._receive: Callable[[Received], None] | None = None
        self._channel: Channel | None = None
        self._must_declare = False
        self._consuming = 0
        self._deliveries = Deliveries()
        self._publications: Publications[str] = Publications()
        self._newest: dict[str, bytes] = {}
        self._queues: dict[str, str] = {}
        """The queue that each node's newest report named."""
        self._due: dict[str, None] = {}
        """Nodes that are to be given their newest assignment, in order."""

    # -- the port

    def start(self, receive: Callable[[Received], None]) -> None:
        self._receive = receive
        self._connection.start("bus-amqp")
        self._connection.call(partial(self._unpin, None))
        self._connection.call(self._check)

    def publish(self, node: str, envelope: bytes) -> None:
        self._connection.call(partial(self._publish, node, envelope))

    def settle(self, received: list[Received]) -> None:
        self._connection.call(partial(self._settle, received))

    def stop(self) -> None:
        self._receive = None
        self._connection.stop()

    # -- the connection's end

    def set_up(self, channel: Channel) -> None:
        self._channel, self._consuming = channel, 0
        self._deliveries, self._publications = Deliveries(), Publications()
        channel.confirm_delivery(self._on_confirm)
        channel.add_on_return_callback(self._on_return)
        (declare_reports if self._must_declare else check_reports)(channel)
        channel.basic_qos(prefetch_count=self._prefetch)
        for shard in range(SHARDS):
            channel.basic_consume(report_queue(shard), self._on_message, callback=lambda _: self._on_consuming())

    def reopen(self, reason: BaseException) -> bool:
        missing = isinstance(reason, ChannelClosedByBroker) and reason.reply_code == NOT_FOUND
        # Once: if declaring them does not help, it is time to say so.
        self._must_declare = missing and not self._must_declare
        return self._must_declare

    def down(self) -> None:
        self._channel = None
        for node in self._publications.open():
            self._on_lost("unconfirmed")
            self._due[node] = None
        self._deliveries, self._publications = Deliveries(), Publications()

    def unblocked(self) -> None:
        self._publish_due()

    def _check(self) -> None:
        if self._ready and self._channel is not None:
            check_reports(self._channel)
        self._connection.later(self._check_interval, self._check)

    @property
    def _ready(self) -> bool:
        return self._channel is not None and self._consuming == SHARDS

    def _on_consuming(self) -> None:
        self._consuming += 1
        if self._ready:
            self._must_declare = False
            self._connection.found()
            self._publish_due()

    # -- assignments

    def _publish(self, node: str, envelope: bytes) -> None:
        self._newest[node] = envelope
        self._due[node] = None
        self._publish_due([node])

    def _publish_due(self, nodes: Iterable[str] | None = None) -> None:
        """Of these nodes, or of all. What cannot be published yet stays due: a node that was not heard, a broker away.

        Thousands may be due that are away, so they are not all looked at for the sake of one.
        """
        if self._channel is None or not self._ready or self._connection.blocked:
            return
        for node in [node for node in (self._due if nodes is None else nodes) if node in self._queues]:
            del self._due[node]
            self._publish_now(self._channel, node)

    def _publish_now(self, channel: Channel, node: str) -> None:
        properties = BasicProperties(content_type=CONTENT_TYPE, delivery_mode=DeliveryMode.Transient)
        channel.basic_publish("", self._queues[node], self._newest[node], properties, mandatory=True)
        self._publications.sent(node)

    def _on_confirm(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        spoken = self._publications.confirm(frame.method.delivery_tag, frame.method.multiple)
        if isinstance(frame.method, Basic.Nack):
            for _ in spoken:
                self._on_lost("rejected")

    def _on_return(self, _channel: Channel, method: Basic.Return, _properties: BasicProperties, _body: bytes) -> None:
        """Its connection has ended; the next one will name another queue."""
        self._on_lost("unroutable")
        node = node_of_queue(method.routing_key)
        if node is not None and self._queues.get(node) == method.routing_key:
            del self._queues[node]

    # -- reports

    def _on_message(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        if channel is not self._channel:
            return  # given up already; it comes again
        self._deliveries.came(method.delivery_tag)
        node = properties.user_id or ""
        received = Received(node, body, (self._deliveries, method.delivery_tag))
        problem = self._problem(node, properties.reply_to, body)
        if problem is not None:
            self._on_refused(node, *problem)
            self.settle([received])
            return
        if properties.reply_to:
            self._learn(node, properties.reply_to)
        self._hand_over(received)

    def _problem(self, node: str, reply_to: str | bytes | None, body: bytes) -> tuple[str, str] | None:
        """Reason and detail of a refusal."""
        if not node:
            return "no_sender", "the broker does not say who sent this; reports must carry the property user_id"
        # pika gives bytes for a text that is none.
        if reply_to and (not isinstance(reply_to, str) or node_of_queue(reply_to) != node):
            return "wrong_reply_to", f"answers to {node} would go to {reply_to!r}, which is not its own queue"
        if len(body) > self._max_envelope:
            return "too_large", f"{len(body)} bytes; at most {self._max_envelope} are taken"
        return None

    def _learn(self, node: str, queue: str) -> None:
        if self._queues.get(node) == queue:
            return
        self._queues[node] = queue
        if len(self._queues) > MAX_QUEUES:
            del self._queues[next(iter(self._queues))]  # a real node's comes again with its next report
        if node in self._newest:
            self._due[node] = None
            self._publish_due([node])

    def _hand_over(self, received: Received) -> None:
        if self._receive is None:
            return
        try:
            self._receive(received)
        except Exception:
            # It would fail again.
            self._logger.exception("a report could not be taken and is dropped", extra={"node": received.node})
            self.settle([received])

    def _settle(self, received: list[Received]) -> None:
        for one in received:
            deliveries, tag = one.tag if isinstance(one.tag, tuple) else (None, 0)
            # Those of a former connection are the broker's again.
            if deliveries is self._deliveries:
                self._deliveries.settle(tag)
        last = self._deliveries.run()
        if last is not None and self._channel is not None:
            self._channel.basic_ack(last, multiple=True)

    def _unpin(self, first_before: int | None) -> None:
        first = self._deliveries.first
        if first is not None and first == first_before and self._channel is not None:
            for tag in self._deliveries.behind():
                self._channel.basic_ack(tag)
        self._connection.later(PINNED, partial(self._unpin, first))
