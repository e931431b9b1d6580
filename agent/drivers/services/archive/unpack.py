"""Unpacking an archive that may be wrong or malicious, into an empty folder and nowhere else.

Nothing is left to the archive libraries' own extraction: they list and decompress, this module decides and writes.
"""

import gzip
import lzma
import os
import re
import stat
import struct
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
from bus.durable import sync_folder

SUFFIXES = (".tar.gz", ".tgz", ".tar.xz", ".zip")

_CHUNK = 256 * 1024
_UNRATED = 16 * 1024**2
"""Unpacked bytes up to which the ratio does not matter."""
_HEADER = 64 * 1024
"""Bytes. No name or comment of an archive is longer."""
_DIGITS = re.compile(rb"\d{128}")
"""In a header, some versions of the tar library take the square of their number in time (CVE-2024-6232)."""
_LIST = 32 * 1024**2
"""Bytes of a zip's list of entries."""
_LISTED = b"PK\x01\x02"
"""Begins each entry of that list (APPNOTE.TXT, section 4.3.12)."""
_FEED = 32 * 1024
"""Bytes of a .xz that are decompressed at a time: at the end of each of its streams, the rest of them is copied."""
_MEMORY = 192 * 1024**2
"""Bytes for decompressing: xz -9 asks for 65 MiB, an archive may ask for gigabytes."""
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError, ValueError),
    *(struct.error, OverflowError),
)


def unpack(archive: Path, folder: Path, limits: Limits) -> None:
    """Unpack into ``folder``, which exists and is empty; everything is on disk when it returns.

    Raises Terminal if the archive is damaged, too large or would do something that an archive may not; OSError if the
    disk refuses.
    """
    writer = _Writer(folder, limits, archive.stat().st_size)
    try:
        if archive.name.endswith(".zip"):
            _unpack_zip(archive, writer, limits.entries)
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
        self._folders = {PurePosixPath(".")}

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
        for folder in sorted(self._folders):
            sync_folder(self._folder / folder)

    def _place(self, path: PurePosixPath) -> Path:
        self._make(path.parent)
        return self._folder / path

    def _make(self, path: PurePosixPath) -> None:
        """Level by level, so that a folder that somebody took away is missed and not made anew without its files."""
        missing = []
        while path not in self._folders:
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            (self._folder / folder).mkdir(exist_ok=True)
            self._folders.add(folder)


class _Metered:
    """A decompressed stream that refuses to be a bomb, also in the parts that the tar library reads by itself."""

    def __init__(self, inner: IO[bytes], writer: _Writer) -> None:
        self._inner = inner
        self._writer = writer
        self._heads = True

    def next(self, tar: tarfile.TarFile) -> tarfile.TarInfo | None:
        """The next member, whose headers alone are read."""
        self._heads = True
        try:
            return tar.next()
        finally:
            self._heads = False

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= (_HEADER if self._heads else _CHUNK):
            raise Terminal(f"the archive has a header of {size} bytes")
        self._writer.check_size(self._inner.tell())
        said = self._inner.read(size)
        if self._heads and _DIGITS.search(said):
            raise Terminal("the archive has a header that is all digits")
        return said

    def seek(self, position: int) -> int:
        self._writer.check_size(position)
        return self._inner.seek(position)

    def tell(self) -> int:
        return self._inner.tell()


def _unpack_tar(archive: Path, writer: _Writer) -> None:
    with _decompressed(archive) as stream:
        metered = _Metered(stream, writer)
        tar = tarfile.open(fileobj=metered, mode="r:")  # type: ignore[call-overload]  # noqa: SIM115  closes nothing
        while (member := metered.next(tar)) is not None:
            writer.count_entry()
            _unpack_member(tar, member, writer)
            tar.members = []  # the library would keep every one of them
        while metered.read(_CHUNK):
            pass  # to the end, or nobody would notice what is wrong there


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, writer: _Writer) -> None:
    if member.size < 0:
        raise Terminal(f"the archive's entry {member.name!r} has {member.size} bytes")
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
        with archive.open("rb") as packed:
            yield _Xz(packed)  # type: ignore[misc]
    else:
        with gzip.open(archive) as zipped:
            yield zipped  # type: ignore[misc]


class _Xz:
    """A decompressed .xz that is read forwards. The standard library's own has no bound for its memory.

    It may be several streams one after another, with zero bytes between (the .xz file format, section 2): that is how
    some programs compress with several processors.
    """

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._begun = b""
        """The first bytes of a stream, read at the end of the one before it."""
        self._decompressor = _stream()
        self._position = 0

    def read(self, size: int) -> bytes:
        pieces = []
        while size > 0 and (piece := self._more(size)):
            pieces.append(piece)
            size -= len(piece)
            self._position += len(piece)
        return b"".join(pieces)

    def seek(self, position: int) -> int:
        if position < self._position:
            raise tarfile.ReadError("it leads backwards")
        while self._position < position and self.read(min(_CHUNK, position - self._position)):
            pass
        return self._position

    def tell(self) -> int:
        return self._position

    def _more(self, size: int) -> bytes:
        while not self._decompressor.eof or self._follows():
            packed = self._feed() if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not packed:
                raise EOFError("it is cut off")
            if piece := self._decompressor.decompress(packed, size):
                return piece
        return b""

    def _feed(self) -> bytes:
        begun, self._begun = self._begun, b""
        return begun or self._packed.read(_FEED)

    def _follows(self) -> bool:
        """Whether something follows the stream that has ended. It is read as another one, or refused."""
        rest = self._decompressor.unused_data
        while not (begun := rest.lstrip(b"\0")):
            if not (rest := self._packed.read(_FEED)):
                return False
        self._decompressor, self._begun = _stream(), begun
        return True


def _stream() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)


class _Listed:
    """A zip whose list of entries is read only if memory can hold what it becomes."""

    def __init__(self, packed: IO[bytes], most: int) -> None:
        self._packed = packed
        self._most = most
        self.tell, self.seekable = packed.tell, packed.seekable

    def seek(self, position: int, whence: int = 0) -> int:
        try:
            return self._packed.seek(position, whence)
        except OSError as error:  # what the system says of a place before the beginning
            raise zipfile.BadZipFile("it leads to a place that no file has") from error

    def read(self, size: int = -1) -> bytes:
        if size > _LIST:
            raise Terminal(f"the archive has a list of entries of {size} bytes, more than {_LIST}")
        said = self._packed.read(size)
        if size > _CHUNK and said.count(_LISTED) > self._most:
            raise Terminal(f"the archive lists more than {self._most} entries (entries in the agent's settings)")
        return said


def _unpack_zip(archive: Path, writer: _Writer, most: int) -> None:
    with archive.open("rb") as file, zipfile.ZipFile(_Listed(file, most)) as packed:
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
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Terminal(f"the archive's entry {entry.filename!r} is packed in an unusual way; use deflate")
    if not entry.filename:
        raise Terminal("the archive has an entry without a name")
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
