"""HTTP with one broker, which is not trusted: what an answer may have of memory and of time is bounded."""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from urllib3 import BaseHTTPResponse, Timeout

from bus.amqp_url import Account
from bus.http_client import FAILURES, Client, Sockets
from controller.source.characters import visible

DEADLINE = 120.0
"""Seconds for a whole answer: RabbitMQ needs some for the accounts of a large fleet."""
MOST = 64 * 1024 * 1024
"""Bytes of an answer that are read: the accounts of more than 100,000 nodes."""
_CONNECT_TIMEOUT = 5.0
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """What a broker answered, whatever it is."""

    url: str
    status: int
    content: bytes

    @property
    def text(self) -> str:
        """As much as fits into a message, on one line."""
        return visible(self.content[:300].decode("utf-8", errors="replace"))


class Connection:
    """Questions to one broker, over one connection that is kept alive."""

    def __init__(self, base: str, account: Account, deadline: float) -> None:
        """``deadline``: seconds within which an answer is here as a whole."""
        self.base, self._account, self._deadline = base, account, deadline
        said = base64.b64encode(f"{account.user}:{account.password}".encode())
        self._headers = {"Authorization": f"Basic {said.decode()}", "Content-Type": "application/json"}
        self._begin()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        """Raises HTTPError or OSError where no whole answer comes, in time and within bounds."""
        try:
            with _within(self._deadline, self._sockets):
                return self._ask(method, f"{self.base}/{path}", body)
        except FAILURES:
            # Sockets that were cut stay so.
            self._client.close()
            self._begin()
            raise

    def _begin(self) -> None:
        account = self._account
        ca, certificate, key = (str(file) if file else None for file in (account.ca, account.certificate, account.key))
        self._sockets = Sockets()
        # No proxy's business: the account is ours.
        self._client = Client(self.base, ca=ca, certificate=certificate, key=key, sockets=self._sockets, proxies=False)

    def _ask(self, method: str, url: str, body: Mapping[str, Any] | None) -> Answer:
        sent = None if body is None else json.dumps(body).encode()
        timeout = Timeout(connect=_CONNECT_TIMEOUT, read=self._deadline)
        with closing(self._client.request(method, url, self._headers, timeout, sent)) as answer:
            return Answer(url, answer.status, _content(answer))


def _content(answer: BaseHTTPResponse) -> bytes:
    content = bytearray()
    while chunk := answer.read1(_CHUNK, decode_content=False):
        content += chunk
        if len(content) > MOST:
            raise OSError(f"the answer is larger than {MOST} bytes")
    return bytes(content)


@contextmanager
def _within(seconds: float, sockets: Sockets) -> Iterator[None]:
    """Cut these sockets after so many seconds, and raise TimeoutError in place of whatever that leads to.

    A limit for silence is not enough: each byte that trickles in begins it anew.
    """
    late = threading.Event()

    def cut() -> None:
        late.set()
        sockets.cut()

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except FAILURES:
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError(f"the answer took longer than {seconds:g} s")
