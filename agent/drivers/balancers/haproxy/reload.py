"""Whether what is set at run time survives a reload: read from the configuration that the reload will read."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

_SECTIONS = {"global", "defaults", "frontend", "backend", "listen"}
_OTHERS = {
    "cache", "fcgi-app", "http-errors", "log-forward", "mailers", "peers", "program", "resolvers", "ring", "userlist",
}  # fmt: skip


@dataclass
class _Section:
    kind: str
    name: str
    words: dict[str, list[str]] = field(default_factory=dict)
    """Arguments by keyword, of the keywords that count here."""
    above: "_Section | None" = None
    """The defaults that it begins with."""

    def get(self, keyword: str) -> list[str]:
        if keyword in self.words or self.above is None:
            return self.words.get(keyword, [])
        return self.above.get(keyword)


class Configuration:
    """The configuration file, or a folder of ``*.cfg`` files, read again when it changed."""

    def __init__(self, path: Path, state_file: Path) -> None:
        self._path = path
        self._state_file = state_file
        self._signature: object = None
        self._trouble = ""
        self._state_says = ""
        self._pools: dict[str, _Section] = {}

    def trouble(self, pools: Iterable[str]) -> str:
        """Why a reload would forget the state of these pools, and what to write; empty if it would not."""
        self._refresh()
        if self._trouble or self._state_says:
            return self._trouble or self._state_says
        return next((text for pool in sorted(pools) if (text := self._pool(pool))), "")

    def _pool(self, pool: str) -> str:
        section = self._pools.get(pool)
        if section is None:
            return f"{self._path} has no backend {pool}, which HAProxy runs: a reload would drop it; write it there"
        if section.get("load-server-state-from-file")[:1] != ["global"]:
            return (
                f"{self._path}: backend {pool} does not read the saved state, so a reload would put every server back "
                "online; write 'load-server-state-from-file global' in its defaults"
            )
        return ""

    def _refresh(self) -> None:
        try:
            files = sorted(self._path.glob("*.cfg")) if self._path.is_dir() else [self._path]
            signature = [(file, status.st_mtime_ns, status.st_size) for file in files for status in [file.stat()]]
            if signature == self._signature:
                return
            sections = _read("\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files))
        except OSError as error:
            self._signature, self._trouble = None, f"{self._path} cannot be read: {error.strerror}; make it readable"
            return
        self._signature, self._trouble = signature, ""
        self._pools = {one.name: one for one in sections if one.kind in ("backend", "listen")}
        self._state_says = self._state(sections)

    def _state(self, sections: list[_Section]) -> str:
        said: dict[str, list[str]] = {}
        for section in sections:
            said |= section.words if section.kind == "global" else {}
        file = said.get("server-state-file", [""])[0]
        base = said.get("server-state-base", [""])[0]
        if file and PurePosixPath(base) / file == PurePosixPath(self._state_file):
            return ""
        found = f"has 'server-state-file {file}'" if file else "has no server-state-file"
        return (
            f"{self._path} {found}, so a reload would forget what was set; write "
            f"'server-state-file {self._state_file}' in its global section"
        )


def _read(text: str) -> list[_Section]:
    sections: list[_Section] = []
    defaults: dict[str, _Section] = {}
    latest: _Section | None = None
    for line in text.splitlines():
        words = _words(line)
        if not words:
            continue
        if words[0] in _SECTIONS | _OTHERS:
            section = _begin(words, defaults, latest)
            sections.append(section)
            if section.kind == "defaults":
                latest = defaults[section.name] = section
        elif sections:
            sections[-1].words[words[0]] = words[1:]
    return sections


def _begin(words: list[str], defaults: dict[str, _Section], latest: _Section | None) -> _Section:
    kind, *rest = words
    name = rest[0] if rest and rest[0] != "from" else ""
    named = rest[rest.index("from") + 1 :] if "from" in rest else []
    if named:
        return _Section(kind, name, above=defaults.get(named[0]))
    return _Section(kind, name, above=latest if kind not in ("global", "defaults") else None)


def _words(line: str) -> list[str]:
    """Words as HAProxy takes them apart: quotes, backslashes, and ``#`` for a comment."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quote that only HAProxy's expressions understand
        return line.split("#", 1)[0].split()
