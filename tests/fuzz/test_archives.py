"""Any archive is unpacked inside its folder or refused with a reason: at most 5 s and 128 MiB for one of a few kB."""

import contextlib
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.drivers.contracts import Terminal
from agent.drivers.services.archive.limits import Limits
from agent.drivers.services.archive.unpack import unpack
from tests.fuzz.budget import bounded, fuzzed

LIMITS = Limits(artifact_bytes=2**20, unpacked_bytes=64 * 2**20, entries=200)
SECONDS, MEBIBYTES = 5, 128


def refused(name: str, content: bytes, limits: Limits = LIMITS) -> str:
    """Why the archive is refused; empty if it was unpacked. Whatever it is, it stays in its folder."""
    with TemporaryDirectory() as place, bounded(SECONDS, MEBIBYTES):
        root = Path(place)
        folder = root / "releases" / "new"
        folder.mkdir(parents=True)
        (root / "precious").write_text("mine")
        archive = root / name
        archive.write_bytes(content)
        before = outside(folder)
        why = ""
        try:
            unpack(archive, folder, limits)
        except Terminal as error:
            why = str(error) or "refused without a word"
            why.encode()  # it goes into a report
        assert sorted(path.name for path in root.iterdir()) == sorted([name, "precious", "releases"])
        assert [path.name for path in (root / "releases").iterdir()] == ["new"]
        assert (root / "precious").read_text() == "mine" and (root / "precious").stat().st_nlink == 1
        assert outside(folder) == before
        assert_inside(folder)
        return why


def outside(folder: Path) -> list[tuple[int, int, int, int]]:
    """Modes, owners and times of what an archive must not touch, and the mode of its own folder."""
    root = folder.parent.parent
    found = [path.lstat() for path in (root, root / "precious", folder.parent)]
    return [(said.st_mode, said.st_uid, said.st_gid, said.st_mtime_ns) for said in found] + [
        (folder.stat().st_mode,) * 4
    ]


def assert_inside(folder: Path) -> None:
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(RuntimeError):  # a link to itself leads nowhere
            assert path.resolve().is_relative_to(folder.resolve()), f"{path} leads to {path.resolve()}"
        mode = path.lstat().st_mode
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
        size += path.lstat().st_size if stat.S_ISREG(mode) else 0
    assert size <= LIMITS.unpacked_bytes


Entry = tuple[tarfile.TarInfo, bytes]


def tar(*entries: Entry, form: int = tarfile.GNU_FORMAT) -> bytes:
    raw = b""
    for info, content in entries:
        raw += info.tobuf(form, "utf-8", "surrogateescape") + content + bytes(-len(content) % 512)
    return gzip.compress(raw + bytes(1024), 1)


def entry(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, to: str = "", **said: int) -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, to, said.get("size", len(content))
    info.mode, info.mtime = said.get("mode", info.mode), said.get("mtime", 0)
    return info, content


def pax(records: dict[str, str], kind: bytes = tarfile.XHDTYPE) -> Entry:
    lines = b""
    for key, value in records.items():
        rest = f" {key}={value}\n".encode("utf-8", "surrogateescape")
        length = next(n for n in range(len(rest), len(rest) + 9) if len(str(n)) + len(rest) == n)
        lines += str(length).encode() + rest
    return entry("././@PaxHeader", lines, kind)


def symlink(name: str, to: str) -> Entry:
    return entry(name, kind=tarfile.SYMTYPE, to=to)


def long_realpath() -> bytes:
    """CVE-2025-4517: each link is short, the real path longer than PATH_MAX, where realpath() gives up."""
    deep, path, entries = "d" * 247, "", []
    for letter in "abcdefghijklmnop":
        path = f"{path}/{deep}".lstrip("/")
        entries += [entry(path, kind=FOLDER), symlink(f"{path[: -len(deep)]}{letter}", deep)]
        path = path[: -len(deep)] + letter
    way_out = "/".join("abcdefghijklmnop") + "/" + "l" * 254
    up = "../" * 16
    escape = [symlink(way_out, up), symlink("escape", f"{way_out}/../../precious"), entry("escape", b"owned")]
    return tar(*entries, *escape)


