"""Envelopes in the DSSE form: payload type, payload bytes, signatures over both.

Source of the form: https://github.com/secure-systems-lab/dsse (envelope.md, protocol.md). What is verified are the
bytes that came; nothing is serialised again. Whatever comes in, nothing but Refused is raised.
"""

import json
from collections.abc import Sequence
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, VerificationError

from bus.keys import PublicKey, SigningKey, key_id
from crds.messages import ASSIGNMENT_TYPE, REPORT_TYPE, Assignment, Report

MAX_ENVELOPE = 1024 * 1024
"""Bytes; about 2 kB is usual."""

Reason = Literal[
    "too_large", "truncated", "unknown_format", "wrong_type", "wrong_key", "wrong_node", "wrong_role", "disputed"
]

_Model = TypeVar("_Model", bound=BaseModel)


class Refused(Exception):
    """An envelope is not believed. ``reason`` is for counting, ``detail`` for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail if len(detail) <= 400 else f"{detail[:400]} ..."
        super().__init__(f"{reason}: {self.detail}")


def seal(payload_type: str, payload: bytes, signer: SigningKey) -> bytes:
    """Sign a payload together with its type, and write the envelope down as JSON."""
    envelope = Envelope(payload, payload_type, {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), separators=(",", ":")).encode()


def open_envelope(
    envelope: bytes, payload_type: str, keys: Sequence[PublicKey], max_bytes: int = MAX_ENVELOPE
) -> bytes:
    """The payload, once one of the keys is known to have signed it as that type. Raises Refused."""
    parsed = _parse(envelope, max_bytes)
    _check_type(parsed, payload_type)
    try:
        parsed.verify(list(keys), 1)
    except (VerificationError, ValueError) as error:
        signed_by = ", ".join(ascii(name)[1:17] for name in list(parsed.signatures)[:3]) or "nobody"
        expected = ", ".join(key_id(key)[:16] for key in keys) or "none"
        raise Refused("wrong_key", f"no good signature: signed by {signed_by}; keys known here: {expected}") from error
    return bytes(parsed.payload)


def add_signature(envelope: bytes, signer: SigningKey) -> bytes:
    """The same envelope with one more signature over what is in it. Raises Refused for what is none."""
    parsed = _parse(envelope, MAX_ENVELOPE)
    parsed.sign(signer)
    return json.dumps(parsed.to_dict(), separators=(",", ":")).encode()


def signers(envelope: bytes, payload_type: str, keys: Sequence[PublicKey], max_bytes: int) -> list[PublicKey]:
    """Those of the keys that have signed it as that type, each once. Raises Refused for what is no such envelope."""
    parsed = _parse(envelope, max_bytes)
    _check_type(parsed, payload_type)
    return [key for key in {key_id(key): key for key in keys}.values() if _signed(parsed, key)]


def signed_by(envelope: bytes) -> list[str]:
    """The names of the keys that seem to have signed it; nothing is verified. Raises Refused for what is none."""
    return list(_parse(envelope, MAX_ENVELOPE).signatures)


def unverified(envelope: bytes, payload_type: str, max_bytes: int) -> bytes:
    """The payload, whoever signed it: to be shown, or judged by other means. Raises Refused."""
    parsed = _parse(envelope, max_bytes)
    _check_type(parsed, payload_type)
    return bytes(parsed.payload)


def _signed(parsed: Envelope, key: PublicKey) -> bool:
    try:
        parsed.verify([key], 1)
    except (VerificationError, ValueError):
        return False
    return True


def _check_type(parsed: Envelope, payload_type: str) -> None:
    if parsed.payload_type != payload_type:
        raise Refused("wrong_type", f"{payload_type!r} was expected; this is {parsed.payload_type!r}")


def _parse(envelope: bytes, max_bytes: int) -> Envelope:
    if len(envelope) > max_bytes:
        raise Refused("too_large", f"{len(envelope)} bytes; at most {max_bytes} are taken")
    try:
        said = json.loads(envelope)
    except (ValueError, RecursionError) as error:
        if not envelope or envelope.startswith(b"{"):
            raise Refused("truncated", f"{len(envelope)} bytes came, broken off or damaged: {error}") from error
        raise Refused("unknown_format", f"not JSON: {error}") from error
    try:
        parsed = Envelope.from_dict(said)
        parsed.pae()
    except (ValueError, KeyError, TypeError, AttributeError, FormatError) as error:
        raise Refused("unknown_format", f"JSON, but not a DSSE envelope: {type(error).__name__} {error}") from error
    return parsed


def read_payload(payload: bytes, model: type[_Model]) -> _Model:
    """What a payload says, in a model that ignores fields it does not know. Raises Refused."""
    try:
        # Asked for here, because what files are made of would refuse the fields of a newer version.
        return model.model_validate_json(payload, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        detail = f"signed well, but not a {model.__name__} as known here: {field}: {first['msg']}"
        raise Refused("unknown_format", detail) from error


def seal_assignment(assignment: Assignment, signer: SigningKey) -> bytes:
    """Sign an assignment with the controller's key."""
    return seal(ASSIGNMENT_TYPE, assignment.model_dump_json(by_alias=True).encode(), signer)


def open_assignment(
    envelope: bytes, controller_keys: Sequence[PublicKey], node: str, max_bytes: int = MAX_ENVELOPE
) -> Assignment:
    """The assignment, signed by a controller and addressed to this node. Raises Refused."""
    assignment = read_payload(open_envelope(envelope, ASSIGNMENT_TYPE, controller_keys, max_bytes), Assignment)
    if assignment.node != node:
        raise Refused("wrong_node", f"this assignment is for {assignment.node!r}, not for {node!r}")
    return assignment


def seal_report(report: Report, signer: SigningKey) -> bytes:
    """Sign a report with the node's key."""
    return seal(REPORT_TYPE, report.model_dump_json(by_alias=True).encode(), signer)


def open_report(envelope: bytes, node_key: PublicKey, node: str, max_bytes: int = MAX_ENVELOPE) -> Report:
    """The report, signed by the node and about itself. Raises Refused."""
    report = read_payload(open_envelope(envelope, REPORT_TYPE, [node_key], max_bytes), Report)
    if report.node != node:
        raise Refused("wrong_node", f"this report is about {report.node!r}, but {node!r} sent it")
    return report
