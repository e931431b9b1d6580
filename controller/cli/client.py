"""The controller's API, as the CLI asks it."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import requests

DEFAULT_SERVER = "http://127.0.0.1:7420"
_TIMEOUT = 15.0
_LARGE = 300.0
"""Seconds for a question with all files of a commit."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

Resource = dict[str, Any]
"""A resource as the API gives it; see /openapi.json."""


class AskError(Exception):
    """The question was not answered; the text says why and what to do."""

    transient = False
    """The same question may be answered later."""


class Refused(AskError):
    """The controller understands, and will not have it."""


class Unreachable(AskError):
    """No controller answers, or it is too busy to."""

    transient = True


class Client:
    """Asks one controller. Every method raises AskError."""

    def __init__(self, server: str) -> None:
        """``server`` is the controller's URL."""
        self.server = server.rstrip("/")
        self._session = requests.Session()
        # A proxy cannot reach this machine's loopback.
        self._session.trust_env = _host(self.server) not in _LOOPBACK

    def named(self, plural: str, name: str) -> Resource:
        """One resource in full."""
        return self._get(f"/api/v1/{plural}/{quote(name, safe='/@')}")

    def target(self, name: str, with_hosts: bool) -> Resource:
        """One target; its hosts cost the controller nearly all of the answer."""
        return self._get(f"/api/v1/targets/{quote(name, safe='@')}", hosts=str(with_hosts).lower())

    def listed(self, plural: str, selector: str = "") -> Resource:
        """All resources whose labels match the selector, as a list resource."""
        return self._get(f"/api/v1/{plural}", labelSelector=selector)

    def state(self) -> Resource:
        """What is in force, and what was refused."""
        return self._get("/api/v1/state")

    def events(self, about: str | None = None, after: int | None = None, limit: int = 100) -> Resource:
        """Events after a resource version, or the newest; of an object and what is below it, or all."""
        return self._get("/api/v1/events", object=about, after=after, limit=limit)

    def command(self, about: str, verb: str, **said: str) -> Resource:
        """Ask for something to be done about a resource, named PLURAL/NAME."""
        path = f"/api/v1/{quote(about, safe='/@')}/{verb}"
        return self._ask("POST", path, json={key: text for key, text in said.items() if text})

    def forecast(self, commit: Resource) -> Resource:
        """What would happen if a commit were put in force: a SupposedCommit, which may be large."""
        return self._ask("POST", "/api/v1/forecasts", _LARGE, json=commit)

    def _get(self, path: str, **params: str | int | None) -> Resource:
        return self._ask("GET", path, params=params)

    def _ask(self, method: str, path: str, timeout: float = _TIMEOUT, **said: Any) -> Resource:
        try:
            response = self._session.request(method, self.server + path, timeout=timeout, **said)
        except requests.exceptions.Timeout as error:
            raise Unreachable(f"the controller at {self.server} did not answer within {timeout:g}s") from error
        except requests.exceptions.ConnectionError as error:
            raise Unreachable(
                f"no controller answers at {self.server}; start it with 'drumbeat controller', or name another one "
                "with --server or DRUMBEAT_SERVER"
            ) from error
        except requests.exceptions.RequestException as error:
            raise AskError(f"{self.server!r} cannot be asked: {error}; write --server http://HOST:PORT") from error
        return self._content(response)

    def _content(self, response: requests.Response) -> Resource:
        try:
            content = response.json()
        except ValueError:
            content = None
        if response.ok and isinstance(content, dict) and "kind" in content:
            return content
        if isinstance(content, dict) and "error" in content:
            raise _kind(response.status_code)("; ".join(filter(None, (content["error"], content.get("hint")))))
        raise AskError(
            f"{self.server} answers, but not as a Drumbeat controller does (HTTP {response.status_code}); "
            "name the controller with --server or DRUMBEAT_SERVER"
        )


def _kind(status: int) -> type[AskError]:
    """Of an error that the controller answers with this HTTP status."""
    if status == HTTPStatus.CONFLICT:
        return Refused
    return Unreachable if status >= HTTPStatus.INTERNAL_SERVER_ERROR else AskError


def _host(server: str) -> str | None:
    try:
        return urlsplit(server).hostname
    except ValueError:
        return None
