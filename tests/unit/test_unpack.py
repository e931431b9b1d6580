"""Archives that are wrong or malicious leave nothing behind, and say why."""

import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.drivers.contracts import Terminal
from agent.drivers.services.archive.limits import Limits
from agent.drivers.services.archive.unpack import unpack
from tests.support.artifacts import add_entry, add_file

Fill = Callable[[tarfile.TarFile], object]


def tar(tmp_path: Path, fill: Fill, kind: str = "gz") -> Path:
    path = tmp_path / f"a.tar.{kind}"
    with tarfile.open(path, f"w:{kind}") as packed:  # type: ignore[call-overload]
        fill(packed)
    return path


def unpacked(tmp_path: Path, archive: Path, limits: Limits | None = None) -> Path:
    folder = tmp_path / "in" / "side"
    folder.mkdir(parents=True)
    unpack(archive, folder, limits or Limits())
    return folder


def link(name: str, to: str, hard: bool = False) -> Fill:
    kind = tarfile.LNKTYPE if hard else tarfile.SYMTYPE
    return lambda packed: add_entry(packed, name, type=kind, linkname=to)


def both(*fills: Fill) -> Fill:
    return lambda packed: [fill(packed) for fill in fills]


def plain(name: str, content: bytes = b"x", mode: int = 0o644) -> Fill:
    return lambda packed: add_file(packed, name, content, mode)


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_unpacks_files_folders_and_inner_links(tmp_path: Path, kind: str) -> None:
    fill = both(
        plain("./bin/run", b"#!/bin/sh\n", 0o4755),
        plain("lib/a.so.1", b"so"),
        link("lib/a.so", "a.so.1"),
        link("bin/lib", "../lib"),
        link("copy", "lib/a.so.1", hard=True),
    )
    folder = unpacked(tmp_path, tar(tmp_path, fill, kind))
    assert (folder / "bin/lib/a.so").read_bytes() == b"so"
    assert (folder / "copy").read_bytes() == b"so"
    assert stat.S_IMODE((folder / "bin/run").stat().st_mode) == 0o755, "set-user-id is stripped"
    assert stat.S_IMODE((folder / "lib/a.so.1").stat().st_mode) == 0o644


def test_unpacks_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        entry = zipfile.ZipInfo("bin/run")
        entry.external_attr = (stat.S_IFREG | 0o755) << 16
        packed.writestr(entry, "#!/bin/sh\n")
        packed.writestr("data/", "")
        packed.writestr("data/a.txt", "a")
    folder = unpacked(tmp_path, path)
    assert os.access(folder / "bin/run", os.X_OK)
    assert (folder / "data/a.txt").read_text() == "a"


CUTS = [512, 5120, 7000, 12_000]
"""Bytes of a tar whose members begin at multiples of 5120: within a header, between members, within a content, ..."""
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "xz": lzma.compress}


