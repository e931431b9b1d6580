"""What ``drumbeat plan`` costs a controller of many services: how long the deciding thread is held, and all of it.

    python -m benchmarks.forecasts --services 300 --hosts 100000 --changed 300

Hosts and balancer nodes exist in memory alone; targets, world and forecast are the production code.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from controller.http.forecasts import SLICE
from controller.store import Loaded
from controller.supposing import changed, suppose
from controller.world import World
from crds.messages import PoolReport, Report, ServiceReport, Stamp, plain_digest
from crds.release import Release
from crds.service import Rollout
from reconcilers.forecast import Forecast
from reconcilers.target import BalancerNodeSpec, HostSpec, PoolSpec, TargetSpec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Answer = TypeVar("Answer")


def target(number: int, hosts: int, version: str) -> TargetSpec:
    """A service with hosts of its own, behind two balancer nodes."""
    nodes = (BalancerNodeSpec("lb1", "10.1.0.1"), BalancerNodeSpec("lb2", "10.1.0.2"))
    names = [f"vm{number}-{place}" for place in range(hosts)]
    return TargetSpec(
        name=f"service{number}@prod",
        revision=version,
        release=Release(version=version, url="https://artifacts.invalid/{version}", sha256="a" * 64, run=["api"]),
        version=version,
        hosts={
            name: HostSpec(name, f"10.0.{number}.{place}", "ab"[place % 2], (place, "ab"[place % 2], name))
            for place, name in enumerate(names)
        },
        pools=(PoolSpec("edge", "haproxy", nodes, f"pool{number}", 80, f"tests{number}", 81),),
        runners=("run1",),
        probes=(),
        gates=(),
        rollout=Rollout(batches=[1, "10%"]),
    )


def world(specs: Iterable[TargetSpec]) -> World:
    """All hosts run what is declared, and every balancer node has all of them online."""
    made, pools = World(Loaded(), 1e9, NOW), {}
    declared = {spec.name: spec for spec in specs}
    made.set_specs(declared, NOW)
    for spec in declared.values():
        for host in spec.hosts:
            runs = ServiceReport(read=Stamp(0, 0), state="running", digest=spec.digest, healthy=True)
            made.fold(_report(host, services={spec.name: runs}), NOW)
        plain = {host.name: f"{host.address}:80" for host in spec.hosts.values()}
        pools[spec.pools[0].online] = PoolReport(
            read=Stamp(0, 0), servers={}, plain_count=len(plain), plain_digest=plain_digest(plain)
        )
    for node in ("lb1", "lb2"):
        made.fold(_report(node, pools=pools), NOW)
    return made


def _report(node: str, **said: object) -> Report:
    every = {"services": {}, "pools": {}, "operations": {}} | said
    return Report(node=node, incarnation="i", seq=1, full=True, full_seq=1, taken=Stamp(0, 0), **every)  # type: ignore[arg-type]


class Watch:
    """Notes how long each piece kept a processor."""

    def __init__(self) -> None:
        self.took: list[float] = []

    def __call__(self, piece: Callable[[], Answer]) -> Answer:
        began = time.thread_time()
        answer = piece()
        self.took.append(time.thread_time() - began)
        return answer


def main() -> None:
    """Measure, and print."""
    options = _options()
    hosts = options.hosts // options.services
    live = world(target(number, hosts, "1") for number in range(options.services))
    wanted = dict(live.declared)
    for number in range(options.changed):
        spec = target(number, hosts, "2")
        wanted[spec.name] = spec
    for spec in (*wanted.values(), *live.declared.values()):
        _ = spec.fingerprint
    held, beside = Watch(), Watch()
    names = held(lambda: changed(live, wanted))
    found = [_forecast(live, wanted, name, held, beside) for name in names]
    batches = sum(len(each.batches) for each in found)
    print(f"{options.services} services, {options.hosts} hosts, {len(names)} targets changed, {batches} batches")
    longest, total = max(held.took) * 1000, sum(held.took)
    print(f"deciding thread held: {len(held.took)} times, at most {longest:.0f} ms, in all {total:.2f} s")
    print(f"beside it: {sum(beside.took):.2f} s")


def _forecast(live: World, wanted: dict[str, TargetSpec], name: str, held: Watch, beside: Watch) -> Forecast:
    spec = wanted[name]
    hosts = list(spec.hosts)
    slices = [hosts[at : at + SLICE] for at in range(0, len(hosts), SLICE)]
    parts = [held(lambda some=some: suppose(live, spec, some)) for some in slices]  # type: ignore[misc]
    whole = replace(parts[0], facts={host: facts for part in parts for host, facts in part.facts.items()})
    return beside(lambda: whole.forecast(wanted, NOW))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=300)
    parser.add_argument("--hosts", type=int, default=100_000)
    parser.add_argument("--changed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
