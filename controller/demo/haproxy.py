"""The shipped HAProxy configuration, rendered for one machine: other paths, ports and servers, otherwise as it is."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from controller.demo.processes import DemoError

_HERE = Path(__file__).parent
_SERVICE = re.compile(r"^# -- service trading-api.*?^# -- end of service trading-api\n", re.MULTILINE | re.DOTALL)
_SERVERS = re.compile(r"(?:^    server .*\n)+", re.MULTILINE)


@dataclass(frozen=True)
class ServicePools:
    """One service's two pools."""

    servers: Mapping[str, str]
    """ADDRESS:PORT by server name."""
    bind: str
    """ADDRESS:PORT for customers."""
    bind_maintenance: str
    """ADDRESS:PORT for tests."""
    online: str = "trading_online"
    maintenance: str = "trading_maintenance"
    health: str = "/health"
    ready: bool = False
    """Begin online, as a pool that was there before Drumbeat; otherwise new lines begin in maintenance."""


@dataclass(frozen=True)
class Site:
    """One HAProxy: where its files are, and what it serves."""

    folder: Path
    services: Sequence[ServicePools] = field(default_factory=list)
    maxconn: int = 4000

    @property
    def config_file(self) -> Path:
        return self.folder / "haproxy.cfg"

    @property
    def socket(self) -> Path:
        return self.folder / "admin.sock"

    @property
    def master_socket(self) -> Path:
        return self.folder / "master.sock"

    @property
    def state_file(self) -> Path:
        return self.folder / "servers.state"

    def settings(self) -> dict[str, str]:
        """What the agent beside it is told."""
        return {
            "driver": "haproxy",
            "socket": str(self.socket),
            "masterSocket": str(self.master_socket),
            "configFile": str(self.config_file),
            "stateFile": str(self.state_file),
        }

    def command(self, program: str = "haproxy") -> list[str]:
        """How it is started, in the foreground."""
        return [program, "-W", "-S", f"{self.master_socket},mode,600", "-f", str(self.config_file)]


def template() -> str:
    """The shipped configuration: in the wheel beside this file, in a checkout under deploy/. Raises DemoError."""
    for folder in (_HERE / "deploy-haproxy", _HERE.parents[1] / "deploy/haproxy"):
        if folder.is_dir():
            return (folder / "haproxy.cfg").read_text(encoding="utf-8")
    raise DemoError(f"deploy/haproxy is not there: neither in {_HERE} nor in {_HERE.parents[1]}")


def render(site: Site) -> str:
    """The configuration for a site, run by an account that need not be root. Raises DemoError."""
    text = template()
    found = _SERVICE.search(text)
    if found is None:
        raise DemoError("haproxy.cfg has no section between '# -- service' and '# -- end of service'")
    services = "\n".join(_service(found[0], service) for service in site.services)
    whole = text[: found.start()] + services + text[found.end() :]
    whole = _put(whole, "    user haproxy\n    group haproxy\n", "    nbthread 1\n")
    whole = _put(whole, "maxconn 20000", f"maxconn {site.maxconn}")
    whole = _put(whole, "/run/haproxy/admin.sock mode 660", f"{site.socket} mode 600")
    return _put(whole, "server-state-file /var/lib/haproxy/servers.state", f"server-state-file {site.state_file}")


def write(site: Site) -> None:
    """Write the configuration where the site has it."""
    site.folder.mkdir(parents=True, exist_ok=True)
    site.config_file.write_text(render(site), encoding="utf-8")


def _service(text: str, service: ServicePools) -> str:
    text = _put(text, "bind :8080", f"bind {service.bind}")
    text = _put(text, "bind :8081", f"bind {service.bind_maintenance}")
    text = text.replace("trading_online", service.online).replace("trading_maintenance", service.maintenance)
    text = text.replace("uri /health", f"uri {service.health}")
    online, maintenance = (_lines(service.servers, disabled) for disabled in (not service.ready, True))
    first, second = _SERVERS.findall(text)
    if first != second:
        raise DemoError("haproxy.cfg does not have the same servers in both pools")
    before, between, after = text.split(first)
    return before + online + between + maintenance + after


def _lines(servers: Mapping[str, str], disabled: bool) -> str:
    end = " disabled" if disabled else ""
    return "".join(f"    server {name} {address} check{end}\n" for name, address in servers.items())


def _put(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise DemoError(f"haproxy.cfg must contain {old!r} exactly once")
    return text.replace(old, new)