HARD, PAX, FOLDER = tarfile.LNKTYPE, tarfile.PAX_FORMAT, tarfile.DIRTYPE
SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(2**60)}
FILTERED: dict[str, bytes] = {
    "CVE-2025-4517 a real path that is too long": long_realpath(),
    "CVE-2025-4330 a hard link to a link that has moved": tar(
        *(
            entry("a/t/dummy", b"x"),
            entry("b", kind=FOLDER),
            symlink("c", "a/t"),
            symlink("c/escape", "../../precious"),
        ),
        *(symlink("c", "b"), entry("boom", kind=HARD, to="c/escape"), entry("boom", b"owned")),
    ),
    "CVE-2025-4330 a hard link to a link": tar(
        symlink("a/b/c/up", "../../../precious"), entry("x", kind=HARD, to="a/b/c/up"), entry("x", b"owned")
    ),
    "CVE-2025-4138 a link through one that comes later": tar(
        symlink("escape", "link/link/../../precious"), symlink("link", "./"), entry("escape", b"owned")
    ),
    "CVE-2024-12718 the time of a folder that has become a link": tar(
        *(symlink("d", "."), entry("d", kind=FOLDER, mode=0o777, mtime=1)),
        *(symlink("d", "link/link/../.."), symlink("link", "./")),
    ),
}
"""Each gets past the data filter of the tar library of some version of Python, and touches what lies outside."""
TARS: dict[str, bytes] = {
    **FILTERED,
    "link to what is not there yet": tar(symlink("a", "b/../.."), symlink("b", "."), entry("a/evil", b"x")),
    "mode of a link to a folder": tar(symlink("up", ".."), entry("up", kind=FOLDER, mode=0o777, mtime=1)),
    "mode of the folder above": tar(entry("a/..", kind=FOLDER, mode=0, mtime=1)),
    "mode of a hard link": tar(entry("h", kind=HARD, to="../../precious", mode=0o777, mtime=1)),
    "path that climbs": tar(entry("a/../../../precious", b"owned")),
    "absolute path": tar(entry("/etc/drumbeat-was-here", b"owned")),
    "offset that leads back": tar(pax({"GNU.sparse.size": "-512", "size": "-512"}), entry("x", b"x")),
    "long path": tar(*(entry("/".join(["d" * 200] * n), kind=FOLDER) for n in range(1, 30)), form=PAX),
    "chain of links": tar(symlink("a", "."), symlink("b", "a/.."), entry("b/evil", b"x")),
    "links that climb": tar(symlink("a/b", ".."), symlink("c", "a/b/.."), entry("c/precious", b"x")),
    "link to itself": tar(symlink("a", "a"), entry("a/b", b"x")),
    "empty link": tar(symlink("a", "")),
    "long link": tar(symlink("a", "/".join(["b" * 200] * 30))),
    "link in another encoding": tar(symlink("a", "caf\udce9")),
    "hard link through a link": tar(symlink("a", ".."), entry("b", kind=HARD, to="a/precious")),
    "hard link through a chain": tar(symlink("d/a", ".."), entry("b", kind=HARD, to="d/a/../precious")),
    "hard link to a folder": tar(entry("a", kind=FOLDER), entry("b", kind=HARD, to="a")),
    "hard link to itself": tar(entry("b", kind=HARD, to="b")),
    "hard link to what is written again": tar(entry("a", b"x"), entry("b", kind=HARD, to="a"), entry("b", b"y")),
    "gnu long name": tar(entry("././@LongLink", b"../" * 50 + b"evil\0", tarfile.GNUTYPE_LONGNAME), entry("x", b"x")),
    "endless long name": tar(entry("././@LongLink", b"", tarfile.GNUTYPE_LONGNAME, size=2**33), entry("x", b"x")),
    "pax path": tar(pax({"path": "../../precious"}), entry("x", b"x")),
    "pax link": tar(pax({"linkpath": "../../../precious"}), symlink("x", "y")),
    "pax size": tar(pax({"size": str(2**62)}), entry("x", b"x")),
    "pax negative size": tar(pax({"size": "-1024"}), entry("x", b"x"), entry("y", b"y")),
    "pax zero byte": tar(pax({"path": "a\0b"}), entry("x", b"x")),
    "pax global path": tar(pax({"path": "../evil"}, tarfile.XGLTYPE), entry("x", b"x")),
    "pax digits": tar(entry("././@PaxHeader", b"1" * 65_000, tarfile.XHDTYPE), entry("x", b"x")),
    "pax sparse": tar(pax(SPARSE), entry("x", b"1\n0\n9999999999\n" + bytes(498))),
    "pax sparse map": tar(pax({"GNU.sparse.map": f"0,{2**63 - 1}", "GNU.sparse.size": str(2**63)}), entry("x", b"x")),
    "old sparse": tar(entry("x", b"x", tarfile.GNUTYPE_SPARSE)),
    "pax on pax": tar(*[pax({"comment": "x"})] * 3000, entry("x", b"x")),
    "negative size": tar(entry("x", b"", size=-512), entry("y", b"y")),
    "enormous size": tar(entry("x", b"", size=2**80)),
    "name in another encoding": tar(entry("caf\udce9", b"x")),
    "same name composed and not": tar(entry("caf\u00e9", b"x"), entry("cafe\u0301", b"x")),
    "folder over a link": tar(symlink("a", ".."), entry("a", kind=FOLDER), entry("a/x", b"x")),
    "unknown type": tar(entry("x", b"x", b"Z"), entry("x", b"x")),
    "contiguous": tar(entry("x", b"x", tarfile.CONTTYPE), entry("X", b"x")),
    "thousands of entries": tar(*(entry(f"f{n}", b"") for n in range(5000))),
}  # fmt: skip


