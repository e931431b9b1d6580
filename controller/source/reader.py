"""Reading desired state: from a commit's files to all its resources, or to every reason why not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.source.budgets import limit_problems
from controller.source.collection import Collection
from controller.source.deployments import deployment_problems
from controller.source.entries import FileEntry
from controller.source.layout import LAYOUT, in_layout, path_problems, place_of
from controller.source.names import name_problems
from controller.source.ordering import order_problems
from controller.source.problems import Problem, errors, in_order
from controller.source.signatures import signatures
from controller.source.validating import load_resource, unread
from crds.desired import DesiredState


@dataclass(frozen=True)
class ReadResult:
    """``state`` is None if any problem is an error: a commit applies whole or not at all."""

    state: DesiredState | None
    problems: list[Problem]
    """In the order of files and lines."""
    unsigned: list[Problem] = field(default_factory=list)
    """Releases that do not meet their fleet's policy: the commit is taken, and each holds its own target."""


def read_state(files: Mapping[str, FileEntry], revision: str) -> ReadResult:
    """Read every file, check each and all together. Pure; never raises for what the files contain.

    ``files``: by path relative to the state directory, with ``/``. Sources of the rules: "Rules of reading" in the
    documentation of desired state.
    """
    if not any(in_layout(path) for path in files):
        layout = ", ".join(LAYOUT.values())
        return ReadResult(None, [Problem("error", ".", "there is no desired state here", f"it lies in {layout}")])
    problems = list(path_problems(files.items()))
    refused = {problem.path for problem in errors(problems)}
    collection = Collection()
    for path in sorted(files):
        place = place_of(path)
        if place is None:
            continue
        # A file that is refused for its path is known all the same: others that name it are not to blame.
        loaded = unread(place) if path in refused else load_resource(place, files[path])
        problems += loaded.problems
        collection.add(loaded)
    problems += name_problems(collection)
    problems += deployment_problems(collection)
    problems += order_problems(collection)
    problems += limit_problems(collection)
    signed = signatures(files, collection)
    problems += signed.problems
    state = None if errors(problems) else signed.attached(collection.state(revision))
    return ReadResult(state, in_order(problems), signed.held())
