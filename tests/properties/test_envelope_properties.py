"""Whatever happens to an envelope on its way: it is read as it was sealed, or refused."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.envelope import Refused, open_envelope, open_report, seal, seal_report
from bus.keys import generate_key
from crds.messages import REPORT_TYPE, Report, Stamp

KEY = generate_key()
OTHER = generate_key()
REPORT = Report(node="host-1", incarnation="i", seq=4, full=False, full_seq=2, taken=Stamp(3, 9))
SEALED = seal_report(REPORT, KEY)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(payload_type=st.text(max_size=50), payload=st.binary(max_size=500))
def test_what_was_sealed_is_what_is_opened(payload_type: str, payload: bytes) -> None:
    assert open_envelope(seal(payload_type, payload, KEY), payload_type, [OTHER.public_key, KEY.public_key]) == payload


@settings(max_examples=500)
@given(bit=st.integers(0, len(SEALED) * 8 - 1))
def test_a_flipped_bit_changes_nothing_that_is_believed(bit: int) -> None:
    damaged = bytearray(SEALED)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        assert open_report(bytes(damaged), KEY.public_key, "host-1") == REPORT
    except Refused as refused:
        assert refused.reason in {"truncated", "unknown_format", "wrong_type", "wrong_key"}


@given(length=st.integers(0, len(SEALED) - 1))
def test_no_beginning_of_an_envelope_is_believed(length: int) -> None:
    try:
        open_report(SEALED[:length], KEY.public_key, "host-1")
    except Refused as refused:
        assert refused.reason == "truncated"
    else:
        raise AssertionError(f"the first {length} of {len(SEALED)} bytes were believed")


@given(field=st.sampled_from(["payload", "payloadType", "signatures"]), value=JSON)
def test_a_swapped_field_is_refused(field: str, value: object) -> None:
    swapped = json.dumps(json.loads(SEALED) | {field: value}).encode()
    try:
        open_report(swapped, KEY.public_key, "host-1")
    except Refused:
        return
    raise AssertionError(f"believed with {field} replaced by {value!r}")


@given(envelope=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_noise_is_refused(envelope: bytes) -> None:
    try:
        open_envelope(envelope, REPORT_TYPE, [KEY.public_key])
    except Refused:
        return
    raise AssertionError(f"believed: {envelope!r}")


@given(payload=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_signed_payload_that_is_no_report_is_refused(payload: bytes) -> None:
    try:
        open_report(seal(REPORT_TYPE, payload, KEY), KEY.public_key, "host-1")
    except Refused as refused:
        assert refused.reason == "unknown_format"
    else:
        raise AssertionError(f"believed: {payload!r}")
