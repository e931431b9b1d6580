"""Artifacts come over real HTTP: whole and verified, or not at all, and the error says what to do."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.contracts import Retry, Terminal
from agent.drivers.services.archive import Config, Driver
from agent.drivers.services.archive.unpack import unpack
from bus.clock import SystemClock
from crds.release import Release
from tests.support.artifacts import release_of, serving, tar_gz, zip_file
from tests.support.waiting import eventually

TARGET = "api@prod"


def driver(tmp_path: Path, platform: str = "linux", **limits: Any) -> Driver:
    return Driver(Config(**limits), tmp_path / "state", platform, SystemClock())


def published(tmp_path: Path, url: str, **said: Any) -> Release:
    path = tmp_path / "api.tar.gz"
    tar_gz({"run": "#!/bin/sh\n"}, path)
    return release_of(path, ["./run"], **{"url": url, **said})


def left(tmp_path: Path) -> list[str]:
    return sorted(str(path.relative_to(tmp_path / "state")) for path in (tmp_path / "state").rglob("*.*"))


def answer(status: int) -> Callable[[Any], None]:
    return lambda handler: handler.send_error(status)


def cut_off(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b"x" * 1000)


def test_what_is_fetched_is_not_fetched_again(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        release = published(tmp_path, server.url("api.tar.gz"))
        driver(tmp_path).fetch(TARGET, release)
        folder = driver(tmp_path).install(TARGET, release)
        other = release.model_copy(update={"environment": {"A": "1"}})
        again = driver(tmp_path).install(TARGET, Release.model_validate(other.model_dump()))
        assert server.asked == ["/api.tar.gz"]
    assert folder != again
    assert (again / "run").read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize(
    ("status", "kind"), [(404, Terminal), (403, Terminal), (429, Retry), (500, Retry), (503, Retry)]
)
def test_refusals_are_final_only_if_they_are_the_releases_fault(
    tmp_path: Path, status: int, kind: type[Exception]
) -> None:
    with serving(tmp_path) as server:
        release = published(tmp_path, server.url("api.tar.gz"))
        server.answers.append(answer(status))
        with pytest.raises(kind, match=str(status)):
            driver(tmp_path).fetch(TARGET, release)
        driver(tmp_path).fetch(TARGET, release)


def cut_off_between_chunks(handler: Any) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"5\r\nxxxxx\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("answer", [cut_off, cut_off_between_chunks])
def test_a_download_that_breaks_off_is_tried_again(tmp_path: Path, answer: Callable[[Any], None]) -> None:
    with serving(tmp_path) as server:
        release = published(tmp_path, server.url("api.tar.gz"))
        server.answers.append(answer)
        with pytest.raises(Retry):
            driver(tmp_path).fetch(TARGET, release)
        assert left(tmp_path) == []


def without_length(content: bytes) -> Callable[[Any], None]:
    """An answer that ends where the connection does."""

    def answer(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def test_a_download_of_no_known_length_that_is_wrong_may_have_broken_off(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        release = published(tmp_path, server.url("api.tar.gz"))
        whole = (tmp_path / "api.tar.gz").read_bytes()
        server.answers += [without_length(whole[:50]), without_length(whole)]
        with pytest.raises(Retry, match="broken off; if this lasts, the artifact was replaced"):
            driver(tmp_path).fetch(TARGET, release)
        assert left(tmp_path) == []
        driver(tmp_path).fetch(TARGET, release)
        assert server.answers == []


def test_another_content_than_agreed_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        release = published(tmp_path, server.url("api.tar.gz"), sha256="0" * 64)
        with pytest.raises(Terminal, match="sha256"):
            driver(tmp_path).install(TARGET, release)
    assert left(tmp_path) == []


def test_a_larger_artifact_than_allowed_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        release = published(tmp_path, server.url("api.tar.gz"))
        with pytest.raises(Terminal, match="artifactBytes"):
            driver(tmp_path, artifact_bytes=10).fetch(TARGET, release)
    assert left(tmp_path) == []


def test_an_artifact_changed_on_disk_is_fetched_again(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        release = published(tmp_path, server.url("api.tar.gz"))
        driver(tmp_path).fetch("other@prod", release)
        (tmp_path / "state/artifacts/other@prod").rename(tmp_path / "state/artifacts" / TARGET)
        (artifact,) = (tmp_path / "state/artifacts" / TARGET).iterdir()
        artifact.write_bytes(b"changed")
        with pytest.raises(Retry, match="changed on disk"):
            driver(tmp_path).install(TARGET, release)
        assert driver(tmp_path).install(TARGET, release).is_dir()


def test_secrets_in_a_url_are_not_in_the_error(tmp_path: Path) -> None:
    release = published(tmp_path, "http://user:secret@127.0.0.1:1/api.tar.gz?signature=secret")
    with pytest.raises(Retry) as caught:
        driver(tmp_path).fetch(TARGET, release)
    assert "secret" not in str(caught.value)
    assert "/api.tar.gz" in str(caught.value)


def test_each_platform_has_its_own_artifact(tmp_path: Path) -> None:
    path = tmp_path / "api.zip"
    checksum = zip_file({"run.exe": "MZ"}, path)
    release = release_of(path, ["run.exe"], sha256={"windows": checksum})
    assert driver(tmp_path, "windows").install(TARGET, release)
    with pytest.raises(Terminal, match="no artifact for linux"):
        driver(tmp_path, "linux").install("other@prod", release)


def test_an_installation_cut_short_is_done_again(tmp_path: Path) -> None:
    release = published(tmp_path, (tmp_path / "api.tar.gz").as_uri())
    half = tmp_path / "state/releases" / TARGET / ".new-interrupted"
    half.mkdir(parents=True)
    (half / "run").write_text("half")
    folder = driver(tmp_path).install(TARGET, release)
    assert not half.exists()
    assert (folder / "run").read_text() == "#!/bin/sh\n"


def test_two_jobs_of_one_target_do_not_disturb_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is unpacking when another one comes, which sweeps away what is unfinished."""
    one = published(tmp_path, (tmp_path / "api.tar.gz").as_uri())
    two = release_of(tmp_path / "api.tar.gz", ["./run"], "2")
    shared, others = driver(tmp_path), list[threading.Thread]()

    def interrupted(*said: Any) -> None:
        unpack(*said)
        if not others:
            others.append(threading.Thread(target=shared.fetch, args=[TARGET, two]))
            others[0].start()
            others[0].join(0.5)  # it cannot end: it waits for us

    monkeypatch.setattr("agent.drivers.services.archive.driver.unpack", interrupted)
    folder = shared.install(TARGET, one)
    others[0].join(20.0)
    for whole in (folder, shared.installed(TARGET, two.digest)):
        assert whole and (whole / "run").read_text() == "#!/bin/sh\n"


