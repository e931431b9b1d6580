"""``drumbeat demo``: a fleet on this machine, a rollout under load, and one that is held."""

import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from controller.demo.display import Display
from controller.demo.fleet import Bus, Fleet, running
from controller.demo.interrupts import interruptible
from controller.demo.layout import FLEET, SERVICE, TARGET, Layout
from controller.demo.processes import DemoError, tail
from controller.demo.programs import need_program
from controller.demo.story import BROKEN, SECOND, Result, Story

INTERRUPTED = 130
LONGEST_ROOT = 70
"""Characters of the folder's path."""


def demo(
    hosts: Annotated[int, typer.Option(min=2, max=250, help="How many hosts.")] = 8,
    keep: Annotated[bool, typer.Option("--keep", help="Stay up at the end, to play with it, until Ctrl-C.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as one JSON object, last on stdout.")
    ] = False,
    bus: Annotated[
        str, typer.Option(help="How messages travel: http, or amqp over a RabbitMQ of its own.", metavar="BUS")
    ] = "http",
    folder: Annotated[
        Path | None,
        typer.Option(help="An empty or new folder to run in, removed at the end.", show_default="a new one in /tmp"),
    ] = None,
) -> None:
    """Run a fleet on this machine, roll a release out over it under load, and see a bad one held.

    Exit codes: 0 if it converged, no request failed, and the bad version was held before any customer met it;
    1 otherwise; 2 wrong use; 130 interrupted.
    """
    if bus not in ("http", "amqp"):
        raise typer.BadParameter(f"{bus!r} is no bus; write http or amqp", param_hint="--bus")
    console = Console(stderr=as_json, no_color=bool(os.environ.get("NO_COLOR")))
    raise typer.Exit(
        run_demo(root_of(folder), hosts, keep, as_json, Display(console), "amqp" if bus == "amqp" else "http")
    )


def root_of(folder: Path | None) -> Path:
    """Where the demo runs: the folder that was asked for, made if need be, or a new one. Raises BadParameter."""
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="drumbeat-"))
    root = folder.resolve()
    if len(str(root)) > LONGEST_ROOT:
        # The system takes about a hundred characters for a socket's path.
        raise typer.BadParameter(f"{root} is too long for sockets in it; name a shorter path", param_hint="--folder")
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        if any(root.iterdir()):
            raise typer.BadParameter(
                f"{root} is not empty, and would be removed at the end; name a folder that is not there yet",
                param_hint="--folder",
            )
    except OSError as error:
        raise typer.BadParameter(f"{root} cannot be used: {error.strerror}", param_hint="--folder") from error
    return root


def run_demo(root: Path, hosts: int, keep: bool, as_json: bool, display: Display, bus: Bus = "http") -> int:
    """The demo in the folder ``root``, which is removed unless it fails; the exit code."""
    fleet = Fleet(Layout.of(root, hosts), bus=bus)
    try:
        with interruptible(), running(fleet):
            result = Story(fleet, display).tell()
            summarise(result, display)
            if keep:
                stay(fleet, display)
    except DemoError as error:
        explain(error, root, display)
        return 1
    except KeyboardInterrupt:
        display.say("Interrupted; everything that was started has ended.")
        shutil.rmtree(root, ignore_errors=True)
        return INTERRUPTED
    if as_json:
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
    if result.good:
        shutil.rmtree(root)
    else:
        display.say(f"What was left is in {root}")
    return 0 if result.good else 1


def summarise(result: Result, display: Display) -> None:
    """What came of it, in a few lines."""
    saw = "reached customers" if result.customers_saw_bad_version else "never answered a customer"
    display.chapter("In short" if result.good else "This is not as it should be")
    for line in (
        f"version {result.converged_version} was rolled out over {result.hosts} hosts in {result.rollout_seconds:.1f}s",
        f"{result.requests_failed} of {result.requests_total} requests failed",
        f"version {BROKEN} {saw}",
        f"from commit to first drain: {result.commit_to_first_drain_seconds:.2f}s",
        f"the controller used {result.controller_cpu_seconds:.2f}s of CPU and {result.controller_rss_mb:.0f} MB",
    ):
        display.say(f"  {line}", "green" if result.good else "")


def stay(fleet: Fleet, display: Display) -> None:
    """Say how to play with the fleet, and wait for Ctrl-C."""
    layout = fleet.layout
    artifact = layout.artifacts / f"{SERVICE}-{SECOND}.tar.gz"
    environment = layout.root / "environment"
    environment.write_text(environment_text(layout), encoding="utf-8")
    display.chapter("It stays up until you press Ctrl-C. In another terminal:")
    for line in (
        f". {environment}      # puts drumbeat on the PATH, and says where everything is",
        f"cd {layout.repository}",
        f"drumbeat describe target {TARGET}      # why it is held",
        "drumbeat get nodes",
        f"drumbeat bump {SERVICE} {SECOND} --fleet {FLEET} --artifact {artifact} --commit",
        f"drumbeat rollout status {TARGET}",
        f"curl -i {layout.customers_url}/quote",
    ):
        display.say(f"  {line}", "cyan")
    display.say(f"The API: {layout.controller_url}/openapi.json   logs: {layout.logs}")
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        display.say("Everything that was started is being ended.")


def environment_text(layout: Layout) -> str:
    """What a shell in another terminal reads: the commands, the controller, and where everything is."""
    commands, haproxy = shlex.quote(str(Path(sys.executable).parent)), shlex.quote(str(need_program("haproxy").parent))
    values = {
        "PATH": f'{commands}:"$PATH":{haproxy}',
        "DRUMBEAT_SERVER": layout.controller_url,
        "DEMO": shlex.quote(str(layout.root)),
        "DEMO_ARTIFACTS": f"http://127.0.0.1:{layout.ports.artifacts}",
        "DEMO_CUSTOMERS": layout.customers_url,
    }
    return "".join(f"export {name}={value}\n" for name, value in values.items())


def explain(error: DemoError, root: Path, display: Display) -> None:
    """Say what went wrong, and show the end of the log that knows more."""
    display.say(f"error: {error}", "bold red")
    if error.log is not None:
        display.say(f"The last lines of {error.log}:")
        for line in tail(error.log):
            display.say(f"  {line}")
    if any(root.iterdir()):
        display.say(f"Everything is kept in {root}, logs in {root / 'logs'}.")
    else:
        root.rmdir()
