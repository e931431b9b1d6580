"""What a commit takes away, against what is in force: a slip must not empty a fleet.

A file that lost its lines, labels that match no more, a generator with an empty answer: each is a valid state that
removes hosts or services. Beyond a share, which the fleet's own file sets, a person has to say in the commit that it is
meant.
"""

from collections.abc import Iterator, Set

from controller.source.git import Git
from crds.base import Limit
from crds.desired import DesiredState
from reconcilers.overrides import service_on
from reconcilers.sizes import limit_of

TRAILER = "Drumbeat-Removes"
"""In the message of a commit since the one in force: fleets on which removals are meant, with commas between."""


def acknowledged(git: Git, since: str | None, revision: str) -> set[str]:
    """Fleets that the messages of all commits after ``since`` name, or of the one if ``since`` is not to be had there.

    Raises GitError.
    """
    wanted = f"--format=%(trailers:key={TRAILER},valueonly,separator=%x2C)"
    knows = since is not None and git.succeeds("rev-parse", "--verify", "--quiet", f"{since}^{{commit}}")
    span = [f"{since}..{revision}"] if knows else ["--max-count=1", revision]
    said = git.text("log", wanted, *span)
    return {name.strip() for line in said.splitlines() for name in line.split(",") if name.strip()}


def unacknowledged(before: DesiredState, after: DesiredState, acknowledged: Set[str]) -> list[str]:
    """In words, what would be removed beyond each fleet's ``maxRemoved``; the value in force counts."""
    said = []
    for name in sorted(before.fleets.keys() - acknowledged):
        removed = [*_targets(before, after, name), *_hosts(before, after, name)]
        if removed:
            remedy = f"if that is meant, write '{TRAILER}: {name}' as the last line of the commit's message"
            said.append(f"{'; '.join(removed)}: more than maxRemoved of fleet {name} lets one commit remove; {remedy}")
    return said


def _targets(before: DesiredState, after: DesiredState, fleet: str) -> Iterator[str]:
    there = _present(before, fleet)
    gone = there - _present(after, fleet)
    if _is_too_much(before, fleet, len(gone), len(there)):
        yield f"{len(gone)} of {len(there)} services on {fleet} would go ({_few(gone)})"


def _hosts(before: DesiredState, after: DesiredState, fleet: str) -> Iterator[str]:
    same_machines = before.fleets.get(fleet) == after.fleets.get(fleet)
    for service in sorted(_present(before, fleet) & _present(after, fleet)):
        if same_machines and _selector(before, service, fleet) == _selector(after, service, fleet):
            continue
        there = _selected(before, service, fleet)
        gone = there - _selected(after, service, fleet)
        if _is_too_much(before, fleet, len(gone), len(there)):
            yield f"{service}@{fleet} would lose {len(gone)} of {len(there)} hosts ({_few(gone)})"


def _is_too_much(state: DesiredState, fleet: str, gone: int, total: int) -> bool:
    """One alone may always go: a share of a few says little."""
    share: Limit = state.fleets[fleet].spec.max_removed
    return gone > max(limit_of(share, total), 1)


def _present(state: DesiredState, fleet: str) -> set[str]:
    return {service for (at, service), file in state.versions.items() if at == fleet and file.state == "present"}


def _selector(state: DesiredState, service: str, fleet: str) -> dict[str, str]:
    return service_on(state, service, fleet).hosts


def _selected(state: DesiredState, service: str, fleet: str) -> set[str]:
    wanted = _selector(state, service, fleet).items()
    return {host.name for host in state.fleets[fleet].spec.hosts if wanted <= host.labels.items()}


def _few(names: Set[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")
