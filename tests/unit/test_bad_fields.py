"""Every field that is wrong by itself, and what is said about it."""

import pytest

from tests.support.bad_input import Case
from tests.support.state_files import SERVICE, SHA, spoiled

F = "fleets/prod.yaml"
S = "services/api.yaml"
V = "versions/prod/api.yaml"

CASES = [
    Case(
        "a label that is a number",
        spoiled(S, "{role: api}", "{role: 1.10}"),
        'services/api.yaml:5:17: error: spec.hosts.role: 1.10 is a number, not text (write role: "1.10")',
    ),
    Case(
        "an unknown field, nearly right",
        spoiled(S, "batches: [1, 25%]", "max_unavailable: 1"),
        "services/api.yaml:12:13: error: spec.rollout.max_unavailable: there is no such field (did you "
        "mean maxUnavailable?)",
    ),
    Case(
        "an unknown field",
        spoiled(S, "soak: 30s", "wibble: 1"),
        "services/api.yaml:12:32: error: spec.rollout.wibble: there is no such field (the fields here are "
        "batches, maxUnavailable, minAvailable, pauseAfter, soak, deadline, progressDeadline, rolloutDeadline, drain, "
        "retries, maxFailed, maxUnknown, onFailure, onDeadline, rollback, lostAfter, drift, downtime, profiles)",
    ),
    Case(
        "a missing field",
        spoiled(S, "kind: Service\n", ""),
        "services/api.yaml:1:1: error: kind: this field is missing (write kind: Service)",
    ),
    Case(
        "a missing section",
        spoiled(F, "spec:\n", "sepc:\n"),
        "fleets/prod.yaml:4:1: error: sepc: there is no such field (did you mean spec?)",
    ),
    Case(
        "a duration without unit",
        spoiled(S, "30s", "30"),
        "services/api.yaml:12:38: error: spec.rollout.soak: 30 has no unit (write '30s' for seconds)",
    ),
    Case(
        "no duration",
        spoiled(S, "30s", "soon"),
        "services/api.yaml:12:38: error: spec.rollout.soak: 'soon' is not a duration (write a number with "
        "a unit, such as '30s', '500ms' or '1m30s')",
    ),
    Case(
        "no amount",
        spoiled(S, "25%", "few"),
        "services/api.yaml:12:26: error: spec.rollout.batches[1]: 'few' is neither a number of hosts nor a "
        "percentage (write 2 or '25%')",
    ),
    Case(
        "an amount out of range",
        spoiled(S, "[1, 25%]", "[0, 200%]"),
        "services/api.yaml:12:23: error: spec.rollout.batches[0]: 0 is out of range (write a number of at "
        "least 1, or a percentage such as '25%')",
        "services/api.yaml:12:26: error: spec.rollout.batches[1]: 200% is out of range (write a percentage "
        "from 1% to 100%)",
    ),
    Case(
        "a number as text",
        spoiled(S, "port: 80,", 'port: "80",'),
        'services/api.yaml:9:26: error: spec.probes[0].http.port: "80" is text, not a number (write port: 80)',
    ),
    Case(
        "a port out of range",
        spoiled(S, "port: 80,", "port: 80000,"),
        "services/api.yaml:9:26: error: spec.probes[0].http.port: 80000 is too large (write 65535 or less)",
    ),
    Case(
        "text instead of a list",
        spoiled(S, '["./api", "--host", "{address}"]', "./api"),
        'services/api.yaml:8:10: error: spec.artifact.run: this must be a list (write run: ["./api"])',
    ),
    Case(
        "a word instead of fields",
        spoiled(S, "{role: api}", "api"),
        "services/api.yaml:5:10: error: spec.hosts: text cannot stand here (write fields and values)",
    ),
    Case(
        "an unknown word",
        spoiled(S, "soak: 30s", "downtime: allow"),
        'services/api.yaml:12:42: error: spec.rollout.downtime: "allow" is not known here (did you mean allowed?)',
    ),
    Case(
        "a pattern",
        spoiled(S, "path: /health", "path: health"),
        'services/api.yaml:9:36: error: spec.probes[0].http.path: "health" is not a path of a URL (write a '
        "path that begins with /, such as /health, without spaces)",
    ),
    Case(
        "two kinds of probe",
        spoiled(S, "{http:", "{tcp: {port: 1}, http:"),
        "services/api.yaml:9:12: error: spec.probes[0]: a probe has exactly one of http, tcp and exec (write a "
        "probe for each question)",
    ),
    Case(
        "a duration that no calendar has",
        spoiled(S, "soak: 30s", f"soak: {'9' * 400}d"),
        f"services/api.yaml:12:38: error: spec.rollout.soak: {'9' * 30} is longer than anybody waits (write at most "
        "87600h)",
    ),
    Case(
        "a checksum in upper case",
        spoiled(V, SHA, "A" * 64),
        "versions/prod/api.yaml:3:9: error: sha256: "
        '"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA..." is not a SHA-256 (write 64 '
        "lower-case hexadecimal digits, as sha256sum prints them)",
    ),
    Case(
        "a version file without checksum",
        spoiled(V, f"sha256: {SHA}\n", ""),
        "versions/prod/api.yaml:1:1: error: something is missing (write version and sha256, or state: "
        "absent to remove the service)",
    ),
    Case(
        "a kind in the wrong place",
        spoiled(S, "kind: Service", "kind: Fleet"),
        "services/api.yaml:2:7: error: kind: a Fleet cannot lie here (a Service belongs here; move this "
        "file to fleets/FLEET.yaml)",
    ),
    Case(
        "another API version",
        spoiled(S, "v1alpha1", "v2"),
        'services/api.yaml:1:13: error: apiVersion: "drumbeat/v2" is not known here (write drumbeat/v1alpha1)',
    ),
    Case(
        "an unknown placeholder in the URL",
        spoiled(S, "{version}", "{host}"),
        "services/api.yaml:7:10: error: spec.artifact.url: nothing fills in {host} (filled in here: {version})",
    ),
    Case(
        "an unknown placeholder in the command",
        spoiled(S, "{address}", "{adress}"),
        "services/api.yaml:8:30: error: spec.artifact.run[2]: nothing fills in {adress} (did you mean {address}?)",
    ),
    Case(
        "an unknown placeholder in what is run before it is stopped",
        spoiled(S, "run:", "quiesce: {command: [leave, '{url}']}\n    run:"),
        "services/api.yaml:8:32: error: spec.artifact.quiesce.command[1]: nothing fills in {url} (filled in here: "
        "{address}, {host}, {version})",
    ),
    Case(
        "no time for what is run before it is stopped",
        spoiled(S, "run:", "quiesce: {command: [leave], timeout: 0s}\n    run:"),
        "services/api.yaml:8:14: error: spec.artifact.quiesce: timeout must be longer than 0s (write how long the work "
        "may take, or leave it out)",
    ),
    Case(
        "an unknown placeholder in a gate",
        spoiled(S, "{url}", "{port}"),
        "services/api.yaml:11:53: error: spec.gates[0].exec.command[1]: nothing fills in {port} (filled in "
        "here: {host}, {url}, {version})",
    ),
    Case(
        "an override that is wrong",
        {S: SERVICE + "  fleets:\n    prod:\n      rollout: {soak: 5, sok: 1s}\n"},
        "services/api.yaml:15:23: error: spec.fleets.prod.rollout.soak: 5 has no unit (write '5s' for seconds)",
        "services/api.yaml:15:26: error: spec.fleets.prod.rollout.sok: there is no such field (did you mean soak?)",
    ),
    Case(
        "an override within an override",
        {S: SERVICE + "  fleets: {prod: {fleets: {}}}\n"},
        "services/api.yaml:13:19: error: spec.fleets.prod.fleets: overrides cannot hold overrides (move it "
        "one level up)",
    ),
    Case(
        "an override that names an unknown pool",
        {S: SERVICE + "  fleets: {prod: {pools: [{balancer: edge, online: x, port: 1}]}}\n"},
        "services/api.yaml:13:52: error: spec.fleets.prod.pools[0].online: balancer edge of fleet prod has "
        "no pool x (add it to spec.pools in balancers/prod/edge.yaml)",
    ),
    Case(
        "an override with an unknown placeholder",
        {S: SERVICE + '  fleets: {prod: {artifact: {run: ["{nope}"]}}}\n'},
        "services/api.yaml:13:36: error: spec.fleets.prod.artifact.run[0]: nothing fills in {nope} (filled "
        "in here: {address}, {host}, {version})",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(case: Case) -> None:
    case.check()
