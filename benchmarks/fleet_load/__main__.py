"""python -m benchmarks.fleet_load [--nodes 1000] [--bus http|amqp|both] [--json]: a controller under a fleet's load.

A real controller process, a real RabbitMQ for AMQP, and simulated nodes that speak the real protocol with real
signatures, a few hundred in a process, all on this machine.
"""

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.fleet_load.phases import Extent, Load, Result, measure, percentile
from benchmarks.fleet_load.stage import Bus
from controller.demo.processes import DemoError, tail
from controller.demo.programs import need_program
from controller.demo.rabbitmq import Broker

BUSES: dict[str, list[Bus]] = {"http": ["http"], "amqp": ["amqp"], "both": ["http", "amqp"]}


def main() -> int:
    """0 once everything could be measured and no report was lost."""
    options = _options()
    _allow_many_sockets()
    extent = Extent(options.nodes, options.reports, options.idle, options.interval)
    results = []
    try:
        need_program("git")
        if "amqp" in BUSES[options.bus]:
            Broker(Path()).command()
        for bus in BUSES[options.bus]:
            _talk(f"{bus}: {options.nodes} nodes ...")
            with tempfile.TemporaryDirectory(prefix="drumbeat-load-", ignore_cleanup_errors=True) as root:
                results.append(measure(Path(root), bus, extent))
    except DemoError as error:
        _talk(f"error: {error}")
        _talk("\n".join(tail(error.log)) if error.log else "")
        return 1
    for result in results:
        _print(result)
    if options.json:
        print(json.dumps({"fleet_load": {result.bus: as_json(result) for result in results}}))
    return 1 if any(load.lost for result in results for load in result.loads.values()) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet_load", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one object on a line")
    parser.add_argument("--nodes", type=int, default=Extent.nodes)
    parser.add_argument("--bus", choices=BUSES, default="both")
    parser.add_argument("--idle", type=float, default=Extent.idle, help="seconds for which idleness is measured")
    parser.add_argument("--reports", type=int, default=Extent.reports, help="of each kind that are pushed")
    parser.add_argument(
        "--interval", type=float, default=Extent.interval, help="seconds between two heartbeats of a node"
    )
    return parser.parse_args()


def _allow_many_sockets() -> None:
    """As many as the system lets anybody have, for the programs that are started too; systemd units say so."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def as_json(result: Result) -> dict[str, Any]:
    """Units are in the names."""
    idle = result.idle
    found = {
        "nodes": result.nodes,
        "connect_seconds": round(result.connect_seconds, 2),
        "idle_controller_cpu_percent": round(100 * idle.cores.controller, 2),
        "idle_controller_rss_mb": idle.rss_mb,
        "decision_p50_ms": round(1000 * percentile(result.decisions, 50), 1),
        "decision_p99_ms": round(1000 * percentile(result.decisions, 99), 1),
        "decisions": len(result.decisions),
        "rollout_seconds": round(result.rollout_seconds, 2),
        "load": {kind: _load(load) for kind, load in result.loads.items()},
        "controller_restarted_all_heard_seconds": round(result.controller_back[0], 2),
        "controller_answers_all_heard_seconds": round(result.controller_back[1], 2),
    }
    if result.broker_back is not None:
        found |= {
            "idle_broker_cpu_percent": round(100 * idle.cores.broker, 2),
            "broker_kib_per_node": round(idle.broker_kib_per_node),
            "broker_connect_cpu_ms_per_node": round(idle.broker_connect_ms_per_node, 1),
            "broker_open_all_heard_seconds": round(result.broker_back, 2),
        }
    return found


def _load(load: Load) -> dict[str, Any]:
    return {
        "reports_per_second": round(load.per_second),
        "reports_per_controller_cpu_second": round(load.per_cpu_second),
        "lost": load.lost,
        "controller_cores": round(load.cores.controller, 2),
        "broker_cores": round(load.cores.broker, 2),
        "nodes_cores": round(load.cores.nodes, 2),
        "others_cores": round(load.cores.others, 2),
        "controller_rss_mb": load.rss_mb,
        "limit": load.cores.limit(),
    }


def _print(result: Result) -> None:
    said, idle = as_json(result), result.idle
    print(f"{result.bus}, {result.nodes} nodes")
    print(
        f"  {'reports':<8} {'a second':>9} {'per CPU s':>10} {'controller':>11} {'broker':>7} {'nodes':>6} {'RSS':>8}"
    )
    for kind, load in result.loads.items():
        cores, limit = load.cores, load.cores.limit()
        print(
            f"  {kind:<8} {load.per_second:>9,.0f} {load.per_cpu_second:>10,.0f} {cores.controller:>11.2f} "
            f"{cores.broker:>7.2f} {cores.nodes:>6.2f} {cores.others:>7.2f} {load.rss_mb:>5.0f} MB  limit: {limit}"
        )
    print(f"  idle: controller {100 * idle.cores.controller:.1f}% of a core, {idle.rss_mb:.0f} MB")
    print(
        f"  report to decision at a node: p50 {said['decision_p50_ms']} ms, p99 {said['decision_p99_ms']} ms "
        f"of {said['decisions']}; the rollout took {result.rollout_seconds:.1f}s"
    )
    print(
        f"  all nodes heard: {result.connect_seconds:.1f}s after they were started; after the controller was killed "
        f"{result.controller_back[0]:.1f}s, {result.controller_back[1]:.1f}s after the next one answered"
    )
    if result.broker_back is not None:
        print(
            f"  broker: {idle.broker_kib_per_node:.0f} KiB and {idle.broker_connect_ms_per_node:.1f} ms of CPU a node, "
            f"idle {100 * idle.cores.broker:.1f}% of a core; killed -9, all nodes heard {result.broker_back:.1f}s "
            "after its port was open"
        )


def _talk(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
