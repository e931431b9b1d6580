"""Batches stay what they were chosen as while nothing goes wrong."""

from tests.support.site import converged, ran
from tests.support.worlds import hosts, target


def test_a_batch_is_not_torn_in_the_moment_in_which_some_of_its_hosts_arrive() -> None:
    """Hosts that have just arrived still count as missing: that makes neither their zone nor the fleet short."""
    rollout = {"batches": ["25%", "100%", 1], "max_unavailable": "25%", "soak": "0s"}
    site = converged(target("1", hosts=hosts(5), pools=(), **rollout))
    site.install(target("2", hosts=hosts(9), pools=(), **rollout))
    site.hear("vm6", "vm7", "vm8", "vm9")
    site.declare(target("2", hosts=hosts(9), pools=(), **rollout))
    site.decide()
    site.run(40)

    assert [event.message for event in ran(site, "BatchStarted")] == [
        "batch 1: vm6, vm7",
        "batch 2: vm8, vm9, vm1, vm3, vm5",
        "batch 3: vm2",
        "batch 4: vm4",
    ]
