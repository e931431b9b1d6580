"""Work that takes longer than a pass of the core may take."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Lock
from typing import Any, Generic, ParamSpec, TypeVar

from agent.role import Wake

T = TypeVar("T")
P = ParamSpec("P")


class Inline(Executor):
    """Runs each job at once, in the caller's thread: for the simulator and for tests."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  a future carries what its job raised
            future.set_exception(error)
        return future


class Jobs(Generic[T]):
    """Jobs by key, one at a time for a key. Each end wakes the core, which takes the results in its own thread."""

    def __init__(self, executor: Executor, wake: Wake) -> None:
        self._executor = executor
        self._wake = wake
        self._lock = Lock()
        self._busy: set[str] = set()
        self._ended: list[tuple[str, Future[T]]] = []

    def start(self, key: str, job: Callable[..., T], *args: Any) -> None:
        """Run ``job(*args)`` on the executor; nothing happens while an earlier job of this key runs."""
        with self._lock:
            if key in self._busy:
                return
            self._busy.add(key)
        self._executor.submit(job, *args).add_done_callback(lambda future: self._end(key, future))

    def busy(self, key: str) -> bool:
        """Whether a job of this key has begun and its result has not been taken."""
        with self._lock:
            return key in self._busy

    def take(self) -> list[tuple[str, Future[T]]]:
        """The jobs that ended since the last call."""
        with self._lock:
            ended, self._ended = self._ended, []
            self._busy.difference_update(key for key, _ in ended)
        return ended

    def _end(self, key: str, future: Future[T]) -> None:
        with self._lock:
            self._ended.append((key, future))
        self._wake()
