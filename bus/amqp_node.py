"""A node's end of the bus on RabbitMQ: publishes reports to its shard, consumes a queue of its own."""

import logging
from collections.abc import Callable
from functools import partial
from random import Random

from pika import BasicProperties, DeliveryMode
from pika.channel import Channel
from pika.exceptions import AMQPError
from pika.frame import Method
from pika.spec import Basic

from bus.amqp_connection import HEARTBEAT, RETRY_CAP, AmqpConnection, connection_parameters
from bus.amqp_settling import Publications
from bus.amqp_topology import CONTENT_TYPE, EXCHANGE, declare_node_queue, node_queue, shard_of
from bus.amqp_url import Account, BrokerUrl
from bus.clock import Clock, SystemClock
from bus.envelope import MAX_ENVELOPE

CONFIRM_TIMEOUT = 30.0
"""Seconds without a confirm after which a broker that takes everything and keeps nothing is left: a queue without a
leader looks like that."""
TRY_AGAIN = 1.0
"""Seconds before an assignment that the agent failed to take comes again."""


class NobodyTakesReports(AMQPError):  # type: ignore[misc]
    """No queue is bound for this node's shard."""


class AmqpNodeBus:
    """A NodeBus over amqp(s)://.

    A full report is kept until the broker confirmed it, and published again with the next connection if it has not.
    """

    def __init__(
        self,
        url: BrokerUrl,
        node: str,
        account: Account,
        *,
        interval: float = 30.0,
        retry_cap: float = RETRY_CAP,
        heartbeat: int = HEARTBEAT,
        max_envelope: int = MAX_ENVELOPE,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        """Raises BadBrokerUrl for files of TLS that cannot be used."""
        self._node, self._key = node, str(shard_of(node))
        self._interval = interval
        self._max_envelope = max_envelope
        self._clock = clock or SystemClock()
        self._random = random or Random()
        self._logger = logging.getLogger("bus")
        self._connection = AmqpConnection(
            connection_parameters(url, account, node, heartbeat),
            self,
            retry_cap=retry_cap,
            clock=self._clock,
            random=self._random,
        )
        self._receive: Callable[[bytes], None] = _nowhere
        self._heartbeat: Callable[[], bytes] = bytes
        self._channel: Channel | None = None
        self._queue = ""
        self._usable = False
        self._report: bytes | None = None
        """The newest full report, until it is confirmed."""
        self._publications: Publications[bytes] = Publications()
        self._waiting_since = 0.0
        """When a confirm was last seen, or nothing was waiting for one."""
        self._next_beat: object = None

    # -- the port

    def start(self, receive: Callable[[bytes], None], heartbeat: Callable[[], bytes]) -> None:
        self._receive, self._heartbeat = receive, heartbeat
        self._connection.start("bus-amqp")

    def send(self, envelope: bytes) -> None:
        self._connection.call(partial(self._send, envelope))

    def stop(self) -> None:
        self._connection.stop()

    # -- the connection's end

    def set_up(self, channel: Channel) -> None:
        self._channel, self._publications = channel, Publications()
        self._queue = queue = node_queue(self._node, self._random.getrandbits(64))
        channel.confirm_delivery(self._on_confirm)
        channel.add_on_return_callback(self._on_return)
        declare_node_queue(channel, queue)
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue, self._on_message, callback=lambda _: self._begin())

    def reopen(self, _reason: BaseException) -> bool:
        return False

    def down(self) -> None:
        self._usable, self._channel = False, None
        if self._next_beat is not None:
            self._connection.cancel(self._next_beat)
            self._next_beat = None

    def unblocked(self) -> None:
        if self._usable:
            self._begin()

    # -- what happens on it

    def _begin(self) -> None:
        self._usable = True
        self._beat()
        self._publish_report()

    def _beat(self) -> None:
        if self._next_beat is not None:
            self._connection.cancel(self._next_beat)
        # Not always the whole interval, so that nodes that came back together do not report together for ever.
        self._next_beat = self._connection.later(self._interval * self._random.uniform(0.8, 1.0), self._beat)
        if self._connection.blocked:
            self._waiting_since = self._clock.monotonic()
        elif self._publications.open() and self._clock.monotonic() - self._waiting_since > CONFIRM_TIMEOUT:
            self._connection.fail(AMQPError("the broker confirms nothing; has the queue of reports a leader?"))
        else:
            self._publish(self._heartbeat())

    def _send(self, envelope: bytes) -> None:
        if len(envelope) > self._max_envelope:
            self._logger.error(
                "a report is too large and is not sent", extra={"bytes": len(envelope), "limit": self._max_envelope}
            )
            return
        self._report = envelope
        self._publish_report()

    def _publish_report(self) -> None:
        if self._report is not None and self._usable and not self._connection.blocked:
            self._publish(self._report)

    def _publish(self, body: bytes) -> None:
        assert self._channel is not None
        properties = BasicProperties(
            content_type=CONTENT_TYPE,
            user_id=self._node,
            reply_to=self._queue,
            delivery_mode=DeliveryMode.Transient,
        )
        if not self._publications.open():
            self._waiting_since = self._clock.monotonic()
        self._channel.basic_publish(EXCHANGE, self._key, body, properties, mandatory=True)
        self._publications.sent(body)

    def _on_confirm(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        if not self._usable:
            return  # of a connection that was given up: a report that found no queue is confirmed too
        confirmed = self._publications.confirm(frame.method.delivery_tag, frame.method.multiple)
        if not isinstance(frame.method, Basic.Ack):
            self._connection.fail(AMQPError("the broker could not keep a report"))
            return
        self._waiting_since = self._clock.monotonic()
        self._connection.found()
        if any(body is self._report for body in confirmed):
            self._report = None

    def _on_return(self, _channel: Channel, _method: Basic.Return, _properties: BasicProperties, _body: bytes) -> None:
        self._connection.fail(NobodyTakesReports(f"no queue of {EXCHANGE} takes reports with the key {self._key}"))

    def _on_message(self, channel: Channel, method: Basic.Deliver, _properties: BasicProperties, body: bytes) -> None:
        if self._channel is not channel or channel is None:
            return
        tag = method.delivery_tag
        if len(body) > self._max_envelope:
            self._logger.error("an assignment was too large and is ignored", extra={"limit": self._max_envelope})
        else:
            try:
                self._receive(body)
            except Exception:
                self._logger.exception("the agent failed to take an assignment; it comes again")
                self._connection.later(TRY_AGAIN, lambda: self._put_back(channel, tag))
                return
        channel.basic_ack(tag)

    def _put_back(self, channel: Channel, tag: int) -> None:
        """A newer one that came meanwhile takes its place: the queue has room for one."""
        if self._channel is channel is not None:
            channel.basic_nack(tag, requeue=True)


def _nowhere(_envelope: bytes) -> None:
    raise RuntimeError("the bus was not started")
