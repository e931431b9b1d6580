"""What an attacker can do who has one part of it all: docs/SECURITY.md says it, and here it is seen.

Most of what he cannot do is in test_release_attacks.py, test_command_attacks.py, test_attacks_on_messages.py and
test_attacks_on_reports.py. Where a test here shows that something succeeds, that is a limit that operators must know.
"""

from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from agent.drivers.operations import http as http_driver
from agent.drivers.operations.forwarder import PROOF
from agent.roles.runner import run_operation
from bus.keys import generate_key
from controller.nodes import Nodes
from crds.messages import OperationSpec, ServiceAssignment, Via
from crds.probe import ExecCheck, Probe
from crds.release import Release
from tests.simulation.drivers import SimClock
from tests.support.roles import MemorySteps
from tests.support.signed_nodes import SignedHost, SignedRunner
from tests.support.signing import TARGET, Signing, release
from tests.support.worlds import NOW, report, seconds

ONE, TWO, EVIL = release("1"), release("2"), release("evil", run=["evil"])
GATE = ["./smoke", "{url}"]


@pytest.fixture(scope="module")
def signing() -> Signing:
    return Signing()


def running(folder: Path, signing: Signing, what: Release = ONE, *by: str) -> SignedHost:
    """A host that pins roots, and runs what these people have signed."""
    host = SignedHost(folder, signing.pinned())
    assert host.give(what, signing.statement(what, *by), signing.trust()).state == "running"
    return host


def _folder(path: Path, name: str) -> Path:
    (path / name).mkdir()
    return path / name


# --- broker


def test_a_broker_can_have_a_node_disputed_by_what_it_recorded() -> None:
    """After a restart the controller remembers one life of the node. Old reports, repeated for two minutes beside the
    live ones, look like a clone. That stops work on the node until a person has decided, and never starts any.
    """
    nodes = Nodes(90.0)
    nodes.load(report("vm1", 2_000_000, life="now"))
    for beat in range(6):
        nodes.hear(report("vm1", 2_000_001 + beat, life="now"), NOW + seconds(30 * beat))
        nodes.hear(report("vm1", 400 + beat, life="recorded"), NOW + seconds(30 * beat + 10))
    assert nodes.get("vm1").disputed
    assert nodes.get("vm1").mute


# --- controller


def test_a_controller_can_stop_and_remove_a_service(tmp_path: Path, signing: Signing) -> None:
    """No signature is needed to end something."""
    host = running(tmp_path, signing)
    assert host.give(None, None, None).state == "absent"
    assert not host.runs(ONE)


def test_a_controller_can_go_back_to_whatever_was_signed_above_the_floor(tmp_path: Path, signing: Signing) -> None:
    host = running(tmp_path, signing, TWO)
    floor = signing.trust(2, floors={"api": 100})
    assert host.give(ONE, signing.statement(ONE, sequence=100), floor).state == "running"
    assert host.give(TWO, signing.statement(TWO, sequence=99), floor).state == "failed"
    assert host.runs(ONE)


def test_a_controller_can_leave_probes_out(tmp_path: Path, signing: Signing) -> None:
    """What is signed may run; that it must run is not said. A release without its probes counts as healthy."""
    host = SignedHost(tmp_path, signing.pinned())
    statement = signing.statement(ONE, commands={"probe": ["./probe"]})
    probe = Probe(exec=ExecCheck(command=["./probe"]))
    assert host.give(ONE, statement, signing.trust(), probes=[probe]).healthy
    assert host.asked
    another = SignedHost(_folder(tmp_path, "another"), signing.pinned())
    assert another.give(ONE, statement, signing.trust()).healthy
    assert another.asked == []


def test_a_controller_can_send_a_signed_gate_to_another_address(signing: Signing) -> None:
    """The command is signed, and where it leads to is not: a gate must not carry a secret that is worth much."""
    clock = SimClock()
    runner = SignedRunner(signing.node(clock), clock, MemorySteps())
    spec = OperationSpec(
        name="smoke",
        target=TARGET,
        host="vm1",
        version="1",
        command=GATE,
        via=Via(url="http://192.0.2.1:80", server="vm1"),
        statement=signing.statement(ONE, commands={"gate": GATE}),
        trust=signing.trust(),
    )
    assert (runner.give(spec).outcome, runner.ran) == ("passed", [GATE])


# --- extraneous dependencies


