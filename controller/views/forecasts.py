"""Forecasts: what a commit that is not in force would do, as a resource."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from controller.source.entries import FileEntry
from crds.base import API_VERSION, WireModel
from crds.service import Gate
from reconcilers.conditions import headline
from reconcilers.forecast import Effect, Forecast, digest_of
from reconcilers.target import TargetSpec

if TYPE_CHECKING:
    from controller.deciding import Deciding


class BatchForecast(WireModel):
    """Hosts that go together."""

    number: int
    hosts: list[str] = Field(description="in the order of their turns")
    at_once: int = Field(description="how many of them may be out at once when the batch begins")
    awaits_go: bool = Field(description="after it a person must say go")
    waits: str = Field(description="HOST: why it may not be, where the budget leaves no room even once others are back")
    under_way: bool = Field(description="they have left the pool already, and turn to the release from where they are")


class InTheWay(WireModel):
    """Something that keeps hosts from being taken out."""

    reason: str = Field(description="as that of the condition which would show it")
    message: str
    stalls: bool = Field(description="it ends only when somebody changes something")
    since: datetime | None = Field(description="None: it is not in the way of what is in force now")
    until: datetime | None = Field(description="when time alone ends it; None: time does not")


class LeftOutHost(WireModel):
    """A host that would not be taken."""

    host: str
    standing: str
    why: str


class TargetForecast(WireModel):
    """What would happen to one target that the commit changes."""

    target: str
    happens: bool = Field(
        description="some host would move or be taken over, at once or when nothing is in the way any more"
    )
    effect: Effect = Field(
        description="deploys: hosts that do not have the service, or not as it should be; moves: to another release; "
        "removes: the service; settings: no host moves; orphans: nothing is removed; adopts: what runs is taken over; "
        "observes: nothing is touched; rolledBack: the release is in quarantine here; unsigned: the release does not "
        "meet the fleet's policy; noHosts: none is selected"
    )
    old_version: str | None = Field(description="that is declared now; None: none is; absent: it is removed")
    new_version: str | None
    release: str = Field(description="digest of the release that hosts would run; absent where it is removed")
    hosts: int
    batches: list[BatchForecast]
    before: list[str] = Field(description="gates and migrations before the first host")
    after: list[str] = Field(description="gates and migrations once the last host has arrived")
    gates: list[str] = Field(description="WHEN: NAME of those on the way, in order")
    soak: float = Field(description="seconds after each batch")
    on_failure: str
    in_the_way: list[InTheWay]
    left_out: list[LeftOutHost]
    adopted: list[str] = Field(description="hosts whose agents will take over the process that runs, if they find it")
    forgotten: list[str] = Field(description="hosts that the target loses")
    message: str = Field(description="why nothing would happen, where that needs words")
    digest: str = Field(description="of this target's part of the plan")


class UnchangedTarget(WireModel):
    """A target that the commit does not change: it goes on as it is."""

    target: str
    headline: str


class ForecastMeta(WireModel):
    """As of when a forecast is, and against what."""

    observed_at: datetime
    resource_version: int | None = Field(description="of the store; None: no controller was asked")
    in_force: str | None = Field(description="the revision that the commit is compared with")


class ForecastResource(WireModel):
    """What would happen if a commit were put in force now and nothing went wrong."""

    api_version: str = API_VERSION
    kind: str = "Forecast"
    metadata: ForecastMeta
    revision: str
    happens: bool
    digest: str = Field(description="names all that would happen; see docs/planning.md for what it covers")
    targets: list[TargetForecast] = Field(description="that the commit changes, brings, or does not declare any more")
    unchanged: list[UnchangedTarget]
    unacknowledged: list[str] = Field(
        default=[],
        description="in words, what it removes beyond maxRemoved and no message acknowledges: such a commit is refused",
    )


class PostedFile(WireModel):
    """One name in a commit's tree."""

    kind: Literal["blob", "symlink", "submodule"]
    data: str | None = Field(description="the content in base64; null where it need not be read")
    size: int = Field(ge=0, description="bytes, also where the content is not given")


class SupposedCommit(WireModel):
    """The files of a commit, as it would be read."""

    revision: str = Field(min_length=1, max_length=100, description="its id, or other words for it")
    files: dict[str, PostedFile] = Field(description="by path relative to the state directory")
    acknowledged: list[str] = Field(default=[], description="fleets on which its messages say that removals are meant")


def posted(entry: FileEntry, encoded: str | None) -> PostedFile:
    """The file as it is sent."""
    return PostedFile(kind=entry.kind, data=encoded, size=entry.size)


def forecast_meta(deciding: "Deciding", now: datetime) -> ForecastMeta:
    """As of now, against the revision in force."""
    revision = deciding.revisions.in_force
    version = deciding.resource_version
    return ForecastMeta(observed_at=now, resource_version=version, in_force=revision.id if revision else None)


def unchanged_targets(
    deciding: "Deciding", specs: Mapping[str, TargetSpec], changed: Sequence[str]
) -> list[UnchangedTarget]:
    """Targets that the commit leaves as they are, with their headlines."""
    statuses, names = deciding.world.statuses, sorted(specs.keys() - set(changed))
    return [
        UnchangedTarget(target=name, headline=headline(statuses[name]) if name in statuses else "Unknown")
        for name in names
    ]


def forecast_resource(
    revision: str,
    found: Sequence[Forecast],
    unchanged: list[UnchangedTarget],
    meta: ForecastMeta,
    unacknowledged: list[str],
) -> ForecastResource:
    """All of it."""
    ordered = sorted(found, key=lambda each: each.target)
    return ForecastResource(
        metadata=meta,
        revision=revision,
        happens=any(each.happens for each in ordered),
        digest=digest_of(ordered),
        targets=[_target(each) for each in ordered],
        unchanged=unchanged,
        unacknowledged=unacknowledged,
    )


def _on_the_way(spec: TargetSpec | None) -> list[Gate]:
    gates = spec.gates if spec and spec.release else ()
    return [gate for gate in gates if gate.when not in ("before", "after")]


def _target(found: Forecast) -> TargetForecast:
    spec = found.spec
    return TargetForecast(
        target=found.target,
        happens=found.happens,
        effect=found.effect,
        old_version=found.old_version,
        new_version=found.new_version,
        release=found.release,
        hosts=found.hosts,
        batches=[
            BatchForecast(
                number=each.number,
                hosts=list(each.hosts),
                at_once=each.at_once,
                awaits_go=each.awaits_go,
                waits=each.waits,
                under_way=each.under_way,
            )
            for each in found.batches
        ],
        before=list(found.before),
        after=list(found.after),
        gates=[f"{gate.when}: {gate.name}" for gate in _on_the_way(spec)],
        soak=spec.rollout.soak if spec else 0.0,
        on_failure=spec.rollout.on_failure if spec else "",
        in_the_way=[
            InTheWay(reason=each.reason, message=each.message, stalls=each.stalls, since=each.since, until=each.until)
            for each in found.obstacles
        ],
        left_out=[LeftOutHost(host=each.host, standing=each.standing, why=each.why) for each in found.left_out],
        adopted=list(found.adopted),
        forgotten=list(found.forgotten),
        message=found.message,
        digest=found.digest,
    )
