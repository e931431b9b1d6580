"""What of a well-signed report is believed: only what the node was enrolled for."""

from typing import Any

import pytest

from bus.envelope import Refused
from bus.keyring import ALL_ROLES, NodeRole
from controller.intake import check_roles
from crds.messages import BalancerReport, OperationReport, PoolReport, ServiceReport, Stamp
from tests.support.worlds import report

READ = Stamp(1, 1)
ENTRIES: dict[NodeRole, list[dict[str, Any]]] = {
    "host": [{"services": {"api@prod": ServiceReport(read=READ, state="running")}}],
    "balancer": [
        {"pools": {"web": PoolReport(read=READ)}},
        {"balancer": BalancerReport(reachable=True, reload_safe=True)},
    ],
    "runner": [{"operations": {"op": OperationReport(read=READ, state="running")}}],
}
SAID = [(role, said) for role, entries in ENTRIES.items() for said in [*entries, {"roles": [role]}]]


@pytest.mark.parametrize(("role", "said"), SAID, ids=str)
def test_what_belongs_to_a_role_is_for_nodes_of_that_role(role: NodeRole, said: dict[str, Any]) -> None:
    check_roles(report("vm1", **said), [role])
    check_roles(report("vm1", **said), ALL_ROLES)
    with pytest.raises(Refused, match=f"reports as {role}") as refused:
        check_roles(report("vm1", **said), [other for other in ALL_ROLES if other != role])
    assert refused.value.reason == "wrong_role"


def test_a_short_report_and_an_unknown_role() -> None:
    check_roles(report("vm1", full=False), ["host"])
    with pytest.raises(Refused, match="reports as root"):
        check_roles(report("vm1", roles=["root"]), ALL_ROLES)
