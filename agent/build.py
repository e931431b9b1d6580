"""From settings to a working agent: the one place that knows which parts there are."""

import platform
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from agent.core import Agent
from agent.drivers.find import NoSuchDriver, find_driver
from agent.environment import inherited
from agent.halted import Halted
from agent.journal import Journal, JournalProblem
from agent.processes import Processes, system_processes
from agent.redaction import Redactor
from agent.reporting import Reporter, Speaker
from agent.role import Role, Steps, Wake
from agent.secrets import Secrets
from agent.settings import BadSettings, RunnerSettings, Settings, driver_config
from agent.trust import NodeTrust
from bus.amqp_url import Account, BadBrokerUrl, broker_tls, is_broker_url, parse_broker_url
from bus.clock import Clock
from bus.envelope import open_assignment, seal_report
from bus.keys import CERTIFICATE_FILE, CERTIFICATE_KEY_FILE, TOKEN_FILE, NodeKeys
from bus.port import NodeBus
from bus.roots import ROOTS_FILE, read_roots
from bus.tls import BadTlsFiles, tls_context
from crds.messages import Report

RUNNER_FOLDER = "runner"


@dataclass
class Parts:
    """What an agent is made with."""

    settings: Settings
    keys: NodeKeys
    clock: Clock
    random: Random
    wake: Wake
    redactor: Redactor = field(default_factory=Redactor)
    """Knows what must not leave this node."""
    closing: ExitStack = field(default_factory=ExitStack)
    """Ends threads, newest first."""

    def seal(self, report: Report) -> bytes:
        """Take out of the report what must not leave this node, and sign it."""
        return seal_report(self.redactor.hide_in_report(report), self.keys.signer)


def build_agent(parts: Parts, send: Callable[[bytes], None]) -> Agent | Halted:
    """The agent; or what stands in for it, if the journal cannot be used."""
    settings = parts.settings
    interval = settings.report_interval
    speaker = _speaker(settings, f"{parts.random.getrandbits(64):016x}")
    try:
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o755)
        journal = Journal.open(settings.state / "journal", parts.clock, parts.random)
    except (JournalProblem, OSError) as problem:
        halted = f"halted-{parts.random.getrandbits(64):016x}"
        return Halted(str(problem), halted, speaker, parts.seal, send, interval)
    reporter = Reporter(speaker, journal, parts.seal, send, timedelta(seconds=interval))
    verify = partial(open_assignment, controller_keys=parts.keys.controller_keys, node=settings.node)
    return Agent(journal, build_roles(parts, journal.steps), verify, reporter, parts.wake, interval)


def build_roles(parts: Parts, steps: Callable[[str], Steps]) -> list[Role]:
    """The roles that the settings name. Raises BadKey if what is pinned cannot be used."""
    roles: list[Role] = []
    trust = NodeTrust(read_roots(parts.settings.credentials / ROOTS_FILE), steps("trust"), parts.clock)
    if parts.settings.host is not None:
        roles.append(_host(parts, steps("host"), trust))
    if parts.settings.balancer is not None:
        roles.append(_balancer(parts, parts.settings.balancer, steps("balancer")))
    if parts.settings.runner is not None:
        roles.append(_runner(parts, parts.settings.runner, steps("runner"), trust))
    return roles


def who_signs(settings: Settings) -> str:
    """Whether releases must be signed on this node, in words. Raises BadKey."""
    path = settings.credentials / ROOTS_FILE
    roots = read_roots(path)
    if roots is None:
        return f"releases need no signature here: {path} is not there"
    return f"releases must be signed by whom {roots.threshold} of {len(roots.keys)} roots name for fleet {roots.fleet}"


def check_files(settings: Settings) -> None:
    """Whether certificates that the settings name can be used. Raises BadSettings."""
    if is_broker_url(settings.bus):
        broker_account(settings)
    else:
        _check_tls("ca", settings.ca, None, None)
    for number, store in enumerate(settings.artifacts):
        _check_tls(f"artifacts.{number}", store.ca, store.certificate, store.key)


def check_drivers(settings: Settings) -> None:
    """Whether what the settings say of drivers can be used. Raises BadSettings."""
    if settings.balancer is not None:
        _balancer_driver(settings.balancer)


def build_bus(parts: Parts) -> NodeBus:
    """The way to the controller, by the URL's scheme."""
    settings = parts.settings
    if is_broker_url(settings.bus):
        return _over_broker(parts)
    from bus.http_node import HttpNodeBus  # noqa: PLC0415  only the transport that is used is loaded

    return HttpNodeBus(
        settings.bus,
        settings.node,
        parts.keys.token,
        ca=str(settings.ca) if settings.ca else None,
        interval=settings.report_interval,
        clock=parts.clock,
        random=parts.random,
    )


def _over_broker(parts: Parts) -> NodeBus:
    from bus.amqp_node import AmqpNodeBus  # noqa: PLC0415  only the transport that is used is loaded

    settings = parts.settings
    return AmqpNodeBus(
        parse_broker_url(settings.bus),
        settings.node,
        broker_account(settings),
        interval=settings.report_interval,
        clock=parts.clock,
        random=parts.random,
    )


