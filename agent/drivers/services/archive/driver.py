"""The driver: where artifacts and releases lie, and which are kept."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from urllib.parse import urlsplit

from pydantic import Field

from agent.drivers.contracts import Retry, Terminal
from agent.drivers.services.archive.fetch import checksum, disk_text, fetch
from agent.drivers.services.archive.limits import Limits
from agent.drivers.services.archive.stores import Stores
from agent.drivers.services.archive.unpack import SUFFIXES, unpack
from bus.clock import Clock
from bus.durable import sync_folder
from crds.release import Release


class Config(Limits):
    """Settings of the driver."""

    keep: int = Field(
        default=3, ge=1, description="releases and artifacts kept for each service, the running one apart"
    )


class Driver:
    """Implements agent.drivers.contracts.ServiceDriver.

    ``releases/TARGET/DIGEST`` is a whole release (16 digits of its digest), ``artifacts/TARGET/SHA256.SUFFIX`` a
    verified artifact; names that begin with a dot are unfinished and swept away.
    """

    def __init__(self, config: Config, folder: Path, platform: str, clock: Clock, stores: Stores | None = None) -> None:
        self._config = config
        self._folder = folder
        self._platform = platform
        self._clock = clock
        self._stores = stores or Stores()
        self._place = lru_cache(maxsize=256)(self._place_of)  # each pass of the agent asks for it several times
        self._locks: dict[str, Lock] = {}
        self._swept: set[str] = set()
        """Targets among whose artifacts nothing is left of downloads that ended with an agent before this one."""

    def fetch(self, target: str, release: Release) -> None:
        self.install(target, release)  # a folder beside the others disturbs nothing that runs

    def install(self, target: str, release: Release) -> Path:
        place = self._place(target, release.digest)
        if place.is_dir():
            return place
        artifact = self._artifact(target, release)  # may take long; whoever else has something to do here goes on
        with self._alone(target):
            try:
                self._unpack(artifact, release, place)
            except OSError as error:
                raise Retry(disk_text(error, place.parent)) from error
        return place

    def installed(self, target: str, digest: str) -> Path | None:
        place = self._place(target, digest)
        return place if place.is_dir() else None

    def remove(self, target: str, keep: set[str]) -> None:
        with self._alone(target):
            try:
                self._remove(target, keep)
            except OSError as error:
                raise Retry(f"cannot delete old releases of {target}: {error.strerror}") from error

    def _alone(self, target: str) -> Lock:
        """Held by the one thread that may change the target's folders: one would sweep away what another unpacks."""
        return self._locks.setdefault(target, Lock())

    def _unpack(self, artifact: Path, release: Release, place: Path) -> None:
        if place.is_dir():  # by another thread, meanwhile
            return
        self._sweep(place.parent)
        with self._beside(place) as fresh:
            self._check_again(artifact, release)
            unpack(artifact, fresh, self._config)
            fresh.rename(place)
        sync_folder(place.parent)

    def _remove(self, target: str, keep: set[str]) -> None:
        releases, artifacts = self._folder / "releases" / target, self._folder / "artifacts" / target
        if not keep:
            _delete(releases)
            _delete(artifacts)
            return
        kept = {self._place(target, digest) for digest in keep}
        for place in [place for place in _newest_first(releases) if place not in kept][self._config.keep :]:
            _delete(place)
        for place in _newest_first(artifacts)[self._config.keep :]:
            place.unlink(missing_ok=True)

    def _artifact(self, target: str, release: Release) -> Path:
        sha256 = release.sha256_for(self._platform)
        if sha256 is None:
            raise Terminal(
                f"version {release.version} has no artifact for {self._platform}: add its sha256 to the version file"
            )
        try:
            path = urlsplit(release.url).path
        except ValueError:
            raise Terminal("the artifact's url is no address; mend spec.artifact.url of the service") from None
        suffix = next((suffix for suffix in SUFFIXES if path.endswith(suffix)), None)
        if suffix is None:
            raise Terminal(f"{path} is not an archive that can be unpacked: its name must end in {', '.join(SUFFIXES)}")
        place = self._folder / "artifacts" / target / f"{sha256}{suffix}"
        self._sweep_downloads(target, place.parent)
        fetch(release.url, sha256, place, self._config, self._clock, self._stores)
        return place

    def _check_again(self, artifact: Path, release: Release) -> None:
        """What lay on disk since it was fetched is not trusted either."""
        if checksum(artifact) != release.sha256_for(self._platform):
            artifact.unlink(missing_ok=True)
            raise Retry("the fetched artifact was changed on disk; it is fetched again")

    def _place_of(self, target: str, digest: str) -> Path:
        return self._folder / "releases" / target / digest[:16]

    def _sweep(self, releases: Path) -> None:
        """Delete what an interrupted installation left."""
        for unfinished in releases.glob(".*"):
            _delete(unfinished)

    def _sweep_downloads(self, target: str, artifacts: Path) -> None:
        """Before the first of this agent alone: another thread may be at a later one, and deletes what it leaves."""
        if target in self._swept:
            return
        with self._alone(target):
            if target in self._swept:
                return
            try:
                for unfinished in artifacts.glob(".*.part"):
                    unfinished.unlink(missing_ok=True)
            except OSError as error:
                raise Retry(disk_text(error, artifacts)) from error
            self._swept.add(target)

    @contextmanager
    def _beside(self, place: Path) -> Iterator[Path]:
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(mkdtemp(prefix=".new-", dir=place.parent))
        try:
            fresh.chmod(0o755)
            yield fresh
        finally:
            if fresh.exists():
                shutil.rmtree(fresh, ignore_errors=True)


def _newest_first(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    whole = [place for place in folder.iterdir() if not place.name.startswith(".")]
    return sorted(whole, key=lambda place: (place.stat().st_mtime, place.name), reverse=True)


def _delete(folder: Path) -> None:
    """Take the name away first, so that no half of a release is ever found under it."""
    doomed = folder.with_name(f".old-{folder.name.lstrip('.')}")
    if doomed.exists():
        shutil.rmtree(doomed)
    if folder.exists():
        folder.rename(doomed)
        shutil.rmtree(doomed)
