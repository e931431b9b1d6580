"""smoke-test URL VERSION: whether a host of trading-api is fit for customers. It knows nothing but the URL."""

import http.client
import sys
from urllib.parse import urlsplit


def main() -> int:
    """0 if the host quotes a price and runs that version; 1 otherwise, with the reason."""
    url, version = sys.argv[1:3]
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=10)
    connection.request("GET", f"{place.path.rstrip('/')}/quote?symbol=ACME")
    answer = connection.getresponse()
    body = answer.read().decode().strip()
    found = answer.getheader("X-App-Version")
    if answer.status != 200:
        return say(f"GET /quote answered {answer.status}, not 200: {body}")
    if found != version:
        return say(f"version {found} answers, not {version}")
    return 0


def say(problem: str) -> int:
    """Tell people why it failed."""
    sys.stderr.write(f"{problem}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
