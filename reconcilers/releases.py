"""The release that a service's spec and a version file make."""

from crds.release import Release
from crds.service import ServiceSpec
from crds.versionfile import VersionFile


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
    )