def test_a_download_that_ended_with_its_agent_leaves_nothing(tmp_path: Path) -> None:
    release = published(tmp_path, (tmp_path / "api.tar.gz").as_uri())
    part = tmp_path / "state/artifacts" / TARGET / f".{'0' * 64}.tar.gz.140.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    driver(tmp_path).fetch(TARGET, release)
    assert [path.name for path in part.parent.iterdir()] == [f"{release.sha256}.tar.gz"]


def test_a_download_under_way_is_left_alone(tmp_path: Path) -> None:
    one = published(tmp_path, (tmp_path / "api.tar.gz").as_uri())
    with serving(tmp_path) as server:
        path = tmp_path / "two.tar.gz"
        tar_gz({"run": "2"}, path)
        two = release_of(path, ["./run"], url=server.url("two.tar.gz"))
        shared = driver(tmp_path)

        def interrupted(handler: Any) -> None:
            content = path.read_bytes()
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content[:10])
            eventually(lambda: any((tmp_path / "state").rglob("*.part")))
            shared.install(TARGET, one)
            handler.wfile.write(content[10:])

        server.answers.append(interrupted)
        assert (shared.install(TARGET, two) / "run").read_text() == "2"
    assert shared.installed(TARGET, one.digest)


def test_a_full_disk_is_tried_again_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = published(tmp_path, (tmp_path / "api.tar.gz").as_uri())

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as planted:
        planted.setattr("agent.drivers.services.archive.unpack.os.fsync", full)
        with pytest.raises(Retry, match="No space left"):
            driver(tmp_path).install(TARGET, release)
    assert driver(tmp_path).installed(TARGET, release.digest) is None
    assert driver(tmp_path).install(TARGET, release)
