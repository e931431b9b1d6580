"""Whatever is received or lay on the disk is believed or refused: at most 2 s and 64 MiB for one of 1 MiB at most."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.copies import Copies
from agent.drivers.contracts import Terminal
from agent.drivers.supervisors.record import Record, Records
from agent.expiry import expired
from agent.journal import Journal, JournalProblem
from agent.redaction import Redactor
from bus.clock import SystemClock
from bus.envelope import MAX_ENVELOPE, Refused, open_assignment, open_envelope, open_report, seal, seal_report
from bus.keys import generate_key
from crds.messages import (
    ASSIGNMENT_TYPE,
    REPORT_TYPE,
    Assignment,
    OperationReport,
    OperationSpec,
    PoolAssignment,
    PoolReport,
    ProcessIdentity,
    Report,
    ServerAssignment,
    ServerReport,
    ServiceAssignment,
    ServiceReport,
    Stamp,
)
from crds.probe import Probe
from crds.release import Release
from tests.fuzz.budget import bounded, fuzzed
from tests.fuzz.parts import changed

KEY = generate_key()
KEYS = [KEY.public_key]
STAMP = Stamp(1, 2)
SECONDS, MEBIBYTES = 2, 64
RELEASE = Release(version="1", url="https://a/b", sha256="0" * 64, run=["a"], secrets={"A": "b"})
SERVICE = ServiceAssignment(release=RELEASE, probes=[Probe.model_validate({"tcp": {"port": 1}})])
IDENTITY = ProcessIdentity(boot="b", pid=1, started="1", executable="e")
ASSIGNMENT = Assignment(
    node="h1",
    term=1,
    serial=2,
    expires=datetime(2026, 1, 1, tzinfo=UTC),
    services={"a@b": SERVICE},
    pools={"p": PoolAssignment(servers={"s": ServerAssignment(state="maint", address="1.2.3.4:5")})},
    operations={"o": OperationSpec(name="n", target="a@b", command=["c"], secrets={"A": "b"})},
)
SERVER = ServerReport(read=STAMP, admin="maint", up=False, idle=True, address="1.2.3.4:5")
REPORT = Report(
    node="h1",
    incarnation="i",
    seq=1,
    full=True,
    full_seq=1,
    taken=STAMP,
    services={"a@b": ServiceReport(read=STAMP, state="running", identity=IDENTITY, log_tail=["a"])},
    pools={"p": PoolReport(read=STAMP, servers={"s": SERVER})},
    operations={"o": OperationReport(read=STAMP, state="finished", outcome="passed")},
)


def opened(open_it: Callable[[], object]) -> object:
    with bounded(SECONDS, MEBIBYTES):
        try:
            return open_it()
        except Refused as refused:
            json.dumps(str(refused)).encode()
            return None


@fuzzed
@given(st.data())
def test_any_report_of_a_node_that_is_known(data: st.DataObject) -> None:
    envelope = seal(REPORT_TYPE, changed(REPORT.model_dump_json(by_alias=True), data), KEY)
    report = opened(lambda: open_report(envelope, KEY.public_key, "h1"))
    if isinstance(report, Report):
        redactor = Redactor()
        redactor.learn("planted-secret")
        seal_report(redactor.hide_in_report(report), KEY)


@fuzzed
@given(st.data())
def test_any_assignment_of_a_controller_that_is_known(data: st.DataObject) -> None:
    envelope = seal(ASSIGNMENT_TYPE, changed(ASSIGNMENT.model_dump_json(by_alias=True), data), KEY)
    opened(lambda: expired(open_assignment(envelope, KEYS, "h1"), datetime.now(UTC)))


MOMENTS = ["9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]


@pytest.mark.parametrize("expires", MOMENTS)
def test_the_first_and_the_last_moment_are_moments(expires: str) -> None:
    said = json.loads(ASSIGNMENT.model_dump_json(by_alias=True)) | {"expires": expires}
    envelope = seal(ASSIGNMENT_TYPE, json.dumps(said).encode(), KEY)
    late = opened(lambda: expired(open_assignment(envelope, KEYS, "h1"), datetime.now(UTC)))
    assert late is expires.startswith("0001")


def test_an_expiry_without_a_zone_is_refused() -> None:
    said = json.loads(ASSIGNMENT.model_dump_json(by_alias=True)) | {"expires": "2030-01-01T00:00:00"}
    with pytest.raises(Refused, match="expires: Input should have timezone info"):
        open_assignment(seal(ASSIGNMENT_TYPE, json.dumps(said).encode(), KEY), KEYS, "h1")


SEALED = seal(REPORT_TYPE, REPORT.model_dump_json(by_alias=True).encode(), KEY)


@fuzzed
@given(st.data())
def test_any_envelope(data: st.DataObject) -> None:
    opened(lambda: open_envelope(changed(SEALED.decode(), data), REPORT_TYPE, KEYS))


@fuzzed
@given(st.binary(max_size=400), st.integers(0, len(SEALED)), st.integers(0, 200))
def test_any_bytes_in_an_envelope(noise: bytes, at: int, instead: int) -> None:
    opened(lambda: open_envelope(SEALED[:at] + noise + SEALED[at + instead :], REPORT_TYPE, KEYS))


HEAVY: dict[str, bytes] = {
    "deep": b"[" * MAX_ENVELOPE,
    "deep objects": b'{"a":' * (MAX_ENVELOPE // 5),
    "one long number": b"9" * MAX_ENVELOPE,
    "many numbers": b"[" + b"1," * (MAX_ENVELOPE // 2 - 2) + b"1]",
    "many empty lists": b"[" + b"[]," * (MAX_ENVELOPE // 3 - 2) + b"[]]",
    "many keys": json.dumps({str(n): n for n in range(60_000)}).encode(),
    "many signatures": json.dumps(
        {"payload": "", "payloadType": "a", "signatures": [{"keyid": str(n), "sig": ""} for n in range(20_000)]}
    ).encode(),
    "one signature again and again": json.dumps(
        json.loads(SEALED) | {"signatures": json.loads(SEALED)["signatures"] * 4000}
    ).encode(),
    "too large": b"{" + b" " * MAX_ENVELOPE,
}


@pytest.mark.parametrize("name", HEAVY)
def test_what_is_heavy_is_refused_soon(name: str) -> None:
    opened(lambda: open_envelope(HEAVY[name], REPORT_TYPE, KEYS))
    with_payload = seal(REPORT_TYPE, HEAVY[name][: MAX_ENVELOPE // 2], KEY)
    assert opened(lambda: open_report(with_payload, KEY.public_key, "h1")) is None


def journal_bytes() -> bytes:
    with TemporaryDirectory() as folder:
        journal = Journal.open(Path(folder) / "journal", SystemClock(), Random(1))
        journal.take(STAMP, b"envelope")
        journal.save_steps("host", {"a@b": SERVICE.model_dump_json(by_alias=True)})
        return (Path(folder) / "journal").read_bytes()


JOURNAL = journal_bytes()


def content(journal: bytes) -> bytes:
    """What a journal's copies hold."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        path.write_bytes(journal)
        return Copies(path, "drumbeat-journal").read()


