"""docs/install.md, followed literally: every block pasted in order, on machines of its own, over HTTPS and RabbitMQ."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.machines import CHECKOUT, Machine, can_make_machines, machines
from tests.support.rabbitmq import is_installed
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not is_installed(), reason="rabbitmq-server is not installed"),
    pytest.mark.skipif(not can_make_machines(), reason="overlays and namespaces need root"),
]

NODES = ("trading-01", "lb-1", "runner-1")
_LINK = "for P in drumbeat drumbeat-agent; do ln -s /usr/local/bin/installed-$P /opt/drumbeat/bin/$P; done"
STAND_INS = (
    # There is no package index: what is installed is this checkout.
    (r"python3 -m venv /opt/drumbeat", "install -d /opt/drumbeat/bin"),
    (r"/opt/drumbeat/bin/pip install .*--no-deps.*", _LINK),
    (r"/opt/drumbeat/bin/pip install .*", ":"),
)
BUILT = "install -d /root/dist && cp -r /mnt/checkout/deploy /root/dist/"


@dataclass
class Block:
    section: int
    where: list[str]
    script: str


def blocks() -> Iterator[Block]:
    """The guide's blocks, each with its section and the machines that its first line names."""
    section = 0
    page = (CHECKOUT / "docs/install.md").read_text(encoding="utf-8")
    for number, body in re.findall(r"^## (\d+)\.|^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        if number:
            section = int(number)
            continue
        first, _, script = body.partition("\n")
        if first.endswith("in a clone of this repository"):
            script = BUILT
        where = re.findall(r"[a-z]+(?:-\d+)?", first.removeprefix("# on ").partition(", in a")[0].replace(" and ", " "))
        for line, instead in STAND_INS:
            script = re.sub(rf"^{line}$", instead, script, flags=re.MULTILINE)
        yield Block(section, where, script)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[dict[str, Machine]]:
    names = ["controller", *NODES, "broker-1"]
    with machines(tmp_path, names, {"drumbeat.example.com": "controller"}) as made:
        yield made


def follow(fleet: dict[str, Machine], first: int, last: int) -> str:
    """Paste the blocks of these sections; what the last one said."""
    said = ""
    for block in blocks():
        if first <= block.section <= last:
            for name in block.where:
                said = fleet[name].run(block.script)[1]
    return said


def states(controller: Machine) -> dict[str, str]:
    """The state of each node that has reported."""
    listed = controller.run("drumbeat get nodes")[1].splitlines()[1:]
    return {line.split()[0]: line.split()[1] for line in listed if line.split()[0] in NODES}


def test_three_nodes_from_nothing(fleet: dict[str, Machine]) -> None:
    controller = fleet["controller"]
    well = {"trading-01": "Ready", "lb-1": "BalancerUnreachable", "runner-1": "Ready"}
    said = follow(fleet, 1, 7)
    assert [line.split()[:3] for line in said.splitlines() if "ed25519:" in line] == [
        ["lb-1", "joined", "balancer"],
        ["runner-1", "joined", "runner"],
        ["trading-01", "joined", "host"],
    ]
    eventually(lambda: states(controller) == well, patience=60)

    follow(fleet, 8, 8)
    apply = "runuser -u drumbeat -- drumbeat bus apply --management https://broker-1:15671 --dry-run"
    eventually(lambda: "no difference" in controller.run(apply, check=False)[1], patience=60)
    connected = "rabbitmqctl -q list_connections user --no-table-headers"
    everybody = {"drumbeat_controller", *NODES}
    eventually(lambda: set(fleet["broker-1"].run(connected)[1].split()) == everybody, patience=60)
    eventually(lambda: states(controller) == well, patience=60)

    controller.run("runuser -u drumbeat -- drumbeat nodes revoke trading-01")
    eventually(lambda: "trading-01" not in fleet["broker-1"].run("rabbitmqctl -q list_users")[1], patience=30)
    eventually(lambda: "trading-01" not in fleet["broker-1"].run(connected)[1], patience=30)
