"""Command line of the agent: ``drumbeat-agent``."""

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.build import agent_version, check_drivers, check_files, who_signs
from agent.redaction import Redactor
from agent.run import Pulse, run
from agent.settings import BadSettings, Settings, read_settings
from bus.clock import SystemClock
from bus.keys import BadKey, NodeKeys
from bus.logs import configure_logging

_JOIN = "become a node, with the token that 'drumbeat nodes invite' printed on the controller"


def main() -> None:
    """Console script. Does not wait for downloads and probes that are under way: a kill is as good.

    Neither after a defect: the process must end then, so that whoever watches over it starts another.
    """
    try:
        status = command(sys.argv[1:])
    except Exception:
        logging.getLogger("agent").exception("a defect ended the agent")
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def command(arguments: Sequence[str]) -> int:
    """Run a command line; exit status 0, 1 if something cannot be used, 2 for a wrong command line."""
    said = _parser().parse_args(arguments)
    try:
        if said.command == "join":
            return _join(said)
        settings = read_settings(said.config)
        if said.command == "check":
            return _check(settings)
        redactor = Redactor()
        configure_logging(sys.stderr, settings.log_level, hide=redactor.hide)
        _log_what_ends_threads()
        pulse = Pulse()
        pulse.stop_on_signals()
        run(settings, SystemClock(), pulse, redactor)
    except (BadSettings, BadKey) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _check(settings: Settings) -> int:
    NodeKeys.load(settings.credentials)
    check_drivers(settings)
    check_files(settings)
    signing = who_signs(settings)
    sys.stdout.write(f"{settings.node}: settings and credentials are in order\n{signing}\n")
    return 0


def _join(said: argparse.Namespace) -> int:
    from agent.join import JoinFailed, Joining, join  # noqa: PLC0415  an agent that runs has no use for it

    try:
        token = sys.stdin.readline() if said.token_file is None else _token(said.token_file)
        answer = join(Joining(said.controller, said.name, token, said.credentials, said.ca))
    except JoinFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{answer.node}: joined as {', '.join(answer.roles)}; credentials are in {said.credentials}\n")
    return 0


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: cannot be read: {error}") from error


def _log_what_ends_threads() -> None:
    """A defect's traceback goes through the log, where secrets are hidden, and not as it is to standard error."""

    def log(said: Any) -> None:
        trace = (said.exc_type, said.exc_value, said.exc_traceback)
        logging.getLogger("agent").error("a defect ended a thread", exc_info=trace)

    threading.excepthook = log


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
    _add_join(commands.add_parser("join", help=_JOIN, description=_JOIN))
    return parser


def _add_join(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--controller", required=True, metavar="URL", help="https://..., as bus: in agent.yaml")
    sub.add_argument("--name", required=True, help="this node's name, as in the invitation and in the fleet's file")
    sub.add_argument("--credentials", type=Path, required=True, metavar="DIR", help="as credentials: in agent.yaml")
    sub.add_argument(
        "--token-file", type=Path, metavar="FILE", help="the invitation's token; read from stdin if left out"
    )
    sub.add_argument("--ca", type=Path, metavar="FILE", help="trust the certificates of this file only")


if __name__ == "__main__":
    main()
