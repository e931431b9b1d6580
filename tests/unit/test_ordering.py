"""dependsOn, wave and after, as files say them: names that must be there, and circles."""

import pytest

from reconcilers.target import targets_of
from tests.support.bad_input import Case
from tests.support.state_files import FLEET, SERVICE, VERSION, read

S = "services/api.yaml"
STAGING = FLEET.replace("prod", "staging").replace("vm", "svm").replace("lb1", "slb1").replace("runner1", "srunner1")
PLAIN = """\
apiVersion: drumbeat/v1alpha1
kind: Service
metadata: {name: web}
spec:
  hosts: {role: api}
  artifact: {url: "https://example.com/web-{version}.tar.gz", run: ["./web"]}
"""
WEB = {"services/web.yaml": PLAIN, "versions/prod/web.yaml": VERSION}
BOTH = {"fleets/staging.yaml": STAGING, **WEB, "versions/staging/web.yaml": VERSION}


def api(more: str) -> dict[str, str]:
    return {S: SERVICE + more}


def web(more: str) -> dict[str, str]:
    return {"services/web.yaml": PLAIN + more}


CASES = [
    Case(
        "a service that is not there",
        WEB | api("  dependsOn: [wbe]\n"),
        "services/api.yaml:13:15: error: spec.dependsOn[0]: there is no service wbe (did you mean web?)",
    ),
    Case(
        "a service that is not deployed on the fleet",
        {"services/web.yaml": PLAIN} | api("  dependsOn: [web]\n"),
        "services/api.yaml:13:15: error: spec.dependsOn[0]: api@prod waits for web@prod, which is not deployed (add "
        "versions/prod/web.yaml, or override this for fleet prod)",
    ),
    Case(
        "a service that is to be removed",
        WEB
        | {"versions/prod/web.yaml": "apiVersion: drumbeat/v1alpha1\nstate: absent\n"}
        | api("  dependsOn: [web]\n"),
        "services/api.yaml:13:15: error: spec.dependsOn[0]: api@prod waits for web@prod, which is to be removed "
        "(remove this line, or keep the service)",
    ),
    Case(
        "itself",
        api("  dependsOn: [api]\n"),
        "services/api.yaml:13:14: error: spec.dependsOn: nobody would ever begin: api@prod, which waits for api@prod "
        "(take one of these out of dependsOn, wave or after)",
    ),
    Case(
        "each other",
        WEB | api("  dependsOn: [web]\n") | web("  dependsOn: [api]\n"),
        "services/api.yaml:13:14: error: spec.dependsOn: nobody would ever begin: api@prod, which waits for web@prod, "
        "which waits for api@prod (take one of these out of dependsOn, wave or after)",
    ),
    Case(
        "one of a later wave",
        WEB | api("  dependsOn: [web]\n") | web("  wave: 2\n"),
        "services/api.yaml:13:14: error: spec.dependsOn: nobody would ever begin: api@prod, which waits for web@prod, "
        "which waits for api@prod (take one of these out of dependsOn, wave or after)",
    ),
    Case(
        "a fleet that is not there",
        api("  after: {fleet: stagng}\n") | {"fleets/staging.yaml": STAGING},
        "services/api.yaml:13:18: error: spec.after.fleet: there is no fleet stagng (did you mean staging?)",
    ),
    Case(
        "a fleet on which it is not deployed",
        api("  after: {fleet: staging}\n") | {"fleets/staging.yaml": STAGING},
        "services/api.yaml:13:18: error: spec.after.fleet: api@prod waits for api@staging, which is not deployed (add "
        "versions/staging/api.yaml, or override this for fleet prod)",
    ),
    Case(
        "a fleet after itself",
        BOTH | web("  after: {fleet: staging}\n"),
        "services/web.yaml:7:18: error: spec.after.fleet: web@staging would wait for itself (write after below fleets "
        "of the fleet that comes later, not for staging itself)",
    ),
    Case(
        "fleets after each other",
        BOTH | web("  fleets: {prod: {after: {fleet: staging}}, staging: {after: {fleet: prod}}}\n"),
        "services/web.yaml:7:26: error: spec.fleets.prod.after: nobody would ever begin: web@prod, which waits for "
        "web@staging, which waits for web@prod (take one of these out of dependsOn, wave or after)",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(case: Case) -> None:
    case.check()


def test_waves_and_names_become_targets() -> None:
    later = "  wave: 1\n  dependsOn: [api]\n  fleets: {prod: {after: {fleet: staging, soak: 1h}}}\n"
    files = BOTH | web(later.replace("  dependsOn: [api]\n", "")) | api("")
    state = read(files).state
    assert state is not None
    found = targets_of(state)["web@prod"]
    assert (found.earlier, found.after) == (("api@prod",), ("web@staging", 3600.0))


def test_an_edition_is_the_same_on_every_fleet_and_another_for_another_service_revision() -> None:
    override = "  fleets: {prod: {artifact: {environment: {A: b}}, rollout: {soak: 9s}}}\n"
    one, other = (read(BOTH | web(more)).state for more in (override, override.replace("9s", "8s")))
    assert one is not None
    assert other is not None
    first, second = targets_of(one), targets_of(other)
    assert first["web@prod"].edition == first["web@staging"].edition == second["web@prod"].edition
    assert first["web@prod"].digest != first["web@staging"].digest
    changed = read(BOTH | {"services/web.yaml": PLAIN.replace('"./web"', '"./web", "-v"')}).state
    assert changed is not None
    assert targets_of(changed)["web@prod"].edition != first["web@prod"].edition


def test_what_a_service_waits_for_is_no_part_of_its_release() -> None:
    plain, waiting = (read(WEB | api(more)).state for more in ("", "  dependsOn: [web]\n  wave: 3\n"))
    assert plain is not None
    assert waiting is not None
    assert targets_of(plain)["api@prod"].digest == targets_of(waiting)["api@prod"].digest
