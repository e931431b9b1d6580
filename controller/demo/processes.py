"""Processes of the demo: each with a log of its own, each stopped by its own process id."""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

_MEBIBYTE = 1024 * 1024
_PORTS = range(15_000, 32_768)
"""Up to where ip_local_port_range begins unless somebody changed it."""
_TRIES = 1000


class DemoError(Exception):
    """The demo cannot go on; the text says why, and what to do. ``log`` is the file that knows more."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Process:
    """One started process."""

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path
    environment: Mapping[str, str]
    """What it was given beside our own."""

    @property
    def pid(self) -> int:
        return self.popen.pid

    def check(self) -> None:
        """Raise DemoError if it has ended."""
        status = self.popen.poll()
        if status is not None:
            raise DemoError(f"{self.name} ended with status {status}", self.log)


class Processes:
    """All that was started here, and its end."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[Process] = []

    def start(self, name: str, command: Sequence[str | Path], **environment: str) -> Process:
        """Start a process in a session of its own, so that Ctrl-C on the terminal reaches only the demo.

        ``environment``: what it has beside our own.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=loopback_environment(os.environ) | environment,
                start_new_session=True,
            )
        process = Process(name, popen, log, environment)
        self._running.append(process)
        return process

    def named(self, name: str) -> Process:
        """One of those that run. Raises DemoError if there is none of that name."""
        for process in self._running:
            if process.name == name:
                return process
        raise DemoError(f"{name} does not run; there are {', '.join(each.name for each in self._running) or 'none'}")

    def kill(self, process: Process) -> None:
        """End one process as a crash would, with what else is in its session, and wait for it."""
        self._running.remove(process)
        os.killpg(process.pid, signal.SIGKILL)
        process.popen.wait()

    def restart(self, process: Process) -> Process:
        """Start again, by the same command, one that was killed."""
        assert isinstance(process.popen.args, list)
        return self.start(process.name, process.popen.args, **process.environment)

    def check(self) -> None:
        """Raise DemoError if one of them has ended by itself."""
        for process in self._running:
            process.check()

    def stop(self, process: Process, timeout: float = 10.0) -> None:
        """End one process and wait for it: SIGTERM, and SIGKILL after ``timeout`` seconds."""
        self._running.remove(process)
        process.popen.terminate()
        _wait(process, time.monotonic() + timeout)

    def stop_all(self, timeout: float = 10.0) -> None:
        """End everything at once, and wait until all of it is gone."""
        for process in self._running:
            process.popen.terminate()
        deadline = time.monotonic() + timeout
        while self._running:
            _wait(self._running.pop(), deadline)

    def kill_all(self) -> None:
        """End everything as a crash would, and wait until all of it is gone."""
        while self._running:
            self.kill(self._running[-1])


def loopback_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would lead the demo's processes elsewhere: proxies, and Drumbeat's own settings."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("DRUMBEAT_") and not name.lower().endswith("_proxy")
    }


def _wait(process: Process, deadline: float) -> None:
    try:
        process.popen.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.popen.kill()
        process.popen.wait()


def cpu_seconds(pid: int) -> float:
    """User and system time that a process and its ended children have used (Linux, /proc/PID/stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """The memory that a process holds now, in MiB (Linux, VmRSS)."""
    return _status_mb(pid, "VmRSS")


def peak_rss_mb(pid: int) -> float:
    """The most memory that a process has held, in MiB (Linux, VmHWM)."""
    return _status_mb(pid, "VmHWM")


def _status_mb(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return round(int(line.split()[1]) * 1024 / _MEBIBYTE, 1)
    raise DemoError(f"/proc/{pid}/status names no {field}")


def free_ports(count: int, address: str = "") -> list[int]:
    """Ports on which nothing listens, at this address or at any.

    They lie below those that Linux gives to connections: such a one could be a connection's before its server listens.
    """
    with ExitStack() as held:
        ports: list[int] = []
        for _ in range(_TRIES):
            with suppress(OSError):  # in use
                port = _PORTS[secrets.randbelow(len(_PORTS))]
                held.enter_context(socket.create_server((address, port)))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise OSError(f"no {count} free ports were found at {address or 'this machine'}")


def tail(log: Path, lines: int = 20) -> list[str]:
    """The last lines of a log."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []
