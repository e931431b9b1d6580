"""A commit that takes much away is refused unless it says that this is meant; what is in force stays so."""

from pathlib import Path

import pytest

from controller.mailbox import RevisionRead
from crds.desired import DesiredState
from tests.integration.test_source_watcher import Following
from tests.support.git import commit_all, git
from tests.support.state_files import FLEET, VERSION

HOSTS = "".join(f"    - {{name: vm{n}, address: 127.0.0.{n + 10}, labels: {{role: api}}}}\n" for n in range(1, 9))


def fleet(*kept: int, more: str = "") -> str:
    """The fleet with these of its eight hosts."""
    lines = "".join(line + "\n" for line in HOSTS.splitlines() if any(f"vm{n}," in line for n in kept))
    rest = FLEET[FLEET.index("  balancers") :]
    return FLEET[: FLEET.index("    - {name: vm1")] + lines + rest + more


class Removing(Following):
    """The watcher, with a fleet of eight hosts in force."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.commit(fleet(*range(1, 9)), "All of them")

    def commit(self, text: str, message: str) -> RevisionRead:
        (self.origin / "fleets/prod.yaml").write_text(text)
        git(self.origin, "add", "--all")
        git(self.origin, "commit", "--quiet", "--allow-empty", "--message", message)
        self.watcher.step()
        return self.next()


@pytest.fixture
def removing(tmp_path: Path) -> Removing:
    return Removing(tmp_path)


def taken(read: RevisionRead) -> DesiredState:
    assert read.state is not None, read.problems
    return read.state


def test_half_of_the_hosts_may_go_without_a_word(removing: Removing) -> None:
    assert len(taken(removing.commit(fleet(1, 2, 3, 4), "Half")).fleets["prod"].spec.hosts) == 4


def test_more_has_to_be_meant_and_one_line_says_so(removing: Removing) -> None:
    read = removing.commit(fleet(1, 2, 3), "A slip")
    assert read.state is None
    (problem,) = read.problems
    assert "api@prod would lose 5 of 8 hosts (vm4, vm5, vm6, vm7, vm8)" in problem
    assert "write 'Drumbeat-Removes: prod' as the last line of the commit's message" in problem
    assert removing.commit(fleet(1, 2, 3), "Another fleet\n\nDrumbeat-Removes: staging").state is None
    assert len(taken(removing.commit(fleet(1, 2, 3), "Meant\n\nDrumbeat-Removes: prod")).fleets["prod"].spec.hosts) == 3


def test_what_was_meant_once_is_not_meant_for_ever(removing: Removing) -> None:
    taken(removing.commit(fleet(1, 2, 3), "Meant\n\nDrumbeat-Removes: prod"))
    taken(removing.commit(fleet(*range(1, 9)), "Back"))
    assert removing.commit(fleet(1, 2, 3), "A slip").state is None


def test_the_commit_that_says_so_need_not_be_the_newest(removing: Removing) -> None:
    (removing.origin / "fleets/prod.yaml").write_text(fleet(1))
    commit_all(removing.origin, "Meant\n\nDrumbeat-Removes: staging, prod")
    taken(removing.commit(fleet(1) + "# a word more\n", "On top"))


def test_labels_that_match_no_more_take_hosts_away_too(removing: Removing) -> None:
    read = removing.commit(fleet(*range(1, 9)).replace("{role: api}", "{role: appi}"), "A slip")
    assert read.state is None
    assert "api@prod would lose 8 of 8 hosts" in read.problems[0]


def test_the_share_that_is_in_force_counts_not_the_new_one(removing: Removing) -> None:
    assert removing.commit(fleet(1, more='  maxRemoved: "100%"\n'), "Both at once").state is None
    taken(removing.commit(fleet(*range(1, 9), more='  maxRemoved: "100%"\n'), "First this"))
    taken(removing.commit(fleet(1, more='  maxRemoved: "100%"\n'), "Then that"))


def test_services_that_go_all_at_once_have_to_be_meant(removing: Removing) -> None:
    for name in ("web", "pay"):
        service = (removing.origin / "services/api.yaml").read_text().replace("{name: api}", f"{{name: {name}}}")
        lines = [line for line in service.splitlines() if "pools:" not in line]
        (removing.origin / f"services/{name}.yaml").write_text("\n".join(lines) + "\n")
        (removing.origin / f"versions/prod/{name}.yaml").write_text(VERSION)
    taken(removing.commit(fleet(*range(1, 9)), "Three services"))
    (removing.origin / "versions/prod/web.yaml").unlink()
    taken(removing.commit(fleet(*range(1, 9)), "One may always go"))
    (removing.origin / "versions/prod/web.yaml").write_text(VERSION)
    taken(removing.commit(fleet(*range(1, 9)), "Back"))
    (removing.origin / "versions/prod/web.yaml").unlink()
    (removing.origin / "versions/prod/pay.yaml").write_text("apiVersion: drumbeat/v1alpha1\nstate: absent\n")
    read = removing.commit(fleet(*range(1, 9)), "A slip")
    assert read.state is None
    assert "2 of 3 services on prod would go (pay, web)" in read.problems[0]


def test_after_a_restart_it_is_compared_with_what_was_in_force(removing: Removing) -> None:
    removing.in_force = git(removing.origin, "rev-parse", "HEAD")
    (removing.origin / "fleets/prod.yaml").write_text(fleet(1))
    commit_all(removing.origin, "A slip while nobody watched")
    removing.again.step()
    resumed, refused = removing.next(), removing.next()
    assert (resumed.revision, resumed.resumed) == (removing.in_force, True)
    assert refused.state is None
