"""Command line of the agent: ``drumbeat-agent``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.build import agent_version, check_drivers
from agent.run import Pulse, run
from agent.settings import BadSettings, Settings, read_settings
from bus.clock import SystemClock
from bus.keys import BadKey, NodeKeys
from bus.logs import configure_logging
from bus.roots import ROOTS_FILE, read_roots


def main() -> None:
    """Console script. Does not wait for downloads and probes that are under way: a kill is as good."""
    status = command(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def command(arguments: Sequence[str]) -> int:
    """Run a command line; exit status 0, 1 if something cannot be used, 2 for a wrong command line."""
    said = _parser().parse_args(arguments)
    try:
        settings = read_settings(said.config)
        if said.command == "check":
            return _check(settings)
        configure_logging(sys.stderr, settings.log_level)
        pulse = Pulse()
        pulse.stop_on_signals()
        run(settings, SystemClock(), pulse)
    except (BadSettings, BadKey) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _check(settings: Settings) -> int:
    NodeKeys.load(settings.credentials)
    check_drivers(settings)
    roots = read_roots(settings.credentials / ROOTS_FILE)
    sys.stdout.write(f"{settings.node}: settings and credentials are in order\n")
    sys.stdout.write(
        f"releases must be signed by whom {roots.threshold} of {len(roots.keys)} roots name for fleet {roots.fleet}\n"
        if roots
        else f"releases need no signature here: {settings.credentials / ROOTS_FILE} is not there\n"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="drumbeat-agent", description="Runs what Drumbeat assigns to this machine.")
    parser.add_argument("--version", action="version", version=f"drumbeat-agent {agent_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in (
        ("run", "run the agent until SIGTERM"),
        ("check", "check settings and credentials, run nothing"),
    ):
        sub = commands.add_parser(name, help=what, description=what)
        sub.add_argument(
            "--config", type=Path, required=True, metavar="FILE", help="settings, see deploy/agent/agent.yaml"
        )
    return parser


if __name__ == "__main__":
    main()
