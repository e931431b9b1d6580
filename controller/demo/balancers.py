"""The demo's balancer nodes: a real HAProxy each, with the shipped configuration."""

from controller.demo.haproxy import ServicePools, Site, write
from controller.demo.layout import Layout, Place
from controller.demo.processes import Processes
from controller.demo.programs import need_program

ONLINE = ServicePools.online
MAINTENANCE = ServicePools.maintenance


def site_of(layout: Layout, place: Place) -> Site:
    """Where a node's HAProxy has its files, and what it serves."""
    ports = layout.ports
    service = ServicePools(
        servers={host.name: f"{host.address}:{ports.service}" for host in layout.hosts},
        bind=f"{place.address}:{ports.online}",
        bind_maintenance=f"{place.address}:{ports.maintenance}",
    )
    return Site(layout.root / place.name, [service])


def start_balancer(processes: Processes, layout: Layout, place: Place) -> Site:
    """Write the configuration of one node and start its HAProxy. Raises DemoError."""
    site = site_of(layout, place)
    write(site)
    processes.start(place.name, site.command(str(need_program("haproxy"))))
    return site
