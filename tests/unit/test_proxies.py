"""Of the environment, its proxies count for whatever an agent asks over HTTP."""

from pathlib import Path

import pytest
from urllib3 import ProxyManager, Timeout

from agent.drivers.contracts import Retry
from agent.drivers.services.archive.fetch import fetch
from agent.drivers.services.archive.limits import Limits
from agent.drivers.services.archive.stores import Stores
from bus.clock import SystemClock
from bus.http_client import Client, UnusableProxy
from bus.in_time import Deadline


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def through_proxy(url: str) -> bool:
    return isinstance(Client(url)._pools, ProxyManager)


@pytest.mark.parametrize(
    ("url", "straight"),
    [
        ("http://10.1.2.3:8080/", True),
        ("http://10.2.2.3/", False),
        ("http://192.168.7.7/", True),
        ("http://[fd00::7]/", True),
        ("http://[fe00::7]/", False),
        ("http://store.example.com/", True),
        ("http://example.org/", False),
        ("http://10.1.example.org/", False),
    ],
)
def test_no_proxy_lists_names_addresses_and_networks(url: str, straight: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    monkeypatch.setenv("no_proxy", "example.com, 10.1.0.0/16,192.168.7.7 ,fd00::/8, what/ever,")
    assert through_proxy(url) is not straight


@pytest.mark.parametrize(
    "proxy", ["socks5://ann:planted-secret@10.0.0.1:1080", "http://ann:planted-secret@proxy:99999", "http://["]
)
def test_a_proxy_that_cannot_be_used_is_named_with_the_remedy(
    tmp_path: Path, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the host's trouble and not the release's, so it is tried again."""
    monkeypatch.setenv("all_proxy", proxy)
    url = "http://store.invalid/api.tar.gz"
    with pytest.raises(UnusableProxy):
        Client(url).request("GET", url, {}, Timeout(1.0), deadline=Deadline(1.0))
    with pytest.raises(Retry, match=r"add store\.invalid to no_proxy") as caught:
        fetch(url, "0" * 64, tmp_path / "a", Limits(), SystemClock(), Stores())
    assert proxy.rpartition("@")[2] in str(caught.value)
    assert "planted-secret" not in str(caught.value)
