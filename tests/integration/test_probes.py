"""Probes against real sockets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.posix import PosixProcesses
from agent.probes import Asked, Prober
from crds.probe import Probe


@contextmanager
def listening_after(seconds: float) -> Iterator[int]:
    """A port on which somebody accepts and answers only then; until then connections are refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))

        def serve() -> None:
            listener.listen()
            client, _ = listener.accept()
            with closing(client):
                client.recv(1024)
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

        timer = threading.Timer(seconds, serve)
        timer.start()
        yield listener.getsockname()[1]
        timer.join()


def ask(kind: str, port: int, tmp_path: Path, patience: float) -> str:
    said = {"http": {"http": {"port": port, "path": "/"}}, "tcp": {"tcp": {"port": port}}}[kind]
    prober = Prober(PosixProcesses())
    return prober.ask(Probe.model_validate(said), Asked("127.0.0.1", tmp_path, {}, {}, patience=patience))


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_patience_waits_for_whoever_is_about_to_listen(kind: str, tmp_path: Path) -> None:
    with listening_after(0.3) as port:
        assert "refused" in ask(kind, port, tmp_path, patience=0.0)
        assert ask(kind, port, tmp_path, patience=20.0) == ""


def test_patience_ends(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert "refused" in ask("tcp", silent.getsockname()[1], tmp_path, patience=0.1)
