"""The management API of RabbitMQ, as far as accounts need it. It blocks: for commands, and for a thread of its own."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from bus.amqp_url import Account, is_loopback
from bus.http_client import FAILURES
from controller.broker.connection import DEADLINE, Answer, Connection

Form = TypeVar("Form", dict[str, Any], list[Any])
TLS_PORT, PORT = 15671, 15672
_URL = re.compile(r"(?P<scheme>https?)://(?:(?P<user>[^@/:\s]+)@)?(?P<hosts>[^@/\s?#]+)/?")
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")


class BadManagementUrl(ValueError):
    """The URL cannot be used; the text says why, and what to write."""


class ManagementError(Exception):
    """The broker's management did not do what it was asked; the text says why. Trying again later may help."""


@dataclass(frozen=True)
class ManagementUrl:
    """Where the management of one cluster is: any of these will do."""

    bases: tuple[str, ...]
    user: str | None = None


def parse_management_url(text: str) -> ManagementUrl:
    """Read ``https://HOST:PORT,HOST:PORT``. Raises BadManagementUrl, whose text repeats no password."""
    match = _URL.fullmatch(text)
    if match is None:
        raise BadManagementUrl("write https://HOST:PORT,HOST:PORT; a password is read from its own file")
    scheme = match["scheme"]
    bases = tuple(_base(scheme, part) for part in match["hosts"].split(","))
    return ManagementUrl(bases, unquote(match["user"]) if match["user"] else None)


def _base(scheme: str, text: str) -> str:
    match = _HOST.fullmatch(text)
    port = int(match["port"] or (TLS_PORT if scheme == "https" else PORT)) if match else 0
    if match is None or not 0 < port < 65536:
        raise BadManagementUrl(f"{text!r} is not HOST:PORT; write HOST:PORT,HOST:PORT for several brokers")
    if scheme == "http" and not is_loopback(match["name"].strip("[]")):
        raise BadManagementUrl(
            f"http://{text} would show an administrator's password on the way; write https://, or a loopback address"
        )
    return f"{scheme}://{match['name']}:{port}/api"


class Management:
    """What is asked of a broker. Each question goes to the first broker of the URL that answers."""

    def __init__(self, url: ManagementUrl, account: Account, deadline: float = DEADLINE) -> None:
        """``deadline``: seconds in which a broker must have answered."""
        self._account = account
        self._brokers = [Connection(base, account, deadline) for base in url.bases]

    def everything(self) -> dict[str, Any]:
        """All definitions of the broker. Raises ManagementError."""
        return self._get("definitions", dict)

    def account(self, name: str) -> dict[str, Any]:
        """The definitions of one account: empty lists if there is none. Raises ManagementError."""
        path = f"users/{quote(name, safe='')}"
        found = self._get_if_there(path, dict)
        permissions = self._get_if_there(f"{path}/permissions", list) if found is not None else None
        return {"users": [] if found is None else [found], "permissions": permissions or []}

    def load(self, definitions: Mapping[str, Any]) -> None:
        """Make or change all of these. Raises ManagementError."""
        self._ask("POST", "definitions", definitions)

    def delete_account(self, name: str) -> None:
        """Delete it, if it is there; RabbitMQ closes its connections. Raises ManagementError."""
        self._ask("DELETE", f"users/{quote(name, safe='')}", missing_ok=True)

    def delete_permissions(self, name: str, vhost: str) -> None:
        """Take from an account what it may do in a virtual host. Raises ManagementError."""
        self._ask("DELETE", f"permissions/{quote(vhost, safe='')}/{quote(name, safe='')}", missing_ok=True)

    def leave(self, vhost: str) -> None:
        """Give back what RabbitMQ lets whoever makes a virtual host do in it. Raises ManagementError."""
        self.delete_permissions(self._account.user, vhost)

    def _get(self, path: str, form: type[Form]) -> Form:
        """What is there, if it has this form. Raises ManagementError."""
        return self._read(self._ask("GET", path), form)

    def _get_if_there(self, path: str, form: type[Form]) -> Form | None:
        answer = self._ask("GET", path, missing_ok=True)
        return None if answer.status == HTTPStatus.NOT_FOUND else self._read(answer, form)

    def _read(self, answer: Answer, form: type[Form]) -> Form:
        if answer.status != HTTPStatus.OK:
            raise ManagementError(f"{answer.url}: {self._complaint(answer)}")
        try:
            found = json.loads(answer.content)
        except (ValueError, RecursionError) as error:
            raise ManagementError(f"{answer.url}: is not JSON that can be read: {error}") from error
        if not isinstance(found, form):
            raise ManagementError(f"{answer.url}: is not what RabbitMQ's management says there: {answer.text}")
        return found

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, missing_ok: bool = False) -> Answer:
        answer = self._first_answer(method, path, body)
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return answer
        if missing_ok and answer.status == HTTPStatus.NOT_FOUND:
            return answer
        raise ManagementError(f"{answer.url}: {self._complaint(answer)}")

    def _first_answer(self, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        away = []
        for broker in self._brokers:
            try:
                answer = broker.ask(method, path, body)
            except FAILURES as error:
                away.append(f"{broker.base}: {error}")
            else:
                # A broker that is starting, or sees no majority, answers like that; another one may do better.
                if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    return answer
                away.append(f"{broker.base}: {answer.status} {answer.text}")
        raise ManagementError(f"no broker answers: {'; '.join(away)}")

    def _complaint(self, answer: Answer) -> str:
        said = f"{answer.status} {answer.text}"
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return f"{said}; the account {self._account.user} needs this password and the tag administrator"
        return said
