"""Envelopes: what is believed, what is refused, and under which word it is counted."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from bus.envelope import (
    MAX_ENVELOPE,
    Refused,
    open_assignment,
    open_envelope,
    open_report,
    seal,
    seal_assignment,
    seal_report,
)
from bus.keys import generate_key, key_id
from crds.messages import ASSIGNMENT_TYPE, REPORT_TYPE, Assignment, Report, ServiceAssignment, Stamp
from crds.probe import HttpCheck, Probe
from crds.release import Release

NODE_KEY = generate_key()
CONTROLLER_KEY = generate_key()
RELEASE = Release(version="1.0", url="https://a.example/1.tar.gz", sha256="0" * 64, run=["bin/x"])
ASSIGNMENT = Assignment(
    node="host-1",
    term=3,
    serial=9,
    expires=datetime(2026, 5, 1, tzinfo=UTC),
    services={
        "api@prod": ServiceAssignment(
            release=RELEASE, probes=[Probe(http=HttpCheck(path="/", port=80), interval="1.5s")]
        )
    },
)
REPORT = Report(node="host-1", incarnation="i", seq=4, full=False, full_seq=2, taken=Stamp(3, 9))


def reason(open_it: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refused:
        open_it()
    assert refused.value.detail
    return refused.value.reason


def test_an_assignment_arrives_as_it_was_sent() -> None:
    envelope = seal_assignment(ASSIGNMENT, CONTROLLER_KEY)
    assert open_assignment(envelope, [CONTROLLER_KEY.public_key], "host-1") == ASSIGNMENT


def test_a_report_arrives_as_it_was_sent() -> None:
    assert open_report(seal_report(REPORT, NODE_KEY), NODE_KEY.public_key, "host-1") == REPORT


@pytest.mark.parametrize("field", ["seq", "fullSeq", "taken"])
@pytest.mark.parametrize("number", [2**63, -1])
def test_numbers_that_no_store_holds_are_refused(field: str, number: int) -> None:
    """A node that sent one ended the controller, which could not write it down."""
    said = json.loads(REPORT.model_dump_json(by_alias=True)) | {field: [3, number] if field == "taken" else number}
    envelope = seal(REPORT_TYPE, json.dumps(said).encode(), NODE_KEY)
    assert reason(lambda: open_report(envelope, NODE_KEY.public_key, "host-1")) == "unknown_format"


def test_the_wire_form_is_dsse() -> None:
    """Checked by hand against the form's own definition, so that any DSSE tool can read our envelopes."""
    said = json.loads(seal("text/plain", b"hello", NODE_KEY))
    assert said.keys() == {"payload", "payloadType", "signatures"}
    assert base64.b64decode(said["payload"]) == b"hello"
    [signature] = said["signatures"]
    assert signature["keyid"] == key_id(NODE_KEY.public_key)
    NODE_KEY.public_key._crypto_key().verify(base64.b64decode(signature["sig"]), b"DSSEv1 10 text/plain 5 hello")


def test_a_second_controller_key_is_as_good_as_the_first() -> None:
    newer = generate_key()
    envelope = seal_assignment(ASSIGNMENT, newer)
    assert open_assignment(envelope, [CONTROLLER_KEY.public_key, newer.public_key], "host-1") == ASSIGNMENT


@pytest.mark.parametrize("keys", [[], [NODE_KEY.public_key]])
def test_another_key_is_refused(keys: list) -> None:
    assert reason(lambda: open_assignment(seal_assignment(ASSIGNMENT, CONTROLLER_KEY), keys, "host-1")) == "wrong_key"


def test_a_signature_of_one_payload_does_not_pass_for_another() -> None:
    said = json.loads(seal_assignment(ASSIGNMENT, CONTROLLER_KEY))
    other = ASSIGNMENT.model_copy(update={"serial": 10})
    said["payload"] = base64.b64encode(other.model_dump_json(by_alias=True).encode()).decode()
    forged = json.dumps(said).encode()
    assert reason(lambda: open_assignment(forged, [CONTROLLER_KEY.public_key], "host-1")) == "wrong_key"


