"""Archives and releases for tests, and a server for them."""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from crds.release import Release

WEB = """\
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["DRUMBEAT_VERSION"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer.allow_reuse_address = True
address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
http.server.ThreadingHTTPServer((address, int(sys.argv[1])), Handler).serve_forever()
"""


def tar_gz(files: dict[str, str], path: Path) -> str:
    """Write an archive of text files, all executable; its SHA-256."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            add_file(tar, name, text.encode())
    return sha256(path)


def add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o755) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def add_entry(tar: tarfile.TarFile, name: str, **said: Any) -> None:
    """A link, a device or a folder: whatever the fields say."""
    info = tarfile.TarInfo(name)
    for field, value in said.items():
        setattr(info, field, value)
    tar.addfile(info)


def zip_file(files: dict[str, str], path: Path) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return sha256(path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def release_of(path: Path, run: list[str], version: str = "1.0", **said: Any) -> Release:
    """A release whose artifact is this file."""
    fields = {"url": path.as_uri(), "sha256": sha256(path), **said}
    return Release.model_validate({"version": version, "run": run, **fields})


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, ArtifactServer)
        self.server.asked.append(self.path)
        if self.server.answers:
            self.server.answers.pop(0)(self)
        else:
            self.answer_file()

    def answer_file(self) -> None:
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None: ...


class ArtifactServer(ThreadingHTTPServer):
    """Serves a folder; ``answers`` (functions of the handler) come first, one for each request."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.asked: list[str] = []
        self.answers: list[Any] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


@contextmanager
def serving(folder: Path) -> Iterator[ArtifactServer]:
    server = ArtifactServer(folder)
    thread = Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
