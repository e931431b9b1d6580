"""Processes on Linux: /proc, sessions, process groups, accounts, pidfd.

Calls that only POSIX or Linux has are in modules of this name, so that everything else runs on Windows too.
"""

import contextlib
import os
import pwd
import re
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock, Thread
from typing import IO, Any

from agent.drivers.contracts import Retry, Terminal
from agent.processes import Start
from agent.role import Wake
from crds.messages import ProcessIdentity

_OUTPUT_KEPT = 16 * 1024
_ENDINGS_KEPT = 64


class PosixProcesses:
    """Implements agent.processes.Processes."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self.boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        self._children: dict[ProcessIdentity, subprocess.Popen[bytes]] = {}
        self._endings: deque[tuple[ProcessIdentity, int]] = deque(maxlen=_ENDINGS_KEPT)
        self._watch = _DeathWatch()

    def start(self, start: Start, log: Path) -> ProcessIdentity:
        with log.open("ab") as output:
            child = _spawn(start, output.fileno())
        # Until we reap it nobody else can have its pid, so this is it, even if it ended already.
        identity = self._identity(child.pid)
        self._children[identity] = child
        return identity

    def alive(self, identity: ProcessIdentity) -> bool:
        child = self._children.get(identity)
        if child is None:
            return self._is_there(identity)
        status = child.poll()
        if status is not None:
            del self._children[identity]
            self._endings.append((identity, status))
        return status is None

    def ending(self, identity: ProcessIdentity) -> str:
        for ended, status in self._endings:
            if ended == identity:
                return f"ended by {_signal_name(-status)}" if status < 0 else f"exited with status {status}"
        return ""

    def find(self, name: str, value: str) -> list[ProcessIdentity]:
        leaders = [pid for pid in self._with(name, value) if self._stat(pid, _SESSION) == str(pid)]
        found = [identity for identity in map(self._identity, leaders) if self._is_there(identity)]
        return sorted(found, key=lambda identity: int(identity.started))

    def matching(self, pattern: str, without: str) -> list[ProcessIdentity]:
        wanted, own = re.compile(pattern), os.getpid()
        pids = [int(entry.name) for entry in self._proc.iterdir() if entry.name.isdigit()]
        matches = {pid for pid in pids if pid != own and wanted.search(self._command_line(pid))}
        tops = [pid for pid in matches if int(self._stat(pid, _PARENT) or 0) not in matches]
        found = [self._identity(pid) for pid in tops]
        return sorted(
            (each for each in found if self._is_there(each) and without not in self.environment(each)),
            key=lambda identity: int(identity.started),
        )

    def may_signal(self, identity: ProcessIdentity) -> bool:
        try:
            os.kill(identity.pid, 0)
        except OSError:
            return False
        return self._is_there(identity)

    def stop(self, identity: ProcessIdentity, force: bool) -> None:
        if not self.alive(identity):
            return
        number = signal.SIGKILL if force else signal.SIGTERM
        if self._stat(identity.pid, _GROUP) == str(identity.pid):
            self._signal_group(identity.pid, number)
        else:  # its group is somebody else's, who may have started other things with it
            with contextlib.suppress(ProcessLookupError):
                os.kill(identity.pid, number)

    def sweep(self, name: str, value: str) -> bool:
        found = self._with(name, value)
        for pid in found:
            self._kill_if_ours(pid, name, value)
        return bool(found)

    def watch(self, identity: ProcessIdentity, wake: Wake) -> bool:
        try:
            handle = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            wake()
            return True
        except (AttributeError, OSError):
            return False
        self._watch.add(handle, wake)
        if not self._is_there(identity):  # the handle is of whoever has the pid now; ours is gone
            wake()
        return True

    def run(self, start: Start, timeout: float) -> tuple[int | None, str]:
        with TemporaryFile() as output:
            child = _spawn(start, output.fileno())
            try:
                status: int | None = child.wait(timeout)
            except subprocess.TimeoutExpired:
                status = None
                self._signal_group(child.pid, signal.SIGKILL)
                child.wait()
            begin = max(0, output.seek(0, os.SEEK_END) - _OUTPUT_KEPT)
            output.seek(begin)
            if begin:
                output.readline()  # no half of a line, as what is hidden is found whole only
            return status, output.read().decode(errors="replace")

    def ask(self, command: Sequence[str], environment: Mapping[str, str], timeout: float, most: int) -> bytes:
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb", buffering=0) as answer:
            try:
                start = Start(command, Path("/"), dict(environment))
                child = _spawn(start, writing, errors=subprocess.DEVNULL)
            except (Retry, Terminal) as error:
                raise Retry(str(error)) from error
            finally:
                os.close(writing)
            try:
                return self._answer(child, answer, time.monotonic() + timeout, most)
            except TimeoutError:
                raise Retry(f"did not end within {timeout:g} s and was killed") from None
            finally:
                if child.returncode is None:
                    self._signal_group(child.pid, signal.SIGKILL)
                    child.wait()

    def environment(self, identity: ProcessIdentity) -> dict[str, str]:
        try:
            raw = (self._proc / str(identity.pid) / "environ").read_bytes() if self._is_there(identity) else b""
        except OSError:
            return {}
        pairs = [line.decode(errors="replace").partition("=") for line in raw.split(b"\0")]
        return {name: value for name, equals, value in pairs if equals}

    def close(self) -> None:
        self._watch.close()

    def _answer(self, child: subprocess.Popen[bytes], answer: IO[bytes], deadline: float, most: int) -> bytes:
        said = b""
        while len(said) < most:
            if not select.select([answer], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            block = answer.read(most - len(said))
            if not block:
                break
            said += block
        else:
            return said  # whoever asked for so much has enough
        try:
            status = child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        if status != 0:
            raise Retry(f"ended by {_signal_name(-status)}" if status < 0 else f"exited with status {status}")
        return said

    def _identity(self, pid: int) -> ProcessIdentity:
        try:
            executable = str((self._proc / str(pid) / "exe").readlink())
        except OSError:  # a zombie has none
            executable = ""
        started = self._stat(pid, _STARTED) or "0"
        return ProcessIdentity(boot=self.boot, pid=pid, started=started, executable=executable)

    def _is_there(self, identity: ProcessIdentity) -> bool:
        """By boot, pid and start time: the executable changes when a wrapper script calls exec."""
        if identity.boot != self.boot or self._stat(identity.pid, _STARTED) != identity.started:
            return False
        return self._stat(identity.pid, _STATE) not in ("Z", "X", None)

    def _stat(self, pid: int, position: int) -> str | None:
        try:
            line = (self._proc / str(pid) / "stat").read_bytes()
        except OSError:
            return None
        return line.rpartition(b")")[2].split()[position].decode()

    def _command_line(self, pid: int) -> str:
        """Its words with spaces between; empty for what has none, such as the kernel's own."""
        try:
            raw = (self._proc / str(pid) / "cmdline").read_bytes()
        except OSError:
            return ""
        return raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")

    def _with(self, name: str, value: str) -> list[int]:
        """Who has this in the environment. Looked for at each end of a service, among all that the machine runs."""
        pids = [pid for pid in os.listdir(self._proc) if pid.isdigit()]  # noqa: PTH208  without a path for each
        return [int(pid) for pid in pids if self._has(pid, name, value)]

    def _has(self, pid: int | str, name: str, value: str) -> bool:
        try:
            with open(f"{self._proc}/{pid}/environ", "rb", buffering=0) as file:  # noqa: PTH123  as above
                said = file.read()
        except OSError:
            return False
        return f"\0{name}={value}\0".encode() in b"\0" + said + b"\0"

    def _kill_if_ours(self, pid: int, name: str, value: str) -> None:
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(pid)  # from here on the signal reaches this process or none
            try:
                if self._has(pid, name, value):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)

    def _signal_group(self, pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)


