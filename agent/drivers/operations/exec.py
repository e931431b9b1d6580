"""Operation driver ``exec``: a command that must exit with 0."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.drivers.contracts import Outcome, Retry, Terminal
from agent.processes import Processes, Start
from agent.secrets import Secrets
from crds.base import FileModel
from crds.messages import OperationSpec

_PLACEHOLDER = re.compile(r"\{(url|host|version)\}")
_LINES, _WIDTH = 20, 300
"""What is kept of a command's output."""


class Config(FileModel):
    """Nothing is left to settings but where the scripts are, which the runner says."""


class Driver:
    """Implements agent.drivers.contracts.OperationDriver."""

    def __init__(
        self,
        processes: Processes,
        scripts: Path,
        environment: Mapping[str, str],
        secrets: Secrets,
        hide: Callable[[str], str] = str,
    ) -> None:
        """Commands run in the folder ``scripts``, with ``environment``, secrets, and DRUMBEAT_URL, _HOST and _VERSION.

        ``hide`` takes secrets out of what they write.
        """
        self._processes = processes
        self._scripts = scripts
        self._environment = dict(environment)
        self._secrets = secrets
        self._hide = hide

    def run(self, spec: OperationSpec, values: dict[str, str]) -> Outcome:
        command = [fill(part, values) for part in spec.command or []]
        if not command:
            return Outcome("failed", "there is no command to run; write one in the gate's exec")
        told = {f"DRUMBEAT_{name.upper()}": values.get(name, "") for name in ("url", "host", "version")}
        try:
            secrets = self._secrets.variables(spec.secrets, spec.target)
        except (Retry, Terminal) as error:
            return Outcome("inconclusive", f"the runner cannot get what the command needs: {error}")
        try:
            status, output = self._processes.run(
                Start(command, self._scripts, {**self._environment, **secrets, **told}), spec.timeout
            )
        except (Retry, Terminal) as error:
            return Outcome("inconclusive", f"the runner cannot start the command in {self._scripts}: {error}")
        lines = tail(self._hide(output))
        if status == 0:
            return Outcome("passed", log_tail=lines)
        words = f"no end within {spec.timeout:g} s; it was killed" if status is None else f"exit status {status}"
        return Outcome("failed", f"{command[0]}: {words}", lines)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values in for ``{url}``, ``{host}`` and ``{version}``; other braces stay as they are."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def tail(output: str) -> list[str]:
    """The last lines, none of them long."""
    return [line[:_WIDTH] for line in output.splitlines() if line.strip()][-_LINES:]
