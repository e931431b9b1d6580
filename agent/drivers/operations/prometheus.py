"""Operation driver ``prometheus``: an instant query, every value of whose answer must lie within thresholds.

No value, one that is no number, warnings and too few samples tell nothing; nor does an answer that is none. The HTTP
API: https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

import base64
import json
import math
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlencode

from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from agent.drivers.contracts import Outcome, Retry, Terminal
from agent.drivers.operations.exec import fill
from agent.secrets import Secrets
from bus.http_client import Client
from bus.in_time import Deadline
from crds.base import FileModel
from crds.messages import OperationSpec, PrometheusQuery

_LARGEST = 1024 * 1024
"""Bytes of an answer."""
_NAMED = 5
"""Values out of bounds that are named."""


class Config(FileModel):
    """There is nothing to configure."""


class _ToldNothing(Exception):
    """The text says why."""


class Driver:
    """Implements agent.drivers.contracts.OperationDriver."""

    def __init__(self, secrets: Secrets, monotonic: Callable[[], float], hide: Callable[[str], str] = str) -> None:
        """``hide`` takes secrets out of what is quoted of an answer."""
        self._secrets, self._monotonic, self._hide = secrets, monotonic, hide

    def run(self, spec: OperationSpec, values: dict[str, str]) -> Outcome:
        asked = spec.prometheus
        if asked is None:
            return Outcome("failed", "there is no query; write one in the gate's prometheus")
        try:
            headers = _headers(asked, self._secrets.variables(spec.secrets, spec.target))
            deadline = Deadline(spec.timeout, self._monotonic)
            if asked.samples:
                self._check_samples(asked, self._ask(asked.url, fill(asked.samples, values), headers, deadline))
            found = self._ask(asked.url, fill(asked.query, values), headers, deadline)
            return _judged(asked, found)
        except (Retry, Terminal) as error:
            return Outcome("inconclusive", f"the runner cannot get what the question needs: {error}")
        except _ToldNothing as why:
            return Outcome("inconclusive", str(why))
        except TimeoutError:
            return Outcome("inconclusive", f"{asked.url}: no whole answer within {spec.timeout:g} s")
        except (OSError, HTTPError, ValueError) as error:
            words = getattr(error, "strerror", None) or type(error).__name__
            return Outcome("inconclusive", f"{asked.url} does not answer: {words}")

    def _check_samples(self, asked: PrometheusQuery, found: Mapping[str, float]) -> None:
        count = sum(found.values())
        if count < asked.fewest:
            raise _ToldNothing(f"{count:g} samples are fewer than {asked.fewest:g}: the answer would say nothing")

    def _ask(self, url: str, query: str, headers: dict[str, str], deadline: Deadline) -> dict[str, float]:
        """Values by series. Raises _ToldNothing, and what a connection raises."""
        place = f"{url.rstrip('/')}/api/v1/query?{urlencode({'query': query})}"
        timeout = Timeout(connect=deadline.left(), read=deadline.left())
        with closing(Client(place)) as client:
            answer = client.request("GET", place, headers, timeout, deadline=deadline)
            with closing(answer):
                body = answer.read(_LARGEST + 1, decode_content=False)
        if len(body) > _LARGEST:
            raise _ToldNothing(f"{url} answers with more than {_LARGEST:,} bytes; ask for fewer series")
        try:
            return _values(_data(json.loads(body), answer.status))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            words = self._hide(body.decode(errors="replace"))[:200]
            raise _ToldNothing(f"{url} answers HTTP {answer.status}, and not as Prometheus does: {words}") from None


def _headers(asked: PrometheusQuery, secrets: Mapping[str, str]) -> dict[str, str]:
    headers = {"User-Agent": "drumbeat-runner", "Accept": "application/json"}
    if "token" in secrets:
        headers["Authorization"] = f"Bearer {secrets['token']}"
    elif asked.user:
        said = f"{asked.user}:{secrets.get('password', '')}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(said).decode()}"
    return headers


def _data(answer: Any, status: int) -> Mapping[str, Any]:
    if answer["status"] != "success":
        raise _ToldNothing(f"Prometheus refuses the query (HTTP {status}): {str(answer.get('error'))[:300]}")
    if warnings := answer.get("warnings"):
        raise _ToldNothing(f"Prometheus warns that the answer is not whole: {str(warnings[0])[:300]}")
    found: Mapping[str, Any] = answer["data"]
    return found


def _values(data: Mapping[str, Any]) -> dict[str, float]:
    """Values by series. Raises _ToldNothing for no value, or one that is no number."""
    kind, result = data["resultType"], data["result"]
    if kind not in ("scalar", "vector"):
        raise _ToldNothing(f"the query gives a {kind}; write one that gives a scalar or an instant vector")
    found = {"": result[1]} if kind == "scalar" else {_series(each["metric"]): each["value"][1] for each in result}
    if not found:
        raise _ToldNothing("the query finds nothing: no such series, or none with a value of the last minutes")
    numbers = {series: float(value) for series, value in found.items()}
    if missing := [series for series, value in numbers.items() if math.isnan(value)]:
        raise _ToldNothing(f"{missing[0] or 'the value'} is not a number, as when nothing is divided by nothing")
    return numbers


def _series(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}={value!r}" for name, value in sorted(labels.items())) + "}" if labels else ""


def _judged(asked: PrometheusQuery, found: Mapping[str, float]) -> Outcome:
    high = {series: value for series, value in found.items() if asked.max is not None and value > asked.max}
    low = {series: value for series, value in found.items() if asked.min is not None and value < asked.min}
    if not high and not low:
        return Outcome("passed", f"{len(found)} values from {min(found.values()):g} to {max(found.values()):g}")
    bound = f"above {asked.max:g}" if high else f"below {asked.min:g}"
    wrong = [f"{value:g} {series}".strip() for series, value in sorted((high or low).items())]
    return Outcome("failed", f"{len(wrong)} of {len(found)} values are {bound}: {', '.join(wrong[:_NAMED])}")
