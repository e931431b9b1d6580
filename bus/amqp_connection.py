"""One connection to RabbitMQ, kept up: one thread owns it and brings it back, whatever ends it.

Whatever goes wrong ends in the same way: the connection is given up, and after a jittered pause another one is made, to
any of the brokers, with everything that belongs to it. There is no second way back that would have to be right too.
"""

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

import pika
from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.adapters.utils.nbio_interface import AbstractIOReference
from pika.adapters.utils.selector_ioloop_adapter import SelectorIOServicesAdapter
from pika.channel import Channel
from pika.exceptions import AMQPError, ConnectionClosedByClient
from pika.frame import Frame, Header
from pika.spec import FRAME_MAX_SIZE

from bus.amqp_url import Account, BrokerUrl, tls_context
from bus.clock import Clock, SystemClock

HEARTBEAT = 60
"""Seconds; a socket on which nothing comes for about twice as long is dead."""
VANISHED = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_USER_TIMEOUT": 15_000}
"""A broker that was cut off answers nothing any more. The kernel gives it up after 15 s (Linux), long before heartbeats
would, and before its nodes would count as silent."""
CONNECT_TIMEOUT = 5.0
HANDSHAKE_TIMEOUT = 10.0
CLOSE_TIMEOUT = 2.0
"""Seconds for goodbye; a broker that blocks the connection does not hear it."""
FIRST_RETRY = 0.1
RETRY_CAP = 5.0
MOST_GATHERED = 16 * 1024 * 1024
"""Bytes of one message that are gathered at all. What is larger than an envelope may be is refused by whoever receives;
this is for a broker that lies, since one that is set up as it should be takes no message above 1 MiB."""


class End(Protocol):
    """What lives on the connection. All of it is called in the connection's thread."""

    def set_up(self, channel: Channel) -> None:
        """A channel is open: declare, consume. Say ``found`` to the connection once it works."""

    def reopen(self, reason: BaseException, /) -> bool:
        """Whether to try with another channel of this connection, after the broker closed one."""

    def down(self) -> None:
        """The channel is not to be used any more."""

    def unblocked(self) -> None:
        """The broker takes messages again."""


