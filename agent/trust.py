"""What a node believes about releases: nothing is installed, started or run that the pinned roots do not lead to.

The roots are a file that whoever sets the node up has written; the newest trust document that they have signed is
journaled, so that an older one is refused after a restart too. Verifying a statement takes about a millisecond, and is
done once for each; a pass costs 25 microseconds a service.
"""

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from agent.expiry import TOLERANCE
from agent.role import Steps
from bus.clock import Clock
from bus.trust import (
    NotTrusted,
    Roots,
    check_commands,
    check_expiry,
    open_trust,
    read_statement,
    release_statement,
    remedy,
    target_statement,
)
from crds.messages import OperationSpec, ServiceAssignment
from crds.probe import Probe
from crds.release import Release
from crds.trust import SignedCommand, TrustDocument, adopt_commands, probe_commands, prometheus_command

_KEPT = 256
"""Verdicts that are remembered; a node has a few services, a runner some operations."""
_PLAIN = re.compile(r"(?!-)[0-9A-Za-z.:_\[\]-]*")
"""What may be put into a signed command by who did not sign it: a host's name, an address. Neither begins with a dash,
as an option does."""
_NO_TRUST = (
    "no trust document has come that says whose signatures count; run: drumbeat release trust POLICY --root FILE, "
    "and commit what it writes"
)
T = TypeVar("T")
Check = Callable[[TrustDocument], None]


class NodeTrust:
    """One node's memory of whom to believe. Only the core's thread calls it.

    What it says is empty where something may be done; else why it must not be, and what to do. Without pinned roots
    everything may be done.
    """

    def __init__(self, roots: Roots | None, steps: Steps, clock: Clock) -> None:
        self._roots, self._steps, self._clock = roots, steps, clock
        self._document: TrustDocument | None = None
        self._in_force: dict[bytes, None] = {}
        """Envelopes that hold this document; their signatures may differ."""
        self._not_taken: dict[bytes, str] = {}
        """Documents that were not taken, and why."""
        self._verdicts: dict[bytes, NotTrusted | None] = {}
        self._told: dict[bytes, str] = {}
        self.trouble = ""
        """Why the trust document that came last was not taken; empty if it was."""
        self._log = logging.getLogger("agent.trust")
        self.refused: Counter[str] = Counter()
        """Things that were not done, and documents that were not taken, by reason."""
        if roots is not None:
            self._remember(roots)

    @property
    def version(self) -> int:
        """Of the trust document that is in force; 0 before the first."""
        return self._document.version if self._document else 0

    def take(self, texts: Iterable[str | None]) -> None:
        """Take the newest of the trust documents that came with something. Raises JournalProblem.

        Several may come at once: what was asked before a change still carries the one of then.
        """
        came = {text: _key(text) for text in texts if text and self._roots is not None}
        for text, key in came.items():
            if key not in self._in_force and key not in self._not_taken:
                self._take(text, key)
        refused = [self._not_taken[key] for key in came.values() if key in self._not_taken]
        self.trouble = refused[0] if refused and self._in_force.keys().isdisjoint(came.values()) else ""

    def _take(self, text: str, key: bytes) -> None:
        assert self._roots is not None
        try:
            document = open_trust(text, self._roots)
            self._check_newer(document)
        except NotTrusted as wrong:
            _keep(self._not_taken, key, self._refuse(key, wrong))
            return
        if document == self._document:
            _keep(self._in_force, key, None)
            return
        self._steps.save({"document": text})
        self._document, self._in_force = document, {key: None}
        self._verdicts.clear()
        self._log.info("took a trust document", extra={"version": document.version})

    def install(self, target: str, release: Release, said: ServiceAssignment) -> str:
        """May the release that ``said`` asks for be brought here and started?"""
        commands = probe_commands(said.probes) + adopt_commands(said.adopt)

        def check(document: TrustDocument) -> None:
            signed = release_statement(said.statement, document, target, release)
            check_commands(signed, target, commands)
            _check_value(target, said.address)

        return self._judge(_key("install", target, release.digest, said.statement, commands, said.address), check)

    def fetch(self, target: str, release: Release, statement: str | None) -> str:
        """May the release be fetched ahead?"""
        return self._judge(_key("fetch", target, release.digest, statement), _for_release(target, release, statement))

    def proven(self, target: str, release: Release, statement: str | None) -> bool:
        """Whether roots lead to the statement now: then it stays good for as long as that release is kept."""
        if self._roots is None or not statement:
            return False
        key = _key("fetch", target, release.digest, statement)
        return self._verdict(key, _for_release(target, release, statement)) is None

    def keep(self, target: str, said: ServiceAssignment) -> str:
        """May what is new around a release that is kept already be taken on? Probes are asked about one by one."""
        return self._judge_value(target, said.address)

    def probe(self, target: str, kept: ServiceAssignment, probe: Probe) -> str:
        """May the probe's command be run? ``kept`` holds the statement that was proven when it was taken on."""
        if self._roots is None or probe.exec is None:
            return ""
        try:
            if not kept.statement:
                raise NotTrusted("unsigned", f"no statement was proven for {target}; {remedy(target)}")
            check_commands(read_statement(kept.statement), target, probe_commands([probe]))
        except NotTrusted as wrong:
            return self._refuse(_key("probe", target, probe.exec.command), wrong)
        return ""

    def operate(self, spec: OperationSpec) -> str:
        """May the operation's command be run?"""
        command = _signed(spec)
        if command is None:
            return ""

        def check(document: TrustDocument) -> None:
            signed = target_statement(spec.statement, document, spec.target)
            check_commands(signed, spec.target, [command])
            if spec.version != signed.version:
                words = f"version {spec.version!r} was signed as {signed.version!r}; {remedy(spec.target)}"
                raise NotTrusted("wrong_value", words)
            for value in (spec.host or "", spec.address or "", spec.url or ""):
                _check_value(spec.target, value)

        return self._judge(_key("operate", repr(spec)), check)

    def _remember(self, roots: Roots) -> None:
        """What was taken before a restart.

        A document of former roots does not count: that is the way out when others have got hold of a root.
        """
        text = str(self._steps.load().get("document", ""))
        try:
            if text:
                self._document, self._in_force = open_trust(text, roots), {_key(text): None}
        except NotTrusted as wrong:
            self._log.warning("the journaled trust document is not believed any more", extra={"detail": wrong.detail})

    def _check_newer(self, document: TrustDocument) -> None:
        before = self._document
        if before is None or document.version > before.version or document == before:
            return
        if document.version == before.version:
            raise NotTrusted(
                "trust_changed",
                f"another version {document.version} of the trust document came than the one that is known here; "
                "write it with a higher version: drumbeat release trust POLICY --root FILE",
            )
        raise NotTrusted(
            "trust_older",
            f"version {document.version} of the trust document came, and version {before.version} is known here",
        )

    def _judge(self, key: bytes, check: Check) -> str:
        wrong = self._verdict(key, check) if self._roots is not None else None
        return self._refuse(key, wrong) if wrong else ""

    def _judge_value(self, target: str, value: str) -> str:
        try:
            if self._roots is not None:
                _check_value(target, value)
        except NotTrusted as wrong:
            return self._refuse(_key("value", target, value), wrong)
        return ""

    def _verdict(self, key: bytes, check: Check) -> NotTrusted | None:
        if self._document is None:
            return NotTrusted("no_trust", self.trouble or _NO_TRUST)
        if wrong := _attempt(lambda document: check_expiry(document, self._clock.now() - TOLERANCE), self._document):
            return wrong
        if key not in self._verdicts:
            _keep(self._verdicts, key, _attempt(check, self._document))
        return self._verdicts[key]

    def _refuse(self, key: bytes, wrong: NotTrusted) -> str:
        """Count and log it once, however often it is asked."""
        if self._told.get(key) != wrong.detail:
            _keep(self._told, key, wrong.detail)
            self.refused[wrong.reason] += 1
            times = self.refused[wrong.reason]
            self._log.warning(
                "not signed as it must be", extra={"reason": wrong.reason, "detail": wrong.detail, "times": times}
            )
        return wrong.detail


