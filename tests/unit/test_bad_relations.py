"""Every file that is wrong beside others, and what is said about it."""

import pytest

from tests.support.bad_input import Case
from tests.support.state_files import BALANCER, FLEET, SERVICE, VERSION, read, spoiled

F = "fleets/prod.yaml"
S = "services/api.yaml"
B = "balancers/prod/edge.yaml"
V = "versions/prod/api.yaml"

CASES = [
    Case(
        "a name that is not the file's",
        spoiled(S, "name: api", "name: apis"),
        "services/api.yaml:3:18: error: metadata.name: apis is not what the file is called (write name: "
        "api, or rename the file to apis.yaml)",
    ),
    Case(
        "two services of one name",
        {"services/web.yaml": SERVICE},
        "services/web.yaml:3:18: error: metadata.name: api is not what the file is called (write name: "
        "web; services/api.yaml has the name api already)",
    ),
    Case(
        "a version of an unknown service",
        {"versions/prod/apy.yaml": VERSION},
        "versions/prod/apy.yaml:1:1: error: there is no service apy (did you mean api? Otherwise add "
        "services/apy.yaml, or remove this file)",
    ),
    Case(
        "a version on an unknown fleet",
        {"versions/prodd/api.yaml": VERSION},
        "versions/prodd/api.yaml:1:1: error: there is no fleet prodd (did you mean prod? Otherwise add "
        "fleets/prodd.yaml, or move this file)",
    ),
    Case(
        "a balancer of an unknown fleet",
        {"balancers/staging/edge.yaml": BALANCER},
        "balancers/staging/edge.yaml:1:1: error: there is no fleet staging (add fleets/staging.yaml, or "
        "move this file)",
    ),
    Case(
        "an override for an unknown fleet",
        {S: SERVICE + "  fleets: {staging: {}}\n"},
        "services/api.yaml:13:12: error: spec.fleets.staging: there is no fleet staging (add "
        "fleets/staging.yaml, or remove these lines)",
    ),
    Case(
        "a host in two fleets",
        {
            "fleets/test.yaml": FLEET.replace("prod", "test")
            .replace("vm1", "x1")
            .replace("lb1", "x2")
            .replace("runner1", "vm2")
        },
        "fleets/test.yaml:7:14: error: spec.hosts[1].name: vm2 is already in fleet prod "
        "(fleets/prod.yaml:7) (a machine belongs to one fleet; remove one of them)",
        "fleets/test.yaml:11:14: error: spec.runners[0].name: vm2 is already in fleet prod "
        "(fleets/prod.yaml:7) (a machine belongs to one fleet; remove one of them)",
    ),
    Case(
        "a host twice",
        spoiled(F, "name: vm2", "name: vm1"),
        "fleets/prod.yaml:7:14: error: spec.hosts[1].name: vm1 is already in line 6 (remove one of them)",
    ),
    Case(
        "a host in upper case",
        spoiled(F, "name: vm2", "name: VM1"),
        'fleets/prod.yaml:7:14: error: spec.hosts[1].name: "VM1" is not a host name (write lower-case '
        "letters, digits, dashes and dots, such as vm1 or vm1.example.com)",
    ),
    Case(
        "a host with a device's name",
        spoiled(F, "name: vm2", "name: com1"),
        "fleets/prod.yaml:7:14: error: spec.hosts[1].name: 'com1' is a device name on Windows (write "
        "another name, such as 'com1-1')",
    ),
    Case(
        "an unknown balancer node",
        spoiled(B, "[lb1]", "[lb2]"),
        "balancers/prod/edge.yaml:5:11: error: spec.nodes[0]: lb2 is no balancer of fleet prod (did you "
        "mean lb1? Otherwise add it to spec.balancers in fleets/prod.yaml)",
    ),
    Case(
        "a balancer node twice",
        spoiled(B, "[lb1]", "[lb1, lb1]"),
        "balancers/prod/edge.yaml:5:16: error: spec.nodes[1]: lb1 is named twice (remove one of them)",
    ),
    Case(
        "a pool on an unknown balancer",
        spoiled(S, "balancer: edge", "balancer: core"),
        "services/api.yaml:10:22: error: spec.pools[0].balancer: fleet prod has no balancer core (add "
        "balancers/prod/core.yaml)",
    ),
    Case(
        "an unknown pool",
        spoiled(S, "online: web", "online: wib"),
        "services/api.yaml:10:36: error: spec.pools[0].online: balancer edge of fleet prod has no pool wib "
        "(did you mean web?)",
    ),
    Case(
        "a pool of two services",
        {
            "services/two.yaml": SERVICE.replace("name: api", "name: two").replace("mt", "mu"),
            "versions/prod/two.yaml": VERSION,
        }
        | spoiled(B, "mt:", "mu: {port: 1}\n    mt:"),
        "services/two.yaml:10:36: error: spec.pools[0].online: web on balancer edge is already the online "
        "pool of api@prod (give each service pools of its own)",
    ),
    Case(
        "a pool in two roles",
        spoiled(S, "maintenance: mt", "maintenance: web") | spoiled(B, "web:", "web: {port: 1}"),
        "services/api.yaml:10:54: error: spec.pools[0].maintenance: web on balancer edge is already the "
        "online pool of api@prod (give each service pools of its own)",
    ),
    Case(
        "a maintenance pool without port",
        spoiled(B, "mt: {port: 8081}", "mt:"),
        "services/api.yaml:10:54: error: spec.pools[0].maintenance: gates cannot reach mt on fleet prod: "
        "it has no port (write mt: {port: PORT} in balancers/prod/edge.yaml, the port of its frontend)",
    ),
    Case(
        "gates without runner",
        spoiled(F, "  runners:\n    - {name: runner1}\n", ""),
        "services/api.yaml:11:10: error: spec.gates: fleet prod has no runner to run gates on (add "
        "spec.runners to fleets/prod.yaml, or override gates: [] for this fleet)",
    ),
    Case(
        "a service of which no host may ever be missing",
        spoiled(S, "soak: 30s", "soak: 30s, minAvailable: 2"),
        "services/api.yaml:12:57: error: spec.rollout.minAvailable: 2 of 2 hosts on fleet prod are all of them: "
        "none could ever be taken out (write at most 1, or another amount for prod in spec.fleets)",
    ),
    Case(
        "a percentage that, rounded up, is every host",
        spoiled(S, "soak: 30s", "soak: 30s, minAvailable: 51%"),
        "services/api.yaml:12:57: error: spec.rollout.minAvailable: 51% of 2 hosts on fleet prod are all of them: "
        'none could ever be taken out (write at most "50%", or another amount for prod in spec.fleets)',
    ),
    Case(
        "a single host that may be missing and must be available",
        spoiled(F, "    - {name: vm2, address: 127.0.0.12, labels: {role: api}}\n", "")
        | spoiled(S, "soak: 30s", "downtime: allowed, minAvailable: 1"),
        "services/api.yaml:12:65: error: spec.rollout.minAvailable: 1 of 1 host on fleet prod must be available, so "
        "that downtime never is allowed (add a host, or leave minAvailable out for prod)",
    ),
    Case(
        "a limit of each zone's hosts where hosts have none",
        spoiled(F, "spec:\n", "spec:\n  limits: {perZone: 1}\n"),
        "fleets/prod.yaml:5:21: warning: spec.limits.perZone: 2 hosts have no zone and are not limited by it, "
        "vm1 for one (write their zone)",
    ),
    Case(
        "everything at once",
        spoiled(V, '"1.0.0"', "1.10") | spoiled(S, "30s", "30") | {"x.yaml": ""},
        "services/api.yaml:12:38: error: spec.rollout.soak: 30 has no unit (write '30s' for seconds)",
        'versions/prod/api.yaml:2:10: error: version: 1.10 is a number, not text (write version: "1.10")',
        "x.yaml: error: no resource is read from here (resources belong in fleets/FLEET.yaml, "
        "services/SERVICE.yaml, balancers/FLEET/NAME.yaml, versions/FLEET/SERVICE.yaml, policies/NAME.yaml, "
        "freezes/NAME.yaml)",
    ),
    Case(
        "a selector that matches nothing",
        spoiled(S, "{role: api}", "{role: web}"),
        "services/api.yaml:5:10: warning: spec.hosts: no host of fleet prod has role: web (label hosts in "
        "fleets/prod.yaml, or change the selector)",
    ),
    Case(
        "a single host",
        spoiled(F, "    - {name: vm2, address: 127.0.0.12, labels: {role: api}}\n", ""),
        "services/api.yaml:12:3: warning: spec.rollout.downtime: vm1 is the only host on fleet prod, and "
        "nobody replaces it (add a host, or write downtime: allowed in rollout; until then no rollout "
        "begins)",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(case: Case) -> None:
    case.check()


def test_the_good_state_is_taken_without_a_word() -> None:
    result = read({})

    assert result.problems == []
    assert result.state is not None
    assert result.state.revision == "revision"
    assert list(result.state.versions) == [("prod", "api")]


def test_warnings_carry_their_target() -> None:
    result = read(spoiled(S, "{role: api}", "{role: web}"))

    assert [problem.target for problem in result.problems] == ["api@prod"]
