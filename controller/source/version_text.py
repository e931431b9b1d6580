"""Writing a version into a version file: only the values change, comments and order stay."""

import json
from collections.abc import Mapping
from typing import Any

from controller.source.problems import FieldPath, Refused
from controller.source.strict_yaml import Document, Span, load
from crds.base import API_VERSION

Sha256s = str | Mapping[str, str]
"""One checksum, or one for each platform."""


class NotEditable(Exception):
    """The file cannot be changed by itself; the text says what to do."""


def new_version_file(version: str, sha256: Sha256s, modeline: str = "") -> str:
    """The text of a version file that is not there yet. ``modeline``: its first line, for editors."""
    lines = [f"apiVersion: {API_VERSION}", f"version: {json.dumps(version)}", f"sha256: {_written(sha256)}"]
    return "\n".join([modeline, *lines] if modeline else lines) + "\n"


def with_version(path: str, text: str, version: str, sha256: Sha256s) -> str:
    """The file's text with another version. Raises NotEditable, or Refused for a file that cannot be read."""
    document = load(path, text.encode())
    if document.problems:
        raise Refused(document.problems)
    edits, added = _edits(document, version, sha256) if isinstance(document.data, dict) else ([], [])
    new = _append(_replace(text, edits), added)
    if load(path, new.encode()).data != _wanted(document.data, version, sha256):
        raise NotEditable(f"{path} is not written one field a line; write it so, or remove it and run this again")
    return new


def _wanted(data: Any, version: str, sha256: Sha256s) -> dict[str, Any] | None:
    """What the file is to say; None if it has no fields."""
    if not isinstance(data, dict):
        return None
    said = {**data, "version": version, "sha256": sha256 if isinstance(sha256, str) else dict(sha256)}
    return said | {"state": "present"} if data.get("state") == "absent" else said


def _edits(document: Document, version: str, sha256: Sha256s) -> tuple[list[tuple[Span, str]], list[str]]:
    """Replacements, and lines for what is not there yet."""
    wanted: dict[FieldPath, str] = {("version",): json.dumps(version)}
    known = document.data.get("sha256")
    if isinstance(known, dict) and not isinstance(sha256, str):
        _check_platforms(document.path, known, sha256)
    if isinstance(known, dict) and not isinstance(sha256, str) and known.keys() == sha256.keys():
        wanted |= {("sha256", name): checksum for name, checksum in sha256.items()}
    else:
        wanted["sha256",] = _written(sha256)
    if document.data.get("state") == "absent":
        wanted["state",] = "present"
    edits = [(document.values[path], written) for path, written in wanted.items() if path in document.values]
    return edits, [f"{path[0]}: {written}" for path, written in wanted.items() if path not in document.values]


def _check_platforms(path: str, known: Mapping[str, str], given: Mapping[str, str]) -> None:
    missing = [name for name in known if name not in given]
    if missing:
        more = " ".join(f"--sha256 {name}=..." for name in missing)
        raise NotEditable(f"{path} also has a checksum for {', '.join(missing)}, of the old version; give {more} too")


def _written(sha256: Sha256s) -> str:
    if isinstance(sha256, str):
        return sha256
    return "{" + ", ".join(f"{name}: {checksum}" for name, checksum in sha256.items()) + "}"


def _replace(text: str, edits: list[tuple[Span, str]]) -> str:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for span, written in sorted(edits, key=lambda edit: (edit[0].line, edit[0].column), reverse=True):
        begin = starts[span.line - 1] + span.column - 1
        end = starts[span.end_line - 1] + span.end_column - 1
        end = begin + len(text[begin:end].rstrip("\r\n"))  # a block of text ends where the next line begins
        gap = "" if begin == 0 or text[begin - 1] != ":" else " "
        text = text[:begin] + gap + written + text[end:]
    return text


def _append(text: str, lines: list[str]) -> str:
    ends = "\r\n" if "\r\n" in text else "\n"
    if lines and not text.endswith("\n"):
        text += ends
    return text + "".join(line + ends for line in lines)