def _signed(spec: OperationSpec) -> SignedCommand | None:
    """What must have been signed of an operation; None if it only asks the service that it tests."""
    if spec.prometheus is not None:
        return prometheus_command(spec.prometheus, spec.secrets)
    if spec.command is None:
        return None
    if spec.migration is not None:
        return SignedCommand(spec.migration.phase, spec.command, spec.secrets, spec.migration.check)
    return SignedCommand("gate", spec.command, spec.secrets)


def _for_release(target: str, release: Release, statement: str | None) -> Check:
    def check(document: TrustDocument) -> None:
        release_statement(statement, document, target, release)

    return check


def _attempt(check: Check, document: TrustDocument) -> NotTrusted | None:
    try:
        check(document)
    except NotTrusted as wrong:
        return wrong
    return None


def _key(*parts: object) -> bytes:
    """A short name for what was asked: statements may be large, and come from anybody."""
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()


def _keep(memory: dict[bytes, T], key: bytes, value: T) -> None:
    """Remember it, and forget the oldest where there is too much."""
    memory[key] = value
    while len(memory) > _KEPT:
        del memory[next(iter(memory))]


def _check_value(target: str, value: str) -> None:
    """Values that are put into signed commands are not signed themselves: none may become a command, or an option."""
    if not _PLAIN.fullmatch(value):
        words = f"{value[:100]!r} cannot be put into a command of {target}: it is neither a name nor an address"
        raise NotTrusted("wrong_value", words)