def in_streams(kind: str, cut: int, between: bytes = b"", after: bytes = b"") -> bytes:
    """A tar of three files, compressed in two pieces that were put one after another."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as packed:
        for number in range(3):
            add_file(packed, f"f{number}", bytes([number]) * (5120 - 512))
    raw, pack = content.getvalue(), PACKERS[kind]
    return pack(raw[:cut]) + between + pack(raw[cut:]) + after


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("cut", CUTS)
def test_unpacks_all_streams_of_an_archive(tmp_path: Path, kind: str, cut: int) -> None:
    archive = tmp_path / f"a.tar.{kind}"
    archive.write_bytes(in_streams(kind, cut, between=bytes(300_000), after=bytes(8)))
    folder = unpacked(tmp_path, archive)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        f"f{number}": bytes([number]) * (5120 - 512) for number in range(3)
    }


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("said", [{"after": b"rubbish"}, {"after": b"\0\0rub"}, {"between": b"rubbish"}])
def test_refuses_what_follows_a_stream_and_is_none(tmp_path: Path, kind: str, said: dict[str, bytes]) -> None:
    archive = tmp_path / f"a.tar.{kind}"
    archive.write_bytes(in_streams(kind, 5120, **said))
    with pytest.raises(Terminal, match="damaged"):
        unpacked(tmp_path, archive)


@pytest.mark.parametrize("kind", PACKERS)
def test_refuses_an_archive_whose_last_stream_is_cut_off(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / f"a.tar.{kind}"
    archive.write_bytes(in_streams(kind, 5120)[:-6])
    with pytest.raises(Terminal, match="damaged"):
        unpacked(tmp_path, archive)


MALICIOUS: dict[str, tuple[Fill, str]] = {
    "traversal": (plain("../evil"), "outside"),
    "hidden traversal": (plain("a/../../evil"), "outside"),
    "absolute": (plain("/tmp/evil"), "outside"),
    "windows separator": (plain("a\\..\\evil"), "Windows"),
    "windows drive": (plain("C:evil"), "Windows"),
    "windows device": (plain("lib/nul.txt"), "device name"),
    "trailing dot": (plain("lib/a."), "Windows"),
    "control letter": (plain("a\x07b"), "Windows"),
    "same name in another case": (both(plain("Readme"), plain("README")), "case"),
    "same folder in another case": (both(plain("Lib/a"), plain("lib/b")), "case"),
    "twice": (both(plain("a"), plain("a")), "twice"),
    "file as folder": (both(plain("a"), plain("a/b")), "as a file and as a folder"),
    "link outside": (link("a", "../evil"), "outside"),
    "absolute link": (link("a", "/etc/passwd"), "outside"),
    "link through a link": (both(link("b", "."), link("a", "b/../../evil")), "outside"),
    "write through a link": (both(link("a", "."), plain("a/evil")), "as a file and as a folder"),
    "hard link outside": (link("a", "../../evil", hard=True), "no file before it"),
    "hard link to a link": (both(plain("f"), link("l", "f"), link("a", "l", hard=True)), "no file before it"),
    "device": (lambda packed: add_entry(packed, "a", type=tarfile.CHRTYPE, devmajor=1, devminor=3), "devices"),
    "fifo": (lambda packed: add_entry(packed, "a", type=tarfile.FIFOTYPE), "devices"),
    "no name": (plain("."), "without a name"),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_refuses_what_an_archive_may_not_do(tmp_path: Path, name: str) -> None:
    fill, why = MALICIOUS[name]
    archive = tar(tmp_path, fill)
    with pytest.raises(Terminal, match=why):
        unpacked(tmp_path, archive)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["side"]


ZIPPED: dict[str, tuple[zipfile.ZipInfo, bytes, str]] = {
    "traversal": (zipfile.ZipInfo("../evil"), b"x", "outside"),
    "absolute": (zipfile.ZipInfo("/evil"), b"x", "outside"),
}


@pytest.mark.parametrize("name", ZIPPED)
def test_refuses_malicious_zips(tmp_path: Path, name: str) -> None:
    entry, content, why = ZIPPED[name]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(entry, content)
    with pytest.raises(Terminal, match=why):
        unpacked(tmp_path, tmp_path / "a.zip")


def test_refuses_a_zipped_link_outside(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("a")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(entry, "../../evil")
    with pytest.raises(Terminal, match="outside"):
        unpacked(tmp_path, tmp_path / "a.zip")


def test_refuses_a_bomb_by_its_ratio(tmp_path: Path) -> None:
    archive = tar(tmp_path, plain("zeros", bytes(24 * 1024**2)))
    assert archive.stat().st_size * 200 < 24 * 1024**2
    with pytest.raises(Terminal, match="times its size"):
        unpacked(tmp_path, archive)


def test_refuses_a_zip_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", bytes(24 * 1024**2))
    with pytest.raises(Terminal, match="times its size"):
        unpacked(tmp_path, tmp_path / "a.zip")


def test_refuses_more_than_the_agreed_bytes_before_writing_them(tmp_path: Path) -> None:
    archive = tar(tmp_path, both(plain("a", os.urandom(4000)), plain("b", os.urandom(4000))))
    with pytest.raises(Terminal, match="more than 6000 bytes"):
        unpacked(tmp_path, archive, Limits(unpacked_bytes=6000))


def test_refuses_too_many_entries(tmp_path: Path) -> None:
    archive = tar(tmp_path, both(*(plain(f"f{n}") for n in range(11))))
    with pytest.raises(Terminal, match="more than 10 entries"):
        unpacked(tmp_path, archive, Limits(entries=10))


def test_refuses_a_header_that_would_fill_the_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 3 * 1024**3
    with gzip.open(tmp_path / "a.tar.gz", "wb") as packed:
        packed.write(header.tobuf(tarfile.GNU_FORMAT))
        packed.write(bytes(1024))
    with pytest.raises(Terminal, match="header"):
        unpacked(tmp_path, tmp_path / "a.tar.gz")


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.xz", "a.zip"])
def test_says_that_a_damaged_archive_is_damaged(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is no archive")
    with pytest.raises(Terminal, match="damaged"):
        unpacked(tmp_path, tmp_path / name)


def test_says_that_a_truncated_archive_is_damaged(tmp_path: Path) -> None:
    archive = tar(tmp_path, plain("a", os.urandom(100_000)))
    archive.write_bytes(archive.read_bytes()[:50_000])
    with pytest.raises(Terminal, match="damaged"):
        unpacked(tmp_path, archive)


def test_a_folder_that_somebody_took_away_is_not_made_anew(tmp_path: Path) -> None:
    archive = tar(tmp_path, plain("lib/deep/a"))
    with pytest.raises(FileNotFoundError):
        unpack(archive, tmp_path / "gone", Limits())
    assert not (tmp_path / "gone").exists()


def test_refuses_an_encrypted_zip(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("a", "secret")
    raw = bytearray(content.getvalue())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(signature) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(raw)
    with pytest.raises(Terminal, match="encrypted"):
        unpacked(tmp_path, tmp_path / "a.zip")
