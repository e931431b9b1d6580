"""Whatever comes as a statement or trust document: a verdict or NotTrusted; and no good one that nobody signed."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.trust import NotTrusted, check_commands, open_trust, release_statement
from crds.release import Release
from crds.trust import SignedCommand, Statement, TrustDocument
from tests.support.signing import TARGET, Signing, release

SIGNING = Signing(threshold=2)
ROOTS = SIGNING.pinned()
ONE, TWO = release("1"), release("2")
STATEMENT = SIGNING.statement(ONE, "ci", "qa")
TRUST = SIGNING.trust(floors={"api": 50})
DOCUMENT = open_trust(TRUST, ROOTS)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


def judged(text: str, what: Release = ONE) -> Statement | None:
    with suppress(NotTrusted):
        return release_statement(text, DOCUMENT, TARGET, what)
    return None


def taken(text: str) -> TrustDocument | None:
    with suppress(NotTrusted):
        return open_trust(text, ROOTS)
    return None


@given(st.text(max_size=200) | anything.map(json.dumps))
def test_nothing_but_not_trusted_is_raised(text: str) -> None:
    assert judged(text) is None
    assert taken(text) is None


@given(anything, st.sampled_from(["payload", "payloadType", "signatures"]))
def test_an_envelope_with_a_foreign_part_is_refused(value: object, part: str) -> None:
    for text, judge in ((STATEMENT, judged), (TRUST, taken)):
        judge_any: Callable[[str], object] = judge
        assert judge_any(json.dumps(json.loads(text) | {part: value})) is None


@given(st.sampled_from(sorted(Statement.model_fields)), anything)
def test_a_changed_field_is_refused(field: str, value: object) -> None:
    """The signatures stay; the payload says something else, or is not as it was signed."""
    envelope = json.loads(STATEMENT)
    payload = json.loads(b64decode(envelope["payload"]))
    if payload[field] == value:
        return
    envelope["payload"] = b64encode(json.dumps(payload | {field: value}).encode()).decode()
    assert judged(json.dumps(envelope)) is None


@given(st.lists(st.sampled_from(["ci", "qa", "ci2", "stranger"]), max_size=6))
def test_a_threshold_counts_different_keys_that_are_listed(by: list[str]) -> None:
    people = {**SIGNING.people, "stranger": Signing().people["ci"], "ci2": SIGNING.people["ci"]}
    statement = Signing(SIGNING.roots, people, 2).statement(ONE, *by) if by else ""
    listed = {"ci" if name == "ci2" else name for name in by} & {"ci", "qa"}
    assert (judged(statement) is not None) == (len(listed) == 2)


@given(st.integers(0, 200), st.sampled_from(["api", "web"]), st.sampled_from([["prod"], ["staging"], "all", []]))
def test_a_signed_statement_is_good_for_what_it_says_and_nothing_else(
    sequence: int, service: str, fleets: list[str] | str
) -> None:
    statement = SIGNING.statement(ONE, "ci", "qa", sequence=sequence, service=service, fleets=fleets)
    fits = sequence >= 50 and service == "api" and (fleets == "all" or "prod" in fleets)
    assert (judged(statement) is not None) == fits
    assert judged(statement, TWO) is None


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4))
def test_a_command_is_good_as_it_was_signed_and_for_nothing_else(command: list[str]) -> None:
    statement = judged(SIGNING.statement(ONE, "ci", "qa", commands={"gate": command}))
    assert statement is not None
    check_commands(statement, TARGET, [SignedCommand("gate", command)])
    with pytest.raises(NotTrusted):
        check_commands(statement, TARGET, [SignedCommand("probe", command)])
    with pytest.raises(NotTrusted):
        check_commands(statement, TARGET, [SignedCommand("gate", command, {"TOKEN": "token"})])
    for other in ([*command, ""], command[:-1], [" ".join([*command, command[0]])]):
        with pytest.raises(NotTrusted):
            check_commands(statement, TARGET, [SignedCommand("gate", other)])
