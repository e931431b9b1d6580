"""The two copies: whatever a loss of power leaves of a write, the old content or the new one is read."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.copies import Copies

SECTOR = 512
OLD, NEW = b"old" * 700, b"new" * 900


def written(path: Path, *contents: bytes) -> bytes:
    """The file's bytes after these."""
    copies = Copies(path, "test")
    for content in contents:
        copies.write(content)
    return path.read_bytes()


def read(path: Path) -> bytes:
    return Copies(path, "test").read()


def torn(before: bytes, after: bytes, arrived: set[int]) -> bytes:
    """A write of which only these sectors reached the disk."""
    parts = range(0, len(before), SECTOR)
    return b"".join((after if at // SECTOR in arrived else before)[at : at + SECTOR] for at in parts)


@given(st.sets(st.integers(0, 5)), st.booleans())
def test_whatever_arrived_of_a_write_one_content_is_whole(arrived: set[int], second: bool) -> None:
    """The second copy is written once the first has arrived."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        before, after = written(path, OLD), written(path, OLD, NEW)
        half = len(before) // 2
        begun = torn(before[:half], after[:half], arrived) + before[half:]
        path.write_bytes(after[:half] + torn(before[half:], after[half:], arrived) if second else begun)
        assert read(path) in ((NEW,) if second else (OLD, NEW))
        again = Copies(path, "test")
        again.read()
        again.write(b"later")
        assert read(path) == b"later"


@pytest.mark.parametrize("copy", [0, 1])
def test_one_copy_that_rots_loses_nothing(tmp_path: Path, copy: int) -> None:
    whole = written(tmp_path / "file", OLD, NEW)
    at = copy * len(whole) // 2 + 100
    (tmp_path / "file").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert read(tmp_path / "file") == NEW


def test_both_copies_gone_is_an_error(tmp_path: Path) -> None:
    whole = written(tmp_path / "file", NEW)
    (tmp_path / "file").write_bytes(whole.replace(b"n", b"m"))
    with pytest.raises(ValueError, match="checksum"):
        read(tmp_path / "file")


def test_a_write_in_place_keeps_the_file(tmp_path: Path) -> None:
    """Its name and folder need not be waited for."""
    written(tmp_path / "file", OLD)
    before = (tmp_path / "file").stat()
    written_again = Copies(tmp_path / "file", "test")
    written_again.read()
    written_again.write(NEW)
    after = (tmp_path / "file").stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
