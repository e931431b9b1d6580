"""python -m controller.demo.artifact_server PORT FOLDER: serves artifacts, to a whole batch of hosts at once."""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class ArtifactServer(ThreadingHTTPServer):
    """Python's own, but for its queue of 5: whoever does not fit tries again a second later (RFC 6298, section 2)."""

    request_queue_size = 1024


def main(port: str, folder: str) -> None:
    """Serve the folder on loopback until the process is ended."""
    with ArtifactServer(("127.0.0.1", int(port)), partial(SimpleHTTPRequestHandler, directory=folder)) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
