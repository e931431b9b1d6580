"""From a service's spec and a version file to the release that hosts run."""

from crds.release import Release
from crds.service import ServiceSpec
from crds.versionfile import VersionFile


def release_of(spec: ServiceSpec, version: VersionFile) -> Release:
    """The release; only ``{version}`` in the URL is filled in here, the rest on the host itself."""
    artifact = spec.artifact
    return Release(
        version=version.version or "",
        url=artifact.url.replace("{version}", version.version or ""),
        sha256=version.sha256 or "",
        run=artifact.run,
        driver=artifact.driver,
        environment=artifact.environment,
        user=artifact.user,
        supervisor=artifact.supervisor,
        stop_timeout=artifact.stop_timeout,
    )