_STATE, _PARENT, _GROUP, _SESSION, _STARTED = 0, 1, 2, 3, 19
"""Positions in /proc/PID/stat behind the command's name (proc_pid_stat(5): fields 3, 4, 5, 6 and 22)."""


class _DeathWatch:
    """One thread that sleeps until one of the watched processes ends."""

    def __init__(self) -> None:
        self._poll: select.epoll | None = None
        self._wakes: dict[int, Wake] = {}
        self._lock = Lock()
        self._end = -1

    def add(self, handle: int, wake: Wake) -> None:
        with self._lock:
            if self._poll is None:
                self._begin()
            assert self._poll is not None
            self._wakes[handle] = wake
            self._poll.register(handle, select.EPOLLIN | select.EPOLLONESHOT)

    def close(self) -> None:
        with self._lock:
            if self._end >= 0:
                os.eventfd_write(self._end, 1)
                self._end = -1

    def _begin(self) -> None:
        self._poll = select.epoll()
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._poll.register(self._end, select.EPOLLIN)
        Thread(target=self._sleep, args=(self._poll, self._end), name="death-watch", daemon=True).start()

    def _sleep(self, poll: select.epoll, end: int) -> None:
        while True:
            for handle, _ in poll.poll():
                if handle == end:
                    self._drop_all(poll, end)
                    return
                with self._lock:
                    wake = self._wakes.pop(handle)
                os.close(handle)
                wake()

    def _drop_all(self, poll: select.epoll, end: int) -> None:
        with self._lock:
            for handle in (*self._wakes, end):
                os.close(handle)
            self._wakes.clear()
            poll.close()
            self._poll = None


def _spawn(start: Start, output: int, errors: int = subprocess.STDOUT) -> subprocess.Popen[bytes]:
    program = start.command[0]
    try:
        return subprocess.Popen(
            start.command,
            cwd=start.folder,
            env=start.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
            **_account(start.user),
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Terminal(
            f"cannot start {program!r}: it is not in {start.folder} (nor is it an absolute path or on PATH), or the "
            "interpreter in its first line is missing; mend 'run' or the archive"
        ) from error
    except PermissionError as error:
        raise Terminal(
            f"cannot start {program!r} in {start.folder}: it is not executable; set its mode in the archive"
        ) from error
    except OSError as error:
        raise _why_not(program, error) from error


def _why_not(program: str, error: OSError) -> Retry | Terminal:
    if error.errno == 8:  # ENOEXEC
        return Terminal(f"cannot start {program!r}: this machine cannot execute that format")
    return Retry(f"cannot start {program!r}: {error.strerror}")


def _account(user: str | None) -> dict[str, Any]:
    if user is None or (own := pwd.getpwuid(os.geteuid())).pw_name == user:
        return {}
    if os.geteuid() != 0:
        raise Terminal(
            f"cannot run as {user!r}: the agent runs as {own.pw_name!r}. Run the agent as root, or leave out 'user'"
        )
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise Terminal(
            f"cannot run as user {user!r}: there is no such account here; create it, or mend 'user'"
        ) from error
    groups = os.getgrouplist(user, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