@pytest.mark.parametrize("name", TARS)
def test_refuses_tars_that_were_made_to_get_out_or_to_fill_the_machine(name: str) -> None:
    assert refused("a.tar.gz", TARS[name])


def test_nothing_is_written_of_what_is_refused_nor_of_what_follows_it(tmp_path: Path) -> None:
    """CVE-2025-4435: a refused entry was written all the same where errors were to be passed over."""
    folder, archive = tmp_path / "new", tmp_path / "a.tar.gz"
    folder.mkdir()
    archive.write_bytes(tar(entry("good", b"x"), entry("bad:name", b"x"), entry("later", b"x")))
    with pytest.raises(Terminal):
        unpack(archive, folder, LIMITS)
    assert [path.name for path in folder.iterdir()] == ["good"]


def test_no_entry_says_what_mode_or_time_the_folder_itself_has() -> None:
    """CVE-2024-12718, where nothing else is wrong: ``refused`` compares them."""
    assert refused("a.tar.gz", tar(entry(".", kind=FOLDER, mode=0, mtime=1), entry("x", b"x", mode=0o7777))) == ""


def test_refuses_an_xz_that_asks_for_gigabytes_of_memory() -> None:
    content = bytearray(lzma.compress(gzip.decompress(tar(entry("x", b"x")))))
    assert content[14:16] == b"\x21\x01"  # the only filter, LZMA2, and one byte of properties
    content[16] = 40  # a dictionary of 4 GiB
    content[20:24] = struct.pack("<I", zlib.crc32(content[12:20]))
    assert "Memory usage limit" in refused("a.tar.xz", bytes(content))


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytearray:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as packed:
        for name, data in entries:
            packed.writestr(name, data)
    return bytearray(content.getvalue())


def central(content: bytearray) -> int:
    return content.index(b"PK\x01\x02")


def renamed() -> bytes:
    """The list of entries says something else than the entries themselves."""
    content = zipped(("nice/", b""), ("aaaa", b"x"))
    at = content.index(b"aaaa", central(content))
    content[at : at + 4] = b"../b"
    return bytes(content)


def overlapping() -> bytes:
    """One compressed content under many names: the list leads to it again and again (Fifield 2019)."""
    content = zipped(("f0", bytes(2**20)))
    at, end = central(content), content.index(b"PK\x05\x06")
    listed = b"".join(bytes(content[at:end]).replace(b"f0", b"%02d" % n) for n in range(90))
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 90, 90, len(listed), at, 0)
    return bytes(content[:at]) + listed + tail


def patched(offset: int, value: bytes) -> bytes:
    content = zipped(("a", b"x" * 1000))
    at = central(content) + offset
    content[at : at + len(value)] = value
    return bytes(content)


