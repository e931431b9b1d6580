"""What is run before a service's process is stopped: the command ``quiesce`` of its release, to its end.

As with ``ExecStop`` in a unit of systemd: it runs while the process still does, in the release's folder, with the
service's environment and account, its output in the service's log; then the process is stopped as ever, whatever
became of the command. That it began is written down first: an agent that was killed meanwhile goes on waiting for it,
or begins it once more if it cannot be found; and a process that was told to finish is not kept, whoever wants it again.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.drivers.contracts import Retry, Terminal
from agent.drivers.supervisors.record import Quiesce, Record, Records
from agent.environment import fill, service_environment
from agent.processes import Processes, Start
from agent.role import Wake
from bus.clock import Clock
from crds.messages import ProcessIdentity
from crds.release import Release

MARK = "DRUMBEAT_QUIESCE"
"""In the command's environment: finds it if the agent died before it could write the identity."""
PID = "DRUMBEAT_PID"
"""Likewise: the process that is to be stopped."""
LOOK = 0.05
"""Seconds between looks at what ends without telling."""


def quiesce_of(release: Release, folder: Path, values: Mapping[str, str], base: Mapping[str, str]) -> Quiesce | None:
    """What has to be run before a process of the release is stopped; None if nothing has."""
    if release.quiesce is None:
        return None
    return Quiesce(
        command=[fill(part, values) for part in release.quiesce.command],
        folder=str(folder),
        environment=service_environment(base, release, values, {}),
        secrets=sorted(release.secrets),
        user=release.user,
        timeout=release.quiesce.timeout,
    )


@dataclass
class _Look:
    """What is known of a command only while this agent runs."""

    identity: ProcessIdentity
    since: float
    """When this agent first saw it, on the monotonic clock; its time begins anew with each agent."""
    woken: bool
    killed: bool = False


class Quiescing:
    """Runs these commands, one for each process, without waiting."""

    def __init__(self, processes: Processes, records: Records, clock: Clock, wake: Wake) -> None:
        self._processes, self._records, self._clock, self._wake = processes, records, clock, wake
        self._looks: dict[str, _Look] = {}
        self._troubles: dict[str, str] = {}
        self._log = logging.getLogger("agent.supervisor")

    def runs(self, record: Record) -> bool:
        """The command has begun, and has not ended."""
        asked = record.quiesce
        if asked is None or asked.over or asked.identity is None:
            return False
        return self._processes.alive(asked.identity)

    def go_on(self, record: Record, log: Path) -> tuple[Record, float | None]:
        """Begin the command or look after it; seconds until the next look, None once it is over. Raises Retry."""
        asked = record.quiesce
        if asked is None or asked.over:
            return record, None
        if asked.identity is None:
            record, asked = self._begin(record, asked, log)
        if asked.identity is None:
            return record, None
        look, now = self._look(record.target, asked.identity), self._clock.monotonic()
        if not self._processes.alive(asked.identity):
            return self._end(record, asked, self._trouble(asked, look)), None
        left = look.since + asked.timeout - now
        if left <= 0 and not look.killed:
            look.killed = True
            self._processes.stop(asked.identity, force=True)
        return record, left if look.woken and left > 0 else LOOK

    def trouble(self, target: str) -> str:
        """In words, what went wrong before the process that was stopped last, until another one is started."""
        return self._troubles.get(target, "")

    def tell(self, target: str) -> str:
        """The same, for the record of the process that takes its place."""
        return self._troubles.pop(target, "")

    def _begin(self, record: Record, asked: Quiesce, log: Path) -> tuple[Record, Quiesce]:
        found = self._processes.find(MARK, record.token) if asked.begun else []
        record, asked = self._note(record, asked, begun=True)
        try:
            identity = found[0] if found else self._processes.start(self._start(record, asked), log)
        except (Retry, Terminal) as error:
            record = self._end(record, asked, f"was not run: {error}")
            return record, asked
        return self._note(record, asked, identity=identity)

    def _start(self, record: Record, asked: Quiesce) -> Start:
        assert record.identity is not None
        given = self._processes.environment(record.identity) if asked.secrets else {}
        secrets = {variable: given[variable] for variable in asked.secrets if variable in given}
        told = {MARK: record.token, PID: str(record.identity.pid)}
        return Start(asked.command, Path(asked.folder), {**asked.environment, **secrets, **told}, asked.user)

    def _trouble(self, asked: Quiesce, look: _Look) -> str:
        if look.killed:
            return f"did not end within {asked.timeout:g} s and was killed"
        how = self._processes.ending(look.identity)
        return "" if how == "exited with status 0" else how

    def _end(self, record: Record, asked: Quiesce, trouble: str) -> Record:
        """It is over: what it left behind goes, too."""
        if asked.identity is not None:
            self._processes.sweep(MARK, record.token)
        self._looks.pop(record.target, None)
        if trouble:
            self._troubles[record.target] = f"quiesce {asked.command[0]} {trouble}"
            self._log.warning(
                "quiesce failed; the service is stopped all the same",
                extra={"target": record.target, "detail": trouble},
            )
        return self._note(record, asked, over=True)[0]

    def _look(self, target: str, identity: ProcessIdentity) -> _Look:
        if target not in self._looks or self._looks[target].identity != identity:
            woken = self._processes.watch(identity, self._wake)
            self._looks[target] = _Look(identity, self._clock.monotonic(), woken)
        return self._looks[target]

    def _note(self, record: Record, asked: Quiesce, **changes: object) -> tuple[Record, Quiesce]:
        asked = asked.model_copy(update=changes)
        record = record.model_copy(update={"quiesce": asked})
        self._records.write(record)
        return record, asked