def test_extraneous_dependency_an_unsigned_service_beside_a_signed_one(tmp_path: Path, signing: Signing) -> None:
    """Nothing comes along with what was signed: not another service of the node, not what is fetched next."""
    host = running(tmp_path, signing)
    good = ServiceAssignment(release=ONE, statement=signing.statement(ONE), trust=signing.trust(), next=EVIL)
    others = signing.statement(ONE, service="evil")
    evil = ServiceAssignment(release=EVIL, statement=others, trust=signing.trust())
    host.assignment = host.assignment.model_copy(update={"services": {TARGET: good, "evil@prod": evil}})
    for _ in range(30):
        said = host.role.converge(host.assignment, host.clock.now()).services
        host.clock.advance(1.0)
        host.installing.run_due()
    assert (said[TARGET].state, said["evil@prod"].state) == ("running", "failed")
    assert not host.touched(EVIL)
    assert not host.touched(EVIL, "evil@prod")


def test_extraneous_dependency_a_command_that_was_not_signed(tmp_path: Path, signing: Signing) -> None:
    """Nor a command around it."""
    host = SignedHost(tmp_path, signing.pinned())
    probes = [Probe(exec=ExecCheck(command=command)) for command in (["./probe"], ["./extra"])]
    said = host.give(ONE, signing.statement(ONE, commands={"probe": ["./probe"]}), signing.trust(), probes=probes)
    assert (said.state, host.asked, host.touched(ONE)) == ("failed", [], False)


# --- CI, and one operator


def test_key_compromise_below_the_threshold(tmp_path: Path) -> None:
    """CI is one of two who must sign: what it alone has signed is not fetched, installed or started."""
    signing = Signing(threshold=2)
    host = running(tmp_path, signing, ONE, "ci", "qa")
    for statement in (signing.statement(EVIL, "ci"), signing.statement(EVIL, "ci", "ci")):
        assert host.give(EVIL, statement, signing.trust()).state == "failed"
    assert not host.touched(EVIL)
    assert host.runs(ONE)


def test_key_compromise_at_the_threshold(tmp_path: Path) -> None:
    """Who has as many keys as are needed runs what he likes, until the roots revoke one."""
    signing = Signing(threshold=2)
    host = running(tmp_path, signing, ONE, "ci", "qa")
    assert host.give(EVIL, signing.statement(EVIL, "ci", "qa"), signing.trust()).state == "running"
    signing.people["new"] = generate_key()
    revoked = signing.trust(2, keys=signing.named("qa", "new"), revoked=signing.named("ci"))
    worse = release("worse", run=["worse"])
    assert host.give(worse, signing.statement(worse, "ci", "qa"), revoked).state == "failed"
    assert not host.touched(worse)
    assert host.runs(EVIL), "to end what runs is a decision of its own"
    assert host.give(ONE, signing.statement(ONE, "qa", "new"), revoked).state == "running"


def test_key_compromise_of_roots_at_their_threshold(tmp_path: Path, signing: Signing) -> None:
    """The last word: only who replaces the file on the node ends that (test_release_attacks.py has how)."""
    host = running(tmp_path, signing)
    thief = Signing(roots=signing.roots)
    assert host.give(EVIL, thief.statement(EVIL), thief.trust(2)).state == "running"


def test_fast_forward_of_a_trust_document(tmp_path: Path, signing: Signing) -> None:
    """One root of two can name no version that nobody outbids."""
    host = running(tmp_path, signing)
    host.give(ONE, signing.statement(ONE), signing.trust(2**52, by=signing.roots[:1]))
    assert host.trust.version == 1
    host.give(ONE, signing.statement(ONE), signing.trust(2))
    assert host.trust.version == 2


def test_a_new_node_takes_an_older_trust_document_until_that_expires(tmp_path: Path, signing: Signing) -> None:
    """A node that remembers nothing cannot tell which document is the newest: that is what expiry is for."""
    older = signing.trust(1, expires=SimClock().now() + timedelta(days=1))
    without_ci = signing.trust(2, keys=signing.named("qa"))
    host = SignedHost(_folder(tmp_path, "known"), signing.pinned())
    host.give(ONE, signing.statement(ONE, "qa"), without_ci)
    assert host.give(TWO, signing.statement(TWO, "ci"), older).state == "failed"
    fresh = SignedHost(_folder(tmp_path, "new"), signing.pinned())
    assert fresh.give(TWO, signing.statement(TWO, "ci"), older).state == "running"
    late = SignedHost(_folder(tmp_path, "late"), signing.pinned())
    late.clock.advance(2 * 24 * 3600.0)
    assert late.give(TWO, signing.statement(TWO, "ci"), older).state == "failed"


# --- one balancer node


@pytest.fixture
def liar() -> Iterator[str]:
    """A balancer that answers itself, in every server's name."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header(PROOF, self.headers[PROOF])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_balancer_node_can_let_a_gate_pass(liar: str) -> None:
    """Gates ask through it, and the proof of who answered is its word."""
    spec = OperationSpec(name="smoke", target=TARGET, host="vm1", path="/", via=Via(url=liar, server="vm1"))
    assert run_operation(http_driver.Driver(lambda: 0.0), spec).outcome == "passed"
