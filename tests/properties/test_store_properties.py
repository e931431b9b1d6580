"""Whatever a model can say comes back from the store as it was said."""

import types
import typing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal, TypeVar, Union

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from controller.store import Loaded, Revision, Store, Transaction
from crds.messages import Report, Stamp
from crds.probe import Probe
from crds.service import Gate
from crds.status import Cause, Event, Journey, Operation, RolloutStatus, Step
from reconcilers.fragments import Entry
from tests.support.worlds import gate, probe

M = TypeVar("M", bound=BaseModel)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBER = st.integers(0, 2**53 - 1)
ZONE = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-3))])
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: NUMBER,
    float: st.floats(0, 1e9),
    bool: st.booleans(),
    types.NoneType: st.none(),
    datetime: st.datetimes(timezones=ZONE),
    Stamp: st.builds(Stamp, NUMBER, NUMBER),
    Step: st.sampled_from(Step),
    Cause: st.sampled_from(Cause),
    Gate: st.builds(gate, st.sampled_from(["smoke", "contract"])),
    Probe: st.builds(probe, st.sampled_from(["/health", "/ready"])),
}
"""The last two have rules that no single field shows."""


def every(model: type[M]) -> st.SearchStrategy[M]:
    """Instances of a model with each of its fields drawn, so that a field which is not kept cannot hide."""
    return st.builds(model, **{name: of_field(field) for name, field in model.model_fields.items()})


def of_field(field: FieldInfo) -> st.SearchStrategy[Any]:
    """Any value that the field's pattern, if it has one, lets pass."""
    patterns = [pattern for rule in field.metadata if (pattern := getattr(rule, "pattern", None))]
    return st.from_regex(patterns[0], fullmatch=True) if patterns else of_type(field.annotation)


def of_type(wanted: Any) -> st.SearchStrategy[Any]:
    """A strategy for what the models are made of."""
    if wanted in PLAIN:
        return PLAIN[wanted]
    arguments = typing.get_args(wanted)
    match typing.get_origin(wanted):
        case None if isinstance(wanted, type) and issubclass(wanted, BaseModel):
            return every(wanted)
        case origin if origin is Literal:
            return st.sampled_from(arguments)
        case origin if origin in (Union, types.UnionType):
            return st.one_of([of_type(argument) for argument in arguments])
        case origin if origin is list:
            return st.lists(of_type(arguments[0]), max_size=2)
        case origin if origin is dict:
            return st.dictionaries(of_type(arguments[0]), of_type(arguments[1]), max_size=2)
    raise TypeError(f"no strategy for {wanted}")


def kept(write: typing.Callable[[Transaction], None]) -> tuple[Loaded, list[Event]]:
    """What a store has after one transaction on an empty one."""
    store = Store.open(":memory:")
    with store.transaction(store.take_over(NOW)) as tx:
        write(tx)
    found = store.load(), store.events()
    assert store.check_events() is None
    store.close()
    return found


@settings(max_examples=30, deadline=None)
@given(every(RolloutStatus))
def test_a_status_comes_back(status: RolloutStatus) -> None:
    assert kept(lambda tx: tx.put_status(status))[0].statuses == {status.target: status}


@settings(max_examples=30, deadline=None)
@given(TEXT, every(Journey))
def test_a_journey_comes_back(target: str, journey: Journey) -> None:
    assert kept(lambda tx: tx.put_journey(target, journey))[0].journeys == {target: {journey.host: journey}}


@settings(max_examples=30, deadline=None)
@given(TEXT, every(Report))
def test_a_report_comes_back(node: str, report: Report) -> None:
    assert kept(lambda tx: tx.put_report(node, report))[0].reports == {node: report}


@settings(max_examples=30, deadline=None)
@given(every(Operation))
def test_an_operation_comes_back(operation: Operation) -> None:
    assert kept(lambda tx: tx.put_operation(operation))[0].operations == {operation.id: operation}


@settings(max_examples=30, deadline=None)
@given(every(Revision))
def test_a_revision_comes_back(revision: Revision) -> None:
    loaded, _ = kept(lambda tx: tx.put_revision(revision))
    assert revision in (loaded.revision, loaded.refused)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.tuples(TEXT, TEXT, TEXT), st.builds(Entry, TEXT, PLAIN[Stamp]), max_size=5))
def test_entries_come_back(entries: dict[tuple[str, str, str], Entry]) -> None:
    def write(tx: Transaction) -> None:
        for key, entry in entries.items():
            tx.put_entry(*key, entry)

    loaded, _ = kept(write)
    flat = {
        (node, target, key): entry
        for node, targets in loaded.entries.items()
        for target, fragment in targets.items()
        for key, entry in fragment.items()
    }
    assert flat == entries


@settings(max_examples=30, deadline=None)
@given(st.lists(every(Event), max_size=4))
def test_events_come_back_numbered(events: list[Event]) -> None:
    added: list[Event] = []
    _, found = kept(lambda tx: added.extend(tx.add_event(event) for event in events))
    assert found == added
    unnumbered = {"id", "resource_version"}
    assert [event.model_dump(exclude=unnumbered) for event in found] == [
        event.model_dump(exclude=unnumbered) for event in events
    ]
    assert [event.id for event in found] == list(range(1, len(events) + 1))