def before_the_beginning() -> bytes:
    """The list lies earlier than it says, so all that it lists does too."""
    content = zipped(("a", b"x" * 1000))
    at = content.index(b"PK\x05\x06") + 16
    content[at : at + 4] = struct.pack("<I", central(content) + 500)
    return bytes(content)


def many_listed() -> bytes:
    one = bytes(zipped(("a", b"x")))
    at, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    listed = one[at:end] * 400_000
    return one[:at] + listed + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 65535, 65535, len(listed), at, 0)


ZIPS: dict[str, bytes] = {
    "another name in the list": renamed(),
    "overlapping": overlapping(),
    "smaller than it is": patched(24, struct.pack("<I", 3)),
    "larger than it is": patched(24, struct.pack("<I", 2**31)),
    "another place": patched(42, struct.pack("<I", 2**31)),
    "before the beginning": before_the_beginning(),
    "another checksum": patched(16, b"\0\0\0\0"),
    "unknown method": patched(10, struct.pack("<H", 97)),
    "lzma": bytes(zipped(("a", b"x"), method=zipfile.ZIP_LZMA)),
    "bzip2": bytes(zipped(("a", b"x"), method=zipfile.ZIP_BZIP2)),
    "zero byte": bytes(zipped(("a@b", b"x"))).replace(b"a@b", b"a\0b"),
    "name in another encoding": bytes(zipped(("caf\u00e9", b"x"))).replace("caf\u00e9".encode(), b"caf\xff\xff"),
    "file and folder": bytes(zipped(("a", b"x"), ("a/", b""), ("a/b", b"x"))),
    "an endless list": many_listed(),
}


@pytest.mark.parametrize("name", ZIPS)
def test_refuses_zips_that_say_two_things_or_would_fill_the_machine(name: str) -> None:
    assert refused("a.zip", ZIPS[name])


names = st.one_of(
    st.sampled_from(["a", "a/b", "a/b/c", "b", "..", ".", "/", "a/..", "A", "./a", "a/", "precious", ""]),
    st.text(max_size=12),
    st.binary(max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.integers(90, 400).map(lambda size: "n" * size),
)
kinds = st.sampled_from([b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"7", b"L", b"K", b"S", b"x", b"g", b"X", b"Z"])
sizes = st.one_of(st.just(None), st.integers(-(2**40), 2**70), st.integers(0, 4096))


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """Tars whose every field may be anything."""
    entries = []
    for _ in range(draw(st.integers(1, 8))):
        content = draw(st.one_of(st.binary(max_size=600), st.just(b"22 path=../../precious\n")))
        info, _ = entry(draw(names).replace("\0", "0"), content, draw(kinds), draw(names).replace("\0", "0"))
        size = draw(sizes)
        info.size = len(content) if size is None else size
        info.mode = draw(st.integers(0, 0o7777))
        entries.append((info, content))
    return tar(*entries)


@fuzzed
@given(tars())
def test_any_tar(content: bytes) -> None:
    refused("a.tar.gz", content)


@fuzzed
@given(st.sampled_from(["a.tar.gz", "a.tar.xz", "a.zip"]), st.data())
def test_any_damage_to_a_good_archive(name: str, data: st.DataObject) -> None:
    content = bytearray(GOOD[name])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    refused(name, bytes(content) or b"x")


def _good() -> dict[str, bytes]:
    packed = tar(entry("a/b", b"x" * 100), symlink("c", "a/b"), entry("d", kind=HARD, to="a/b"))
    zip_file = bytes(zipped(("a/", b""), ("a/b", b"x" * 100), ("c", os.urandom(50))))
    return {"a.tar.gz": packed, "a.tar.xz": lzma.compress(gzip.decompress(packed)), "a.zip": zip_file}


GOOD = _good()


@pytest.mark.parametrize("name", GOOD)
def test_the_good_ones_are_good(name: str) -> None:
    assert refused(name, GOOD[name]) == ""


@fuzzed
@given(st.lists(st.tuples(names, st.binary(max_size=40), st.integers(0, 2**32 - 1)), min_size=1, max_size=6))
def test_any_zip(said: list[tuple[str, bytes, int]]) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name, data, attributes in said:
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
            info.external_attr = attributes
            packed.writestr(info, data)
    refused("a.zip", content.getvalue())
