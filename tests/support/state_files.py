"""A small good state directory as text, and ways to spoil it."""

from pathlib import Path

from controller.source.entries import FileEntry
from controller.source.reader import ReadResult, read_state

SHA = "a" * 64

FLEET = """\
apiVersion: drumbeat/v1alpha1
kind: Fleet
metadata: {name: prod}
spec:
  hosts:
    - {name: vm1, address: 127.0.0.11, labels: {role: api}}
    - {name: vm2, address: 127.0.0.12, labels: {role: api}}
  balancers:
    - {name: lb1, address: 127.0.0.1}
  runners:
    - {name: runner1}
"""
SERVICE = """\
apiVersion: drumbeat/v1alpha1
kind: Service
metadata: {name: api}
spec:
  hosts: {role: api}
  artifact:
    url: https://example.com/api-{version}.tar.gz
    run: ["./api", "--host", "{address}"]
  probes: [{http: {port: 80, path: /health}}]
  pools: [{balancer: edge, online: web, maintenance: mt, port: 80}]
  gates: [{name: smoke, exec: {command: ["./smoke", "{url}"]}}]
  rollout: {batches: [1, 25%], soak: 30s}
"""
BALANCER = """\
apiVersion: drumbeat/v1alpha1
kind: LoadBalancer
metadata: {name: edge}
spec:
  nodes: [lb1]
  pools:
    web:
    mt: {port: 8081}
"""
VERSION = f"""\
apiVersion: drumbeat/v1alpha1
version: "1.0.0"
sha256: {SHA}
"""
GOOD = {
    "fleets/prod.yaml": FLEET,
    "services/api.yaml": SERVICE,
    "balancers/prod/edge.yaml": BALANCER,
    "versions/prod/api.yaml": VERSION,
}


def read(files: dict[str, str | bytes | FileEntry | None]) -> ReadResult:
    """The good state with some files put in place of its own; None takes one away."""
    entries: dict[str, FileEntry] = {}
    for path, content in (GOOD | files).items():
        if isinstance(content, FileEntry):
            entries[path] = content
        elif content is not None:
            data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
            entries[path] = FileEntry("blob", data, len(data))
    return read_state(entries, "revision")


def spoiled(path: str, old: str, new: str) -> dict[str, str]:
    """One file with one piece of text replaced."""
    text = GOOD[path]
    assert old in text, f"{old!r} is not in {path}"
    return {path: text.replace(old, new, 1)}


def write(folder: Path, files: dict[str, str] = GOOD) -> Path:
    """The files on disk."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())
    return folder
