"""Operation driver ``exec``: a command that must exit with 0."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.drivers.contracts import Outcome, Retry, Terminal
from agent.processes import Processes, Start
from agent.secrets import Secrets
from crds.base import FileModel
from crds.messages import OperationSpec, ProcessIdentity

_PLACEHOLDER = re.compile(r"\{(url|host|version)\}")
LOCK = "DRUMBEAT_LOCK"
"""In the environment of migrations: by it they are found again after a crash of the agent."""
_LINES, _WIDTH = 20, 300
"""What is kept of a command's output."""


class Config(FileModel):
    """Nothing is left to settings but where the scripts are, which the runner says."""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and the last that it wrote."""

    status: int | None
    """Below 0: a signal ended it; None: it took too long and was killed."""
    words: str
    lines: list[str]


class Commands:
    """Runs commands of operations; more than one driver does."""

    def __init__(
        self,
        processes: Processes,
        scripts: Path,
        environment: Mapping[str, str],
        secrets: Secrets,
        hide: Callable[[str], str] = str,
        owner: str = "",
    ) -> None:
        """Commands run in the folder ``scripts``, with ``environment``, secrets, and DRUMBEAT_URL, _HOST and _VERSION.

        ``hide`` takes secrets out of what they write. ``owner`` tells this agent's commands from those of another one
        on the same machine.
        """
        self._owner = owner
        self._processes = processes
        self._scripts = scripts
        self._environment = dict(environment)
        self._secrets = secrets
        self._hide = hide

    def execute(
        self, spec: OperationSpec, command: Sequence[str], timeout: float, values: Mapping[str, str]
    ) -> Ended | Outcome:
        """Run a command to its end; an inconclusive outcome if it never began."""
        command = [fill(part, values) for part in command]
        told = {f"DRUMBEAT_{name.upper()}": values.get(name, "") for name in ("url", "host", "version")}
        if spec.migration is not None:
            told[LOCK] = self._held(spec.migration.lock, spec.target)
        try:
            secrets = self._secrets.variables(spec.secrets, spec.target)
        except (Retry, Terminal) as error:
            return Outcome("inconclusive", f"the runner cannot get what the command needs: {error}")
        try:
            status, output = self._processes.run(
                Start(command, self._scripts, {**self._environment, **secrets, **told}), timeout
            )
        except (Retry, Terminal) as error:
            return Outcome("inconclusive", f"the runner cannot start the command in {self._scripts}: {error}")
        words = f"no end within {timeout:g} s; it was killed" if status is None else f"exit status {status}"
        return Ended(status, f"{command[0]}: {words}", tail(self._hide(output)))

    def left_behind(self, lock: str, target: str) -> list[ProcessIdentity]:
        """Commands that run under a lock, whoever has started them."""
        return self._processes.find(LOCK, self._held(lock, target))

    def end(self, lock: str, target: str) -> None:
        """Kill what still runs under a lock."""
        for identity in self.left_behind(lock, target):
            self._processes.stop(identity, force=True)
        self._processes.sweep(LOCK, self._held(lock, target))

    def _held(self, lock: str, target: str) -> str:
        return f"{self._owner}:{lock}@{target.rpartition('@')[2]}"


class Driver:
    """Implements agent.drivers.contracts.OperationDriver."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def run(self, spec: OperationSpec, values: dict[str, str]) -> Outcome:
        if not spec.command:
            return Outcome("failed", "there is no command to run; write one in the gate's exec")
        ended = self._commands.execute(spec, spec.command, spec.timeout, values)
        if isinstance(ended, Outcome):
            return ended
        if ended.status == 0:
            return Outcome("passed", log_tail=ended.lines)
        return Outcome("failed", ended.words, ended.lines)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values in for ``{url}``, ``{host}`` and ``{version}``; other braces stay as they are."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def tail(output: str) -> list[str]:
    """The last lines, none of them long."""
    return [line[:_WIDTH] for line in output.splitlines() if line.strip()][-_LINES:]
