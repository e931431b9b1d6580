"""``trust.yaml``: the root keys that a node pins, written by whoever sets the node up."""

import os
import stat
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from bus.keys import BadKey, key_id, parse_public
from bus.plain_yaml import NotPlain, read_plain
from bus.trust import Roots
from crds.base import FileModel, Name
from crds.trust import PublicKeyText

ROOTS_FILE = "trust.yaml"


class RootsFile(FileModel):
    """The whole file."""

    fleet: Name
    threshold: Annotated[int, Field(ge=1)] = 1
    roots: Annotated[list[PublicKeyText], Field(min_length=1)]


def read_roots(path: Path) -> Roots | None:
    """The pinned roots; None where the file is absent: then releases need no signature. Raises BadKey.

    A link that leads nowhere is no absent file: somebody meant to pin roots.
    """
    try:
        with path.open("rb") as file:
            _check_mode(path, stat.S_IMODE(os.fstat(file.fileno()).st_mode))
            said = RootsFile.model_validate(read_plain(file))
        keys = {key_id(key): key for key in map(parse_public, said.roots)}
    except FileNotFoundError as error:
        if path.is_symlink():
            raise BadKey(f"{path}: leads to no file; mend the link, or remove it to pin no roots") from error
        return None
    except OSError as error:
        raise BadKey(f"{path}: cannot be read: {error.strerror}") from error
    except NotPlain as error:
        raise BadKey(f"{path}: {error}") from error
    except ValidationError as error:
        raise BadKey(_explained(path, error)) from error
    except BadKey as error:
        raise error if str(error).startswith(str(path)) else BadKey(f"{path}: roots: {error}") from error
    if said.threshold > len(keys):
        raise BadKey(f"{path}: threshold: {said.threshold} cannot be met by {len(keys)} roots; add roots, or lower it")
    return Roots(said.fleet, said.threshold, tuple(keys.values()))


def _check_mode(path: Path, mode: int) -> None:
    """Whoever may write it decides what runs here. Windows has no such mode; there the folder's access list counts."""
    if os.name == "posix" and mode & 0o022:
        raise BadKey(f"{path}: mode {mode:04o} lets others change it; run 'chmod go-w {path}'")


def _explained(path: Path, error: ValidationError) -> str:
    lines = []
    for mistake in error.errors(include_url=False, include_input=False):
        field = ".".join(str(part) for part in mistake["loc"]) or "the whole file"
        lines.append(f"{path}: {field}: {mistake['msg']}; write fleet, threshold and roots, see docs/signing.md")
    return "\n".join(lines)
