"""The customers: a process that sends requests at a fixed rate and counts every one that fails.

    python -m controller.demo.load --url http://127.0.0.1:8080 --tally FILE [--rate 200]

Most clients keep their connection, some open one for each request, some POST. The tally is replaced as a whole several
times a second, so that it can be read at any time; SIGTERM ends the process after the requests in flight.
"""

import argparse
import http.client
import itertools
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

PATHS = ("/quote", "/", "/quote?symbol=ACME")
TIMEOUT = 20.0
"""Seconds after which an answer counts as missing; longer than anything that HAProxy lets wait."""


@dataclass(frozen=True)
class Tally:
    """What became of the requests so far."""

    requests: int = 0
    failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    """Failed requests by what happened: a status, or the name of an exception."""
    versions: dict[str, int] = field(default_factory=dict)
    """Answers by the version that gave them, failed ones too."""
    slowest: float = 0.0
    """Seconds of the slowest request."""


def read_tally(path: Path) -> Tally:
    """The newest tally of a running or ended load; an empty one before the first."""
    try:
        return Tally(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Tally()


class Counting:
    """The counts, shared by all clients."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._errors: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
        self._requests = 0
        self._slowest = 0.0

    def count(self, error: str | None, version: str | None, seconds: float) -> None:
        """One request more; ``error`` is None if it was answered with 200."""
        with self._lock:
            self._requests += 1
            self._slowest = max(self._slowest, seconds)
            if error is not None:
                self._errors[error] += 1
            if version is not None:
                self._versions[version] += 1

    def tally(self) -> Tally:
        """The counts of this moment."""
        with self._lock:
            failed = self._errors.total()
            return Tally(self._requests, failed, dict(self._errors), dict(self._versions), round(self._slowest, 3))


@dataclass(frozen=True)
class Habit:
    """How one client asks."""

    method: str = "GET"
    keep: bool = True


HABITS = [Habit()] * 8 + [Habit(keep=False)] * 4 + [Habit(method="POST")] * 4


class Client:
    """One customer: sends a request each ``interval`` seconds, and does not skip those that it is late for."""

    def __init__(self, address: tuple[str, int], habit: Habit, interval: float, counting: Counting) -> None:
        self._address, self._habit, self._interval, self._counting = address, habit, interval, counting
        self._connection: http.client.HTTPConnection | None = None
        self._paths = itertools.cycle(PATHS)

    def run(self, first: float, stop: threading.Event) -> None:
        """Ask until told to stop; ``first`` is the monotonic time of the first request."""
        due = first
        while not stop.wait(max(0.0, due - time.monotonic())):
            self.ask(next(self._paths))
            due += self._interval
        self._hang_up()

    def ask(self, path: str) -> None:
        """Send one request and count what becomes of it."""
        begun = time.monotonic()
        version: str | None = None
        error: str | None = None
        try:
            status, version, last = self._exchange(path)
            error = None if status == 200 else str(status)
            if last or not self._habit.keep:
                self._hang_up()
        except (OSError, http.client.HTTPException) as failure:
            error = type(failure).__name__
            self._hang_up()
        self._counting.count(error, version, time.monotonic() - begun)

    def _exchange(self, path: str) -> tuple[int, str | None, bool]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=TIMEOUT)
        headers = {} if self._habit.keep else {"Connection": "close"}
        body = b"order=1" if self._habit.method == "POST" else None
        self._connection.request(self._habit.method, path, body, headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("X-App-Version"), answer.will_close

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def generate(url: str, rate: float, stop: threading.Event, save: Callable[[Tally], None]) -> None:
    """Load ``url`` with ``rate`` requests a second until ``stop``; ``save`` gets the tally again and again."""
    place = urlsplit(url)
    address = (place.hostname or "127.0.0.1", place.port or 80)
    counting = Counting()
    begin, interval = time.monotonic(), len(HABITS) / rate
    clients = [Client(address, habit, interval, counting) for habit in HABITS]
    threads = [
        threading.Thread(target=client.run, args=(begin + number / rate, stop), name=f"client-{number}")
        for number, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    while not stop.wait(0.1):
        save(counting.tally())
    for thread in threads:
        thread.join()
    save(counting.tally())


def write_tally(path: Path, tally: Tally) -> None:
    """Replace the file, so that a reader always finds a whole one."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(vars(tally)), encoding="utf-8")
    temporary.replace(path)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Send requests at a fixed rate and count those that fail.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--tally", required=True, type=Path)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    options = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the demo ends its load itself
    generate(options.url, options.rate, stop, lambda tally: write_tally(options.tally, tally))


if __name__ == "__main__":
    main()
