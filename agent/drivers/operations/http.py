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


class Config(FileModel):
    """There is nothing to configure."""


class Driver:
    """Implements agent.drivers.contracts.OperationDriver. Redirects are not followed."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic

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
            return Outcome("failed", f"GET {path}: HTTP {status}, expected {expected}", _excerpt(body))
        if spec.contains is not None and spec.contains not in body:
            return Outcome("failed", f"GET {path}: HTTP {status}, without the text {spec.contains!r}", _excerpt(body))
        return Outcome("passed", f"GET {path}: HTTP {status}")

    def _get(self, url: str, path: str, timeout: float) -> tuple[int, str]:
        place = urlsplit(url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=timeout)
        connection.response_class = answers_by(Deadline(timeout, self._monotonic).left)
        try:
            connection.request("GET", path, headers={"User-Agent": "drumbeat-runner", "Connection": "close"})
            answer = connection.getresponse()
            body = b""
            while len(body) < _LARGEST and (block := answer.read1(65536)):
                body += block
            return answer.status, body.decode(errors="replace")
        finally:
            connection.close()


def _excerpt(body: str) -> list[str]:
    return [line[:300] for line in body.splitlines() if line.strip()][:5]
