"""Gates and migrations that cannot be meant, and what is said about them."""

import pytest

from tests.support.bad_input import Case
from tests.support.state_files import spoiled

S = "services/api.yaml"
GATES = 'gates: [{name: smoke, exec: {command: ["./smoke", "{url}"]}}]'
ASKED = "prometheus: {url: http://p, query: q"


def gates(text: str) -> dict[str, str]:
    return spoiled(S, GATES, f"gates: [{text}]")


def migrations(text: str) -> dict[str, str]:
    return spoiled(S, GATES, f"{GATES}\n  migrations: {{{text}}}")


CASES = [
    Case(
        "no kind of gate",
        gates("{name: smoke}"),
        "services/api.yaml:11:11: error: spec.gates[0]: a gate has exactly one of exec, http and prometheus (write a "
        "gate for each test)",
    ),
    Case(
        "an unknown time",
        gates("{name: smoke, when: during, exec: {command: [x]}}"),
        'services/api.yaml:11:31: error: spec.gates[0].when: "during" is not known here (write before or '
        "maintenance or batch or online or after)",
    ),
    Case(
        "a gate without a host that asks nobody",
        gates("{name: smoke, when: before, http: {path: /}}"),
        "services/api.yaml:11:11: error: spec.gates[0]: a gate that runs before has no host (write http.url, such as "
        "the service's own)",
    ),
    Case(
        "a gate of a host that asks somebody else",
        gates("{name: smoke, http: {url: 'http://x'}}"),
        "services/api.yaml:11:11: error: spec.gates[0]: a gate that runs maintenance asks the host itself (leave "
        "http.url out)",
    ),
    Case(
        "a question that nothing could fail",
        gates(f"{{name: smoke, {ASKED}}}}}"),
        "services/api.yaml:11:37: error: spec.gates[0].prometheus: nothing could fail (write max, min or both)",
    ),
    Case(
        "thresholds that exclude each other",
        gates(f"{{name: smoke, {ASKED}, min: 2, max: 1}}}}"),
        "services/api.yaml:11:37: error: spec.gates[0].prometheus: no value is both at least 2 and at most 1 (mend "
        "min or max)",
    ),
    Case(
        "credentials of two kinds",
        gates(f"{{name: smoke, {ASKED}, max: 1, credentials: {{token: t, user: u, password: p}}}}}}"),
        "services/api.yaml:11:84: error: spec.gates[0].prometheus.credentials: credentials are either a token, or a "
        "user and a password (write one of the two)",
    ),
    Case(
        "a password in the address",
        gates("{name: smoke, prometheus: {url: 'http://ann:x@p', query: q, max: 1}}"),
        'services/api.yaml:11:43: error: spec.gates[0].prometheus.url: "http://ann:x@p" is not a URL (write '
        "https:// or http:// without user, query and fragment)",
    ),
    Case(
        "more failures than measurements",
        gates("{name: smoke, exec: {command: [x]}, count: 2, failureLimit: 2}"),
        "services/api.yaml:11:11: error: spec.gates[0]: failureLimit must be below count, or nothing could fail (raise "
        "count)",
    ),
    Case(
        "two gates of a name",
        gates("{name: smoke, exec: {command: [x]}}, {name: smoke, exec: {command: [z]}}"),
        "services/api.yaml:5:3: error: spec: two gates are called smoke (give each a name of its own: results bear it)",
    ),
    Case(
        "a host where there is none",
        gates("{name: smoke, when: after, exec: {command: ['./x', '{host}']}}"),
        "services/api.yaml:11:62: error: spec.gates[0].exec.command[1]: nothing fills in {host} (filled in here: "
        "{version})",
    ),
    Case(
        "a migration without a check",
        migrations("expand: [{name: add, command: [x]}]"),
        "services/api.yaml:12:25: error: spec.migrations.expand[0].check: this field is missing (write check: and its "
        "value)",
    ),
    Case(
        "a contract that is to be compatible",
        migrations("contract: [{name: drop, command: [x], check: [z], compatible: true}]"),
        "services/api.yaml:12:66: error: spec.migrations.contract[0].compatible: there is no such field (the fields "
        "here are name, command, check, timeout, checkTimeout, secrets, lock, approval)",
    ),
    Case(
        "two migrations of a name",
        migrations(
            "expand: [{name: add, command: [x], check: [z]}], contract: [{name: add, command: [x], check: [z]}]"
        ),
        "services/api.yaml:5:3: error: spec: two migrations are called add (give each a name of its own: results "
        "bear it)",
    ),
    Case(
        "a migration that nothing fills in",
        migrations("expand: [{name: add, command: [x], check: ['{url}']}]"),
        "services/api.yaml:12:59: error: spec.migrations.expand[0].check[0]: nothing fills in {url} (filled in here: "
        "{version})",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(case: Case) -> None:
    case.check()