def sealed(body: bytes) -> bytes:
    """A journal with this content and the right checksum."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        Copies(path, "drumbeat-journal").write(body)
        return path.read_bytes()


def read_journal(content: bytes) -> None:
    with TemporaryDirectory() as folder, bounded(SECONDS, MEBIBYTES):
        path = Path(folder) / "journal"
        path.write_bytes(content)
        try:
            journal = Journal.open(path, SystemClock(), Random(1))
            journal.load_steps("host"), journal.next_number()
        except JournalProblem as problem:
            json.dumps(str(problem)).encode()
            assert path.read_bytes() == content, "what cannot be understood is left as it is"


@fuzzed
@given(st.binary(max_size=100), st.integers(0, len(JOURNAL)), st.integers(0, 100))
def test_any_bytes_in_a_journal(noise: bytes, at: int, instead: int) -> None:
    read_journal(JOURNAL[:at] + noise + JOURNAL[at + instead :])


@fuzzed
@given(st.data())
def test_any_journal_whose_checksum_is_right(data: st.DataObject) -> None:
    read_journal(sealed(changed(content(JOURNAL).decode(), data)))


def test_a_journal_that_is_too_deep() -> None:
    read_journal(sealed(b"[" * 500_000))


@fuzzed
@given(st.data())
def test_any_record_of_a_process(data: st.DataObject) -> None:
    record = Record(target="a@b", digest="d", version="1", token="t", identity=IDENTITY)
    with TemporaryDirectory() as folder, bounded(SECONDS, MEBIBYTES):
        records = Records(Path(folder), "boot")
        records.write(record)
        (path,) = (Path(folder) / "boot").iterdir()
        path.write_bytes(
            data.draw(st.binary(max_size=50)) if data.draw(st.booleans()) else changed(path.read_text(), data)
        )
        try:
            Records(Path(folder), "boot").read("a@b")
        except Terminal:
            return
