"""HTTP with one broker, which is not trusted: what an answer may have of memory and of time is bounded."""

import base64
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from urllib3 import BaseHTTPResponse, Timeout

from bus.amqp_url import Account
from bus.http_client import Client
from bus.in_time import Deadline
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
        self.base, self._deadline = base, deadline
        said = base64.b64encode(f"{account.user}:{account.password}".encode())
        self._headers = {"Authorization": f"Basic {said.decode()}", "Content-Type": "application/json"}
        ca, certificate, key = (str(file) if file else None for file in (account.ca, account.certificate, account.key))
        # No proxy's business: the account is ours.
        self._client = Client(base, ca=ca, certificate=certificate, key=key, proxies=False)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        """Raises HTTPError or OSError where no whole answer comes, in time and within bounds."""
        url, sent = f"{self.base}/{path}", None if body is None else json.dumps(body).encode()
        timeout, deadline = Timeout(connect=_CONNECT_TIMEOUT, read=self._deadline), Deadline(self._deadline)
        with closing(self._client.request(method, url, self._headers, timeout, sent, deadline=deadline)) as answer:
            return Answer(url, answer.status, _content(answer))


def _content(answer: BaseHTTPResponse) -> bytes:
    content = bytearray()
    while chunk := answer.read1(_CHUNK, decode_content=False):
        content += chunk
        if len(content) > MOST:
            raise OSError(f"the answer is larger than {MOST} bytes")
    return bytes(content)