class AmqpConnection:
    """See the module. ``call`` may be used from any thread, ``stop`` too; everything else from the thread itself."""

    def __init__(
        self,
        brokers: Sequence[pika.ConnectionParameters],
        end: End,
        *,
        retry_cap: float = RETRY_CAP,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self._brokers, self._end = list(brokers), end
        self._retry_cap = retry_cap
        self._clock = clock or SystemClock()
        self._random = random or Random()
        self._logger = logging.getLogger("bus")
        self._loop = IOLoop()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._round: list[pika.ConnectionParameters] = []
        self._services: _Services | None = None
        self._connection: _Connection | None = None
        self._up = False
        self._blocked = False
        self._why: BaseException | None = None
        self._away_since: float | None = None
        self._away_kind = ""

    # -- for everybody

    def start(self, name: str) -> None:
        """Begin to connect."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End connection and thread."""
        self._stopping = True
        thread = self._thread
        if thread is None:
            return
        self._loop.add_callback_threadsafe(self._leave)
        if thread is not threading.current_thread():
            thread.join(CONNECT_TIMEOUT + HANDSHAKE_TIMEOUT + CLOSE_TIMEOUT)

    def call(self, work: Callable[[], None]) -> None:
        """Have the thread do it soon, connected or not, in the order of the calls."""
        if not self._stopping:
            self._loop.add_callback_threadsafe(lambda: self._guard(work))

    # -- for the end

    @property
    def blocked(self) -> bool:
        """Whether the broker has asked to publish nothing: it is short of memory or disk."""
        return self._blocked

    def later(self, delay: float, work: Callable[[], None]) -> object:
        """Do it after so many seconds; returns what ``cancel`` takes."""
        return self._loop.call_later(delay, lambda: self._guard(work))

    def cancel(self, timer: object) -> None:
        """Take back what ``later`` gave."""
        self._loop.remove_timeout(timer)

    def found(self) -> None:
        """It works: the next pause is a short one again."""
        if self._away_since is None:
            return
        seconds = self._clock.monotonic() - self._away_since
        self._away_since, self._away_kind = None, ""
        self._logger.info("the broker is back", extra={"after_seconds": round(seconds, 1)})

    def fail(self, why: BaseException) -> None:
        """Give this connection up, and make another."""
        self._why = self._why or why
        self._take_down()
        connection = self._connection
        if connection is None or connection.is_closed or connection.is_closing:
            return
        connection.close()
        self._loop.call_later(CLOSE_TIMEOUT, lambda: self._cut(connection))

    # -- the thread

    def _run(self) -> None:
        self._connect()
        while True:
            try:
                self._loop.start()
                break
            except Exception as error:
                if self._stopping and self._connection is None:
                    break  # pika stumbles over what is closed while it is being opened, once it is closed
                # What the broker sent cannot be read, or worse; another connection is the remedy for that too.
                self._logger.exception("the connection to the broker failed; the bus goes on")
                self.fail(error)
                self._cut(self._connection)
        self._loop.close()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._logger.exception("a part of the bus failed; the bus goes on")
            self.fail(error)

    def _connect(self) -> None:
        if self._stopping:
            self._loop.stop()
            return
        if not self._round:
            self._round = self._random.sample(self._brokers, len(self._brokers))
        self._why = None
        self._services = _Services(self._loop)
        self._connection = _Connection(
            self._round.pop(), self._on_open, self._on_closed, self._on_closed, custom_ioloop=self._services
        )

    def _on_open(self, connection: SelectConnection) -> None:
        connection.add_on_connection_blocked_callback(lambda *_: self._on_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._on_blocked(False))
        self._open_channel()

    def _open_channel(self) -> None:
        assert self._connection is not None
        self._connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_cancel_callback(lambda _: self.fail(ConsumerCancelled("the broker ended a consumer")))
        self._up = True
        self._guard(lambda: self._end.set_up(channel))

    def _on_channel_closed(self, _channel: Channel, reason: Exception) -> None:
        self._take_down()
        connection = self._connection
        if connection is not None and connection.is_open and self._end.reopen(reason):
            self._open_channel()
        else:
            self.fail(reason)

    def _on_blocked(self, blocked: bool) -> None:
        self._blocked = blocked
        if blocked:
            self._logger.warning("the broker takes no messages for now: it is short of memory or disk")
        else:
            self._logger.info("the broker takes messages again")
            self._guard(self._end.unblocked)

    def _take_down(self) -> None:
        if self._up:
            self._up = False
            self._end.down()

    def _on_closed(self, _connection: SelectConnection, reason: Exception) -> None:
        self._take_down()
        self._connection, self._blocked = None, False
        if self._services is not None:
            self._services.forget()
        if self._stopping:
            self._loop.stop()
            return
        self._lost(self._why or reason)
        self._loop.call_later(self._pause(), self._connect)

    def _lost(self, why: BaseException) -> None:
        why = _innermost(why)
        kind = f"{type(why).__name__} {getattr(why, 'reply_code', '')}"
        if self._away_since is None:
            self._away_since = self._clock.monotonic()
        if self._away_kind != kind:
            self._away_kind = kind
            self._logger.warning("the broker cannot be used; trying again until it can", extra={"why": _words(why)})

    def _pause(self) -> float:
        """None while there are other brokers to ask; then a random part of half of how long it is away by now."""
        if self._round:
            return 0.0
        away = self._clock.monotonic() - self._away_since if self._away_since is not None else 0.0
        return self._random.uniform(0, min(self._retry_cap, max(FIRST_RETRY, away / 2)))

    def _leave(self) -> None:
        if self._connection is None:
            self._loop.stop()
        else:
            self.fail(ConnectionClosedByClient(200, "stopped"))

    def _cut(self, connection: SelectConnection | None) -> None:
        """For a broker that does not answer to goodbye."""
        if self._connection is connection and self._services is not None:
            self._services.cut()


class ConsumerCancelled(AMQPError):  # type: ignore[misc]
    """The queue is gone, or moves to another node."""


class _Endless(AMQPError):  # type: ignore[misc]
    """The broker sends more than anybody may."""


class _Connection(SelectConnection):  # type: ignore[misc]
    """pika's gathers whatever a broker announces, up to gigabytes; this one ends instead."""

    def _on_data_available(self, data_in: bytes) -> None:
        super()._on_data_available(data_in)
        if len(self._frame_buffer) > 2 * FRAME_MAX_SIZE:
            raise _Endless(f"the broker sends a frame of more than {FRAME_MAX_SIZE} bytes, which nobody agreed to")

    def _deliver_frame_to_channel(self, value: Frame) -> None:
        if isinstance(value, Header) and value.body_size > MOST_GATHERED:
            raise _Endless(f"the broker announces a message of {value.body_size} bytes")
        super()._deliver_frame_to_channel(value)


class _Services(SelectorIOServicesAdapter):  # type: ignore[misc]
    """What pika asks of an event loop: looks names up in the same thread, and can cut the connection."""

    def __init__(self, loop: IOLoop) -> None:
        super().__init__(loop)
        self._socket: socket.socket | None = None

    def getaddrinfo(
        self,
        host: str,
        port: int,
        on_done: Callable[..., None],
        family: int = 0,
        socktype: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> AbstractIOReference:
        """Nothing else is to be done before it is known where to connect; a thread for it would outlive ``stop``."""

        def look_up() -> None:
            found: Any
            try:
                found = socket.getaddrinfo(host, port, family, socktype, proto, flags)
            except OSError as error:
                found = error
            on_done(found)

        return _Timer(self.call_later(0, look_up))

    def create_streaming_connection(
        self,
        protocol_factory: Any,
        sock: socket.socket,
        on_done: Any,
        ssl_context: Any = None,
        server_hostname: Any = None,
    ) -> AbstractIOReference:
        """As pika does, with a second handle to the same socket.

        Where a dying broker resets a connection as it is made, pika raises, which nobody there awaits: it would have
        gone on only after HANDSHAKE_TIMEOUT.
        """
        self.forget()
        self._socket = sock.dup()
        try:
            return super().create_streaming_connection(protocol_factory, sock, on_done, ssl_context, server_hostname)
        except ValueError as error:
            why = error.__context__ or error
            sock.close()
            return _Timer(self.call_later(0, lambda: on_done(why)))

    def cut(self) -> None:
        """End the connection without goodbye; pika sees its end."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # the other side was faster

    def forget(self) -> None:
        """Close the second handle."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Timer(AbstractIOReference):  # type: ignore[misc]
    def __init__(self, timer: Any) -> None:
        self._timer = timer

    def cancel(self) -> bool:
        self._timer.cancel()
        return True


def connection_parameters(
    url: BrokerUrl, account: Account, name: str, heartbeat: int
) -> list[pika.ConnectionParameters]:
    """How to connect to each of the brokers; ``name`` is what their owner sees. Raises BadBrokerUrl."""
    context = tls_context(account) if url.tls else None
    return [
        pika.ConnectionParameters(
            host=host,
            port=port,
            virtual_host=url.vhost,
            credentials=pika.PlainCredentials(account.user, account.password, erase_on_connect=False),
            heartbeat=heartbeat,
            tcp_options=VANISHED,
            socket_timeout=CONNECT_TIMEOUT,
            stack_timeout=HANDSHAKE_TIMEOUT,
            ssl_options=pika.SSLOptions(context, host) if context else None,
            client_properties={"connection_name": name},
        )
        for host, port in url.addresses
    ]


def _innermost(why: BaseException) -> BaseException:
    """pika wraps the cause in what it was doing, several times."""
    for inner in [*getattr(why, "exceptions", ()), getattr(why, "exception", None), *why.args]:
        if isinstance(inner, BaseException):
            return _innermost(inner)
    return why


def _words(why: BaseException) -> str:
    return str(why) or type(why).__name__
