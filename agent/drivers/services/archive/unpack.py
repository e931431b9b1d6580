"""Unpacking an archive that may be wrong or malicious, into an empty folder and nowhere else.

Nothing is left to the archive libraries' own extraction: they list and decompress, this module decides and writes.
"""

import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from agent.drivers.contracts import Terminal
from agent.drivers.services.archive.limits import Limits
from agent.drivers.services.archive.names import Names
from agent.files import sync_folder

SUFFIXES = (".tar.gz", ".tgz", ".tar.xz", ".zip")

_CHUNK = 256 * 1024
_UNRATED = 16 * 1024**2
"""Unpacked bytes up to which the ratio does not matter."""
_HEADER = 1024**2
"""No name or comment of an archive is longer."""
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile, ValueError)


def unpack(archive: Path, folder: Path, limits: Limits) -> None:
    """Unpack into ``folder``, which exists and is empty; everything is on disk when it returns.

    Raises Terminal if the archive is damaged, too large or would do something that an archive may not; OSError if the
    disk refuses.
    """
    writer = _Writer(folder, limits, archive.stat().st_size)
    try:
        if archive.name.endswith(".zip"):
            _unpack_zip(archive, writer)
        else:
            _unpack_tar(archive, writer)
    except _DAMAGE as error:
        raise Terminal(f"the archive is damaged although its checksum is right, build it anew: {error}") from error
    except (NotImplementedError, RuntimeError) as error:
        raise Terminal(f"the archive is encrypted or packed in a way that is not supported: {error}") from error
    writer.finish()


class _Writer:
    """Writes accepted entries and counts what they cost."""

    def __init__(self, folder: Path, limits: Limits, packed: int) -> None:
        self._folder = folder
        self._limits = limits
        self._packed = max(1, packed)
        self._names = Names()
        self._entries = 0
        self._folders: set[PurePosixPath] = set()

    def count_entry(self) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise Terminal(
                f"the archive has more than {self._limits.entries} entries (entries in the agent's settings)"
            )

    def check_size(self, unpacked: int) -> None:
        """Refuse before so many bytes are written."""
        if unpacked > self._limits.unpacked_bytes:
            most = f"{self._limits.unpacked_bytes} bytes (unpackedBytes in the agent's settings)"
            raise Terminal(f"the archive unpacks to more than {most}")
        if unpacked > _UNRATED and unpacked > self._packed * self._limits.ratio:
            raise Terminal(
                f"the archive unpacks to more than {self._limits.ratio} times its size (ratio in the agent's settings)"
            )

    def folder(self, name: str) -> None:
        self._make(self._names.folder(name))

    def file(self, name: str, content: IO[bytes], executable: bool) -> None:
        path = self._place(self._names.file(name))
        with path.open("xb") as file:
            while chunk := content.read(_CHUNK):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        path.chmod(0o755 if executable else 0o644)

    def symbolic_link(self, name: str, to: str) -> None:
        path = self._names.file(name)
        self._place(path).symlink_to(self._names.link(path, to))

    def hard_link(self, name: str, to: str) -> None:
        other = PurePosixPath(to)
        source = self._folder / other
        if not self._names.has_file(other) or source.is_symlink():
            raise Terminal(f"the archive's link {name!r} leads to {to!r}, which is no file before it in the archive")
        self._place(self._names.file(name)).hardlink_to(source)

    def finish(self) -> None:
        """Put the folders' entries on disk."""
        for folder in sorted(self._folders | {PurePosixPath(".")}):
            sync_folder(self._folder / folder)

    def _place(self, path: PurePosixPath) -> Path:
        self._make(path.parent)
        return self._folder / path

    def _make(self, path: PurePosixPath) -> None:
        if path not in self._folders:
            (self._folder / path).mkdir(parents=True, exist_ok=True)
            self._folders.update((path, *path.parents))


class _Metered:
    """A decompressed stream that refuses to be a bomb, also in the parts that the tar library reads by itself."""

    def __init__(self, inner: IO[bytes], writer: _Writer) -> None:
        self._inner = inner
        self._writer = writer

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER:
            raise Terminal(f"the archive has a header of {size} bytes")
        self._writer.check_size(self._inner.tell())
        return self._inner.read(size)

    def seek(self, position: int) -> int:
        self._writer.check_size(position)
        return self._inner.seek(position)

    def tell(self) -> int:
        return self._inner.tell()


def _unpack_tar(archive: Path, writer: _Writer) -> None:
    with _decompressed(archive) as stream, tarfile.open(fileobj=_Metered(stream, writer), mode="r:") as tar:  # type: ignore[call-overload]
        while (member := tar.next()) is not None:
            writer.count_entry()
            _unpack_member(tar, member, writer)
            tar.members = []  # the library would keep every one of them


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, writer: _Writer) -> None:
    if member.isdir():
        writer.folder(member.name)
    elif member.issym():
        writer.symbolic_link(member.name, member.linkname)
    elif member.islnk():
        writer.hard_link(member.name, member.linkname)
    elif member.isreg() and not member.issparse():
        writer.check_size(member.offset_data + member.size)
        content = tar.extractfile(member)
        assert content is not None
        writer.file(member.name, content, bool(member.mode & 0o111))
    else:
        raise Terminal(
            f"the archive's entry {member.name!r} is neither file, folder nor link; devices are not unpacked"
        )


@contextmanager
def _decompressed(archive: Path) -> Iterator[IO[bytes]]:
    if archive.name.endswith(".tar.xz"):
        with lzma.open(archive) as stream:
            yield stream
    else:
        with gzip.open(archive) as zipped:
            yield zipped  # type: ignore[misc]


def _unpack_zip(archive: Path, writer: _Writer) -> None:
    with zipfile.ZipFile(archive) as packed:
        entries = packed.infolist()
        unpacked = 0
        for entry in entries:
            writer.count_entry()
            unpacked += entry.file_size  # a lie is found: no entry is read beyond it, and the checksum fails
            writer.check_size(unpacked)
        for entry in entries:
            _unpack_entry(packed, entry, writer)


def _unpack_entry(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, writer: _Writer) -> None:
    mode = entry.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if entry.orig_filename != entry.filename:  # cut at a NUL, or a separator replaced
        raise Terminal(f"the archive's entry {entry.orig_filename!r} has a name that systems read differently")
    if entry.is_dir():
        writer.folder(entry.filename)
    elif kind == stat.S_IFLNK:
        if entry.file_size > _HEADER:
            raise Terminal(f"the archive's link {entry.filename!r} has a target of {entry.file_size} bytes")
        writer.symbolic_link(entry.filename, packed.read(entry).decode())
    elif kind in (0, stat.S_IFREG):
        with packed.open(entry) as content:
            writer.file(entry.filename, content, bool(mode & 0o111))
    else:
        raise Terminal(
            f"the archive's entry {entry.filename!r} is neither file, folder nor link; devices are not unpacked"
        )