def broker_account(settings: Settings) -> Account:
    """Who the node is at the broker. Raises BadSettings for files that cannot be used, BadKey for secrets."""
    url, folder = parse_broker_url(settings.bus), settings.credentials
    files = (folder / CERTIFICATE_FILE, folder / CERTIFICATE_KEY_FILE)
    try:
        account = Account.of(settings.node, folder / TOKEN_FILE, settings.ca, *files)
        if url.tls:
            broker_tls(account)
    except BadBrokerUrl as error:
        raise BadSettings(f"ca, credentials: {error}") from error
    return account


def _check_tls(setting: str, ca: Path | None, certificate: Path | None, key: Path | None) -> None:
    try:
        tls_context(ca, certificate, key)
    except BadTlsFiles as error:
        raise BadSettings(f"{setting}: {error}") from error


def agent_version() -> str:
    """The installed version of Drumbeat."""
    try:
        return version("drumbeat")
    except PackageNotFoundError:
        return "unknown"


def _speaker(settings: Settings, life: str) -> Speaker:
    named = {"host": settings.host, "balancer": settings.balancer, "runner": settings.runner}
    roles = [name for name, role in named.items() if role is not None]
    return Speaker(settings.node, agent_version(), platform.system().lower(), roles, life)


def _host(parts: Parts, steps: Steps, trust: NodeTrust) -> Role:
    from agent.drivers.services import archive  # noqa: PLC0415  only the roles that a node has are loaded
    from agent.drivers.services.archive.stores import Stores  # noqa: PLC0415
    from agent.drivers.supervisors import process  # noqa: PLC0415
    from agent.probes import Prober  # noqa: PLC0415
    from agent.roles.host import HostPorts, HostRole  # noqa: PLC0415

    settings, state = parts.settings.host, parts.settings.state
    assert settings is not None
    processes, base, hide = _processes(parts), inherited(), parts.redactor.hide
    secrets = _secrets(parts, processes)
    supervisor = process.Driver(settings.process, state, processes, parts.clock, parts.random, parts.wake, base, hide)
    stores = Stores(parts.settings.artifacts, secrets.value)
    return HostRole(
        HostPorts(
            node=parts.settings.node,
            services={
                "archive": archive.Driver(settings.archive, state, platform.system().lower(), parts.clock, stores)
            },
            supervisors={"process": supervisor},
            ask=Prober(processes, hide).ask,
            environment=base,
            secrets=secrets,
            clock=parts.clock,
            random=parts.random,
            steps=steps,
            wake=parts.wake,
            installing=_threads(parts, settings.downloads, "install"),
            probing=_threads(parts, settings.probes, "probe"),
            trust=trust,
        )
    )


def _balancer(parts: Parts, said: dict[str, Any], steps: Steps) -> Role:
    name, module, config = _balancer_driver(said)
    from agent.roles.balancer import BalancerRole  # noqa: PLC0415  only the roles that a node has are loaded

    return BalancerRole(name, module.Driver(config, parts.clock.monotonic), steps, parts.clock)


def _balancer_driver(said: dict[str, Any]) -> tuple[str, ModuleType, Any]:
    name = str(said.get("driver", "haproxy"))
    try:
        module = find_driver("balancers", name)
    except NoSuchDriver as error:
        raise BadSettings(f"balancer.driver: {error}") from error
    return name, module, driver_config(said, module)


def _runner(parts: Parts, settings: RunnerSettings, steps: Steps, trust: NodeTrust) -> Role:
    from agent.drivers.operations.exec import Commands  # noqa: PLC0415
    from agent.roles.runner import RunnerPorts, RunnerRole  # noqa: PLC0415

    processes, hide = _processes(parts), parts.redactor.hide
    secrets = _secrets(parts, processes)
    monotonic, owner = parts.clock.monotonic, str(parts.settings.state)
    commands = Commands(processes, settings.scripts, inherited(), secrets, hide, owner)
    drivers = {
        "exec": find_driver("operations", "exec").Driver(commands),
        "http": find_driver("operations", "http").Driver(monotonic, hide),
        "prometheus": find_driver("operations", "prometheus").Driver(secrets, monotonic, hide),
        "migration": find_driver("operations", "migration").Driver(commands, time.sleep),
    }
    threads = _threads(parts, settings.concurrency, "operation")
    return RunnerRole(RunnerPorts(drivers, threads, settings.concurrency, steps, parts.clock, parts.wake, trust))


def _processes(parts: Parts) -> Processes:
    processes = system_processes()
    parts.closing.callback(processes.close)
    return processes


def _secrets(parts: Parts, processes: Processes) -> Secrets:
    return Secrets(parts.settings.secrets, parts.redactor, processes.ask)


def _threads(parts: Parts, most: int, name: str) -> Executor:
    threads = ThreadPoolExecutor(most, thread_name_prefix=name)
    parts.closing.callback(threads.shutdown, wait=False, cancel_futures=True)
    return threads
