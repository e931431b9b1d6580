"""Asking a service whether it is healthy: one question, one answer in words."""

import http.client
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agent.drivers.contracts import Retry, Terminal
from agent.environment import fill
from agent.processes import Processes, Start
from bus.in_time import Deadline, answers_by
from crds.probe import ExecCheck, HttpCheck, Probe, TcpCheck

T = TypeVar("T")

_LISTENS_YET = 0.04
"""Seconds between two tries to connect."""


@dataclass(frozen=True)
class Asked:
    """Whom a probe asks."""

    address: str
    folder: Path
    environment: dict[str, str]
    values: Mapping[str, str]
    user: str | None = None
    patience: float = 0.0
    """Seconds for which a refused connection is tried again: the service may be about to listen."""


class Prober:
    """Runs probes; safe to be called from several threads."""

    def __init__(self, processes: Processes, hide: Callable[[str], str] = str) -> None:
        """``hide`` takes secrets out of what a command wrote."""
        self._processes = processes
        self._hide = hide

    def ask(self, probe: Probe, asked: Asked) -> str:
        """Empty if the service is healthy by this probe, else why not.

        Takes at most about the probe's timeout, and the patience that ``asked`` has.
        """
        if probe.http:
            return _ask_http(probe.http, asked, probe.timeout)
        if probe.tcp:
            return _ask_tcp(probe.tcp, asked, probe.timeout)
        assert probe.exec is not None
        return self._ask_exec(probe.exec, asked, probe.timeout)

    def _ask_exec(self, check: ExecCheck, asked: Asked, timeout: float) -> str:
        command = [fill(part, asked.values) for part in check.command]
        try:
            status, output = self._processes.run(Start(command, asked.folder, asked.environment, asked.user), timeout)
        except (Retry, Terminal) as error:
            return f"probe {command[0]}: {error}"
        if status == 0:
            return ""
        last = next((line for line in reversed(self._hide(output).splitlines()) if line.strip()), "")[:300]
        how = f"no end within {timeout:g} s" if status is None else f"exit status {status}"
        return f"probe {command[0]}: {how}" + (f": {last}" if last else "")


def _ask_http(check: HttpCheck, asked: Asked, timeout: float) -> str:
    """A GET whose body is not read and whose redirects are not followed: another page's health proves nothing."""
    where = f"probe http :{check.port}{check.path}"
    connection = http.client.HTTPConnection(asked.address, check.port, timeout=timeout)
    try:
        _connected(connection.connect, asked.patience)
        connection.response_class = answers_by(Deadline(timeout).left)
        connection.request("GET", check.path, headers={"User-Agent": "drumbeat-agent", "Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{where}: {_words(error, timeout)}"
    finally:
        connection.close()
    return "" if status in check.status else f"{where}: HTTP {status}, expected {', '.join(map(str, check.status))}"


def _ask_tcp(check: TcpCheck, asked: Asked, timeout: float) -> str:
    try:
        _connected(lambda: socket.create_connection((asked.address, check.port), timeout), asked.patience).close()
    except OSError as error:
        return f"probe tcp :{check.port}: {_words(error, timeout)}"
    return ""


def _connected(connect: Callable[[], T], patience: float) -> T:
    """What ``connect`` returns, refused or not: that nobody listens yet costs next to nothing to find out."""
    for _ in range(int(patience / _LISTENS_YET)):
        try:
            return connect()
        except ConnectionRefusedError:
            time.sleep(_LISTENS_YET)
    return connect()


def _words(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