def test_a_signed_report_does_not_pass_for_an_assignment() -> None:
    envelope = seal_report(REPORT, CONTROLLER_KEY)
    assert reason(lambda: open_assignment(envelope, [CONTROLLER_KEY.public_key], "host-1")) == "wrong_type"
    said = json.loads(envelope) | {"payloadType": ASSIGNMENT_TYPE}
    relabelled = json.dumps(said).encode()
    assert reason(lambda: open_assignment(relabelled, [CONTROLLER_KEY.public_key], "host-1")) == "wrong_key"


def test_another_node_s_messages_are_refused() -> None:
    assignment = seal_assignment(ASSIGNMENT, CONTROLLER_KEY)
    assert reason(lambda: open_assignment(assignment, [CONTROLLER_KEY.public_key], "host-2")) == "wrong_node"
    report = seal_report(REPORT, NODE_KEY)
    assert reason(lambda: open_report(report, NODE_KEY.public_key, "host-2")) == "wrong_node"


def test_size_is_looked_at_first() -> None:
    assert reason(lambda: open_envelope(b"{" * (MAX_ENVELOPE + 1), "text/plain", [])) == "too_large"
    small = seal("text/plain", b"x", NODE_KEY)
    assert reason(lambda: open_envelope(small, "text/plain", [NODE_KEY.public_key], len(small) - 1)) == "too_large"
    assert open_envelope(small, "text/plain", [NODE_KEY.public_key], len(small)) == b"x"


@pytest.mark.parametrize("length", [0, 1, 10, 200, -2, -1])
def test_a_broken_off_envelope_is_called_truncated(length: int) -> None:
    envelope = seal_report(REPORT, NODE_KEY)[:length]
    assert reason(lambda: open_report(envelope, NODE_KEY.public_key, "host-1")) == "truncated"


@pytest.mark.parametrize(
    "envelope",
    [
        b"hello",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"payload": 1, "payloadType": "t", "signatures": []}',
        b'{"payload": "%", "payloadType": "t", "signatures": []}',
        b'{"payload": "aa==", "payloadType": {}, "signatures": []}',
        b'{"payload": "aa==", "payloadType": "\\ud800", "signatures": []}',
        b'{"payload": "aa==", "payloadType": "t", "signatures": 5}',
        b'{"payload": "aa==", "payloadType": "t", "signatures": [{"keyid": [], "sig": "aa=="}]}',
        b'{"payload": "aa==", "payloadType": "t", "signatures": [{"keyid": "k"}]}',
    ],
)
def test_what_is_no_envelope_is_called_so(envelope: bytes) -> None:
    assert reason(lambda: open_envelope(envelope, "t", [NODE_KEY.public_key])) == "unknown_format"


def test_a_signed_payload_of_another_shape_is_refused_with_the_field() -> None:
    envelope = seal(REPORT_TYPE, b'{"node": "host-1", "incarnation": 5}', NODE_KEY)
    with pytest.raises(Refused, match="incarnation") as refused:
        open_report(envelope, NODE_KEY.public_key, "host-1")
    assert refused.value.reason == "unknown_format"


def test_fields_of_a_newer_version_are_ignored_at_every_depth() -> None:
    said = json.loads(ASSIGNMENT.model_dump_json(by_alias=True))
    said["new"] = 1
    said["services"]["api@prod"]["new"] = {}
    said["services"]["api@prod"]["release"]["new"] = []
    said["services"]["api@prod"]["probes"][0]["new"] = 1
    said["services"]["api@prod"]["probes"][0]["http"]["new"] = 1
    envelope = seal(ASSIGNMENT_TYPE, json.dumps(said).encode(), CONTROLLER_KEY)
    assert open_assignment(envelope, [CONTROLLER_KEY.public_key], "host-1") == ASSIGNMENT


def test_a_refusal_stays_short_whatever_came() -> None:
    envelope = json.dumps({"payload": "", "payloadType": "t" * 100_000, "signatures": []}).encode()
    with pytest.raises(Refused) as refused:
        open_envelope(envelope, "text/plain", [NODE_KEY.public_key])
    assert len(str(refused.value)) < 500
