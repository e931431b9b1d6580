"""Whatever the right keys have signed, a node says yes or no to it in words: at most 2 s and 64 MiB for 64 KiB."""

from hypothesis import given
from hypothesis import strategies as st

from agent.trust import NodeTrust
from bus.envelope import add_signature, seal
from bus.keys import SigningKey
from crds.messages import OperationSpec, ServiceAssignment
from crds.probe import ExecCheck, Probe
from crds.trust import RELEASE_TYPE, TRUST_TYPE
from tests.fuzz.budget import bounded, fuzzed
from tests.fuzz.parts import changed, texts
from tests.simulation.drivers import SimClock
from tests.support.roles import MemorySteps
from tests.support.signing import TARGET, Signing, release

SECONDS, MEBIBYTES = 2, 64
SIGNING = Signing()
ONE = release("1")
COMMAND = ["./smoke"]
STATEMENT = SIGNING.statement(ONE, commands={"gate": COMMAND, "probe": COMMAND})
DOCUMENT = SIGNING.document(3, floors={"api": 7}, revoked=SIGNING.named("qa"), keys=SIGNING.named("ci"))
SAID = (
    '{"service":"api","fleets":["prod"],"version":"1","release":"%s","commands":["%s"],"sequence":100}'  # noqa: UP031
    % (ONE.digest, "0" * 64)
)


def sealed(kind: str, payload: bytes, *by: SigningKey) -> str:
    envelope = seal(kind, payload, by[0])
    for key in by[1:]:
        envelope = add_signature(envelope, key)
    return envelope.decode()


def ask_everything(trust: str, statement: str, target: str = TARGET) -> None:
    """Every question that a node has, before and after a restart of its agent."""
    with bounded(SECONDS, MEBIBYTES):
        steps = MemorySteps()
        for _ in range(2):
            node = NodeTrust(SIGNING.pinned(), steps, SimClock())
            probe = Probe(exec=ExecCheck(command=COMMAND))
            said = ServiceAssignment(release=ONE, probes=[probe], statement=statement, trust=trust)
            gate = OperationSpec(name="smoke", target=TARGET, version="1", command=COMMAND, statement=statement)
            node.take([trust, None])
            answers = [node.install(target, ONE, said), node.keep(target, said), node.fetch(target, ONE, statement)]
            answers += [node.operate(gate), node.probe(target, said, probe), node.trouble]
            assert node.proven(target, ONE, statement) == (answers[2] == "")
            "".join(answers).encode()


@fuzzed
@given(st.data())
def test_any_trust_document_of_the_roots(data: st.DataObject) -> None:
    payload = changed(DOCUMENT.model_dump_json(by_alias=True), data)
    ask_everything(sealed(TRUST_TYPE, payload, *SIGNING.roots), STATEMENT)


@fuzzed
@given(st.data())
def test_any_statement_of_a_key_that_counts(data: st.DataObject) -> None:
    trust = sealed(TRUST_TYPE, DOCUMENT.model_dump_json(by_alias=True).encode(), *SIGNING.roots)
    ask_everything(trust, sealed(RELEASE_TYPE, changed(SAID, data), SIGNING.people["ci"]))


@fuzzed
@given(texts, texts)
def test_any_text_in_place_of_either(trust: str, statement: str) -> None:
    ask_everything(trust, statement)


def test_a_time_without_a_zone_is_no_time() -> None:
    payload = DOCUMENT.model_dump_json(by_alias=True).replace('"expires":null', '"expires":"2030-01-01T00:00:00"')
    assert "2030" in payload
    ask_everything(sealed(TRUST_TYPE, payload.encode(), *SIGNING.roots), STATEMENT)
