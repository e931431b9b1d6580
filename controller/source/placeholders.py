"""Which ``{names}`` are filled in where; any other is most likely a mistake that only a host would notice."""

import re
from collections.abc import Iterator

from controller.source.fields import near
from controller.source.problems import FieldPath
from crds.probe import Probe
from crds.service import PER_HOST, Artifact, Gate, Migration, ServiceSpec

_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_]\w*)\}")  # ${HOME} is the shell's
URL = ("version",)
HOST = ("address", "host", "version")
RUNNER = ("host", "url", "version")
ASKED = ("host", "version")


def unknown_placeholders(spec: ServiceSpec) -> Iterator[tuple[FieldPath, str, str]]:
    """Field, message and hint of each placeholder that nothing fills in."""
    for path, text, known in _texts(spec):
        for found in _PLACEHOLDER.finditer(text):
            if found[1] not in known:
                meant = near(found[1], known)
                hint = f"did you mean {{{meant}}}?" if meant else f"filled in here: {_listed(known)}"
                yield path, f"nothing fills in {found[0]}", hint


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)


def _texts(spec: ServiceSpec) -> Iterator[tuple[FieldPath, str, tuple[str, ...]]]:
    """Every text in which something is filled in: its field, itself, and the names it may use."""
    yield from _of_artifact(spec.artifact)
    for number, probe in enumerate(spec.probes):
        yield from _of_probe(("probes", number), probe)
    for number, gate in enumerate(spec.gates):
        yield from _of_gate(("gates", number), gate)
    for phase, migrations in (("expand", spec.migrations.expand), ("contract", spec.migrations.contract)):
        for number, migration in enumerate(migrations):
            yield from _of_migration(("migrations", phase, number), migration)


def _of_artifact(artifact: Artifact) -> Iterator[tuple[FieldPath, str, tuple[str, ...]]]:
    yield ("artifact", "url"), artifact.url, URL
    for number, word in enumerate(artifact.run):
        yield ("artifact", "run", number), word, HOST
    for number, word in enumerate(artifact.quiesce.command if artifact.quiesce else []):
        yield ("artifact", "quiesce", "command", number), word, HOST
    for name, value in artifact.environment.items():
        yield ("artifact", "environment", name), value, HOST


def _of_probe(at: FieldPath, probe: Probe) -> Iterator[tuple[FieldPath, str, tuple[str, ...]]]:
    for number, word in enumerate(probe.exec.command if probe.exec else []):
        yield (*at, "exec", "command", number), word, HOST


def _of_gate(at: FieldPath, gate: Gate) -> Iterator[tuple[FieldPath, str, tuple[str, ...]]]:
    of_host = gate.when in PER_HOST
    for number, word in enumerate(gate.exec.command if gate.exec else []):
        yield (*at, "exec", "command", number), word, RUNNER if of_host else URL
    if gate.http and gate.http.contains:
        yield (*at, "http", "contains"), gate.http.contains, ("version",)
    if gate.prometheus:
        yield (*at, "prometheus", "query"), gate.prometheus.query, ASKED if of_host else URL
        if gate.prometheus.samples:
            yield (*at, "prometheus", "samples", "query"), gate.prometheus.samples.query, ASKED if of_host else URL


def _of_migration(at: FieldPath, migration: Migration) -> Iterator[tuple[FieldPath, str, tuple[str, ...]]]:
    for field, words in (("command", migration.command), ("check", migration.check)):
        for number, word in enumerate(words):
            yield (*at, field, number), word, URL
