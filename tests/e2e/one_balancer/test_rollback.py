"""A release that fails its smoke test behind a real HAProxy, under load: hosts go back, customers notice nothing."""

import re
from typing import Any

import pytest
import yaml

from controller.cli.words import condition
from tests.support.fleet import CONTROLLER, SERVICE_FILE, Rig

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.timeout(300),
]


def with_rollout(**changes: Any) -> Any:
    """What makes the service's text say this of its rollout."""

    def change(text: str) -> str:
        service = yaml.safe_load(text)
        service["spec"]["rollout"] |= changes
        return yaml.safe_dump(service, sort_keys=False)

    return change


def test_a_release_that_fails_its_smoke_test_is_rolled_back_without_a_failed_request(rig: Rig) -> None:
    before = rig.layout.repository.joinpath(SERVICE_FILE).read_text()
    rig.change(SERVICE_FILE, with_rollout(batches=["50%"], onFailure="rollback", rollback={"soak": "0s"}))
    good = rig.bump()
    rig.converge(good)
    bad = rig.bump(broken=True)
    message = rig.leads_with("RolledBack")
    assert message.startswith(f"version {bad} was taken back: ")
    assert "gate smoke failed: " in message
    assert f"version {good} runs in its place" in message

    tried = set(rig.starts(bad))
    assert 1 <= len(tried) <= 2, "no host of the second batch"
    target = rig.target()
    assert condition(target, "RolledBack")
    assert not condition(target, "Ready"), "what git declares does not run"
    assert (target["spec"]["version"], target["status"]["version"]) == (bad, good)
    assert all(rig.is_served_by(host.name) for host in rig.layout.hosts)
    said = rig.drumbeat("describe", "target", "trading-api@prod")
    assert re.search(rf"Quarantine: +version {bad} \(digest \w+\), for \d+s, by drumbeat: ", said)
    assert f"4 of 4 hosts run {good}, healthy and online" in said.splitlines()[0]

    rig.kill_and_restart(CONTROLLER)
    rig.serve()
    assert set(rig.starts(bad)) == tried, "it is not tried again"
    assert rig.failures() == {}

    rig.change(SERVICE_FILE, lambda _: before)
    rig.converge(rig.bump())
    assert rig.failures() == {}
