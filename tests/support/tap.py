"""A listener on a connection: a forwarder that keeps every byte that passes, in both directions."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Tap:
    """Forwards connections to a port on loopback."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._upstream = 0
        self._streams: list[bytearray] = []
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def forward_to(self, port: int) -> None:
        self._upstream = port

    def heard(self) -> list[bytes]:
        """One piece for each direction of each connection."""
        return [bytes(stream) for stream in list(self._streams)]

    def stop(self) -> None:
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._upstream), 10)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    stream = bytearray()
                    self._streams.append(stream)
                    threading.Thread(target=_carry, args=(source, sink, stream), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket, stream: bytearray) -> None:
    with suppress(OSError):
        while block := source.recv(65536):
            stream += block
            sink.sendall(block)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def tapping() -> Iterator[Tap]:
    tap = Tap()
    try:
        yield tap
    finally:
        tap.stop()
