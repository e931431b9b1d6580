"""What every view needs: labels of a target, and the metadata of lists."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from controller.views.resources import ListMeta, Meta
from controller.views.selector import Matches

if TYPE_CHECKING:
    from controller.deciding import Deciding


class Labelled(Protocol):
    """A resource with metadata."""

    @property
    def metadata(self) -> Meta: ...


Shown = TypeVar("Shown", bound=Labelled)


def target_labels(target: str, version: str) -> dict[str, str]:
    """Labels of everything that belongs to a target."""
    service, _, fleet = target.partition("@")
    labels = {"service": service, "fleet": fleet}
    return labels | {"version": version} if version else labels


def list_meta(deciding: "Deciding", now: datetime) -> ListMeta:
    """As of which resource version a list is."""
    return ListMeta(resource_version=deciding.resource_version, observed_at=now)


def selected(names: Iterable[str], show: Callable[[str], Shown], matches: Matches) -> list[Shown]:
    """The resources whose labels match, in the order of the names."""
    shown = (show(name) for name in names)
    return [resource for resource in shown if matches(resource.metadata.labels)]
