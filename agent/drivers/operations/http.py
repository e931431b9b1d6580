"""Operation driver ``http``: a GET that must answer with one of the statuses, and contain a text if one is given."""

import http.client
from collections.abc import Callable
from urllib.parse import urlsplit

from agent.drivers.contracts import Outcome
from bus.in_time import Deadline, answers_by
from crds.base import FileModel
from crds.messages import OperationSpec

_LARGEST = 1024 * 1024
"""Bytes of a body in which the text is looked for."""
_LINES, _WIDTH = 5, 300
"""What is quoted of an answer that does not pass."""


class Config(FileModel):
    """There is nothing to configure."""


class Driver:
    """Implements agent.drivers.contracts.OperationDriver. Redirects are not followed."""

    def __init__(self, monotonic: Callable[[], float], hide: Callable[[str], str] = str) -> None:
        """``hide`` takes secrets out of what is quoted of an answer."""
        self._monotonic, self._hide = monotonic, hide

    def run(self, spec: OperationSpec, values: dict[str, str]) -> Outcome:
        path = spec.path or "/"
        try:
            status, body = self._get(values.get("url", ""), path, spec.timeout)
        except TimeoutError:
            return Outcome("failed", f"GET {path}: no whole answer within {spec.timeout:g} s")
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Outcome("failed", f"GET {path}: {getattr(error, 'strerror', None) or error}")
        if status not in spec.status:
            expected = ", ".join(map(str, spec.status))
            return Outcome("failed", f"GET {path}: HTTP {status}, expected {expected}", self._excerpt(body))
        if spec.contains is not None and spec.contains not in body:
            return Outcome(
                "failed", f"GET {path}: HTTP {status}, without the text {spec.contains!r}", self._excerpt(body)
            )
        return Outcome("passed", f"GET {path}: HTTP {status}")

    def _get(self, url: str, path: str, timeout: float) -> tuple[int, str]:
        place = urlsplit(url)
        kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
        connection = kind(place.hostname or "", place.port, timeout=timeout)
        connection.response_class = answers_by(Deadline(timeout, self._monotonic).left)
        try:
            connection.request(
                "GET", place.path.rstrip("/") + path, headers={"User-Agent": "drumbeat-runner", "Connection": "close"}
            )
            answer = connection.getresponse()
            body = b""
            while len(body) < _LARGEST and (block := answer.read1(65536)):
                body += block
            return answer.status, body.decode(errors="replace")
        finally:
            connection.close()

    def _excerpt(self, body: str) -> list[str]:
        lines = [line for line in body.splitlines() if line.strip()][:_LINES]
        return [line[:_WIDTH] for line in self._hide("\n".join(lines)).splitlines()]
