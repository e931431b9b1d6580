"""FileEntry: one name in a commit's tree, or in a folder on disk."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FileEntry:
    """What lies at a path. ``data`` is None where it need not or must not be read."""

    kind: Literal["blob", "symlink", "submodule"]
    data: bytes | None = None
    size: int = 0
    """Bytes of a blob, also where it was not read."""


def is_yaml(path: str) -> bool:
    """Whether the file may hold a resource. ``.yml`` counts, so that it can be refused."""
    return path.lower().endswith((".yaml", ".yml"))


def is_read(path: str) -> bool:
    """Whether the file's content matters: nothing but resources, and what is signed beside them, is read."""
    return is_yaml(path) or path.endswith((".sig", ".trust"))
