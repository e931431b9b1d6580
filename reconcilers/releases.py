"""The release that a service's spec and a version file make, and what is signed about it."""

from typing import Literal

from crds.release import Quiesce, Release
from crds.service import Artifact, Contract, Gate, Migration, ServiceSpec
from crds.trust import SignedCommand, Statement, adopt_commands, probe_commands, prometheus_command
from crds.versionfile import VersionFile
from reconcilers.questions import prometheus_secrets, question


def release_of(spec: ServiceSpec, version: VersionFile) -> Release:
    """All that a host runs: the spec's artifact with the version filled into its URL.

    ``{host}``, ``{address}`` and ``{version}`` in the command stay as written: the host fills them in. Raises
    ValueError for a version file that removes the service.
    """
    if version.version is None or version.sha256 is None:
        raise ValueError("a version file with state: absent makes no release")
    artifact = spec.artifact
    return Release(
        version=version.version,
        url=artifact.url.replace("{version}", version.version),
        sha256=version.sha256,
        run=artifact.run,
        driver=artifact.driver,
        environment=artifact.environment,
        secrets=artifact.secrets,
        user=artifact.user,
        supervisor=artifact.supervisor,
        stop_timeout=artifact.stop_timeout,
        quiesce=_quiesce(artifact),
    )


def _quiesce(artifact: Artifact) -> Quiesce | None:
    said = artifact.quiesce
    return Quiesce(command=said.command, timeout=said.timeout) if said else None


def statement_of(
    service: str, spec: ServiceSpec, release: Release, fleets: list[str] | Literal["all"], sequence: int
) -> Statement:
    """All that nodes run for the release: itself, and the commands of probes and gates."""
    return Statement(
        service=service,
        fleets=fleets,
        version=release.version,
        release=release.digest,
        commands=sorted({command.digest for command in commands_of(spec)}),
        sequence=sequence,
    )


def commands_of(spec: ServiceSpec) -> list[SignedCommand]:
    """Every command around the release, with what it is for and what it is handed."""
    migrations = [*spec.migrations.expand, *spec.migrations.contract]
    adopt = adopt_commands(spec.adopt.process if spec.adopt else None)
    around = [*(migration_command(each) for each in migrations), *adopt]
    return probe_commands(spec.probes) + gate_commands(spec.gates) + around


def gate_commands(gates: list[Gate]) -> list[SignedCommand]:
    """What runners do for a service's gates beside asking the service itself."""
    commands = [SignedCommand("gate", gate.exec.command, gate.exec.secrets) for gate in gates if gate.exec is not None]
    asked = [gate.prometheus for gate in gates if gate.prometheus is not None]
    return commands + [prometheus_command(question(each), prometheus_secrets(each)) for each in asked]


def migration_command(migration: Migration) -> SignedCommand:
    """A migration's command, together with its check."""
    kind: Literal["expand", "contract"] = "contract" if isinstance(migration, Contract) else "expand"
    return SignedCommand(kind, migration.command, migration.secrets, migration.check)
