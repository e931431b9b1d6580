"""What the deciding loop relies on: whole transactions, fencing, savepoints, and a record that shows tampering."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from controller.store import Fenced, Loaded, Revision, Store, StoreError
from controller.store.sqlite import journal_mode
from controller.store.tables import metadata
from crds.messages import Stamp
from reconcilers.fragments import Entry
from tests.support.stored import NOW, TARGET, event, journey, record, status


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drumbeat.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store.open(path)
    yield opened
    opened.close()


@pytest.fixture
def shared(path: Path) -> Iterator[Store]:
    """One that lets others open its file."""
    opened = Store.open(path, alone=False)
    yield opened
    opened.close()


def test_a_new_store_is_empty_and_ready(store: Store) -> None:
    assert store.load() == Loaded()
    assert store.events() == []
    assert store.check_events() is None


def test_what_was_written_is_there_after_reopening(store: Store, path: Path) -> None:
    term = store.take_over(NOW)
    with store.transaction(term) as tx:
        tx.put_status(status())
        tx.put_journey(TARGET, journey("vm1"))
        tx.put_entry("vm1", TARGET, "service", Entry('{"release":null}', Stamp(term, 4)))
        tx.put_serial("vm1", 4)
    store.close()
    again = Store.open(path)
    loaded = again.load()
    again.close()
    assert loaded.statuses == {TARGET: status()}
    assert loaded.journeys == {TARGET: {"vm1": journey("vm1")}}
    assert loaded.entries == {"vm1": {TARGET: {"service": Entry('{"release":null}', Stamp(term, 4))}}}
    assert loaded.serials == {"vm1": 4}
    assert loaded.resource_version == 1


def test_the_later_of_two_writes_counts(store: Store) -> None:
    term = store.take_over(NOW)
    with store.transaction(term) as tx:
        tx.put_status(status("1"))
        tx.put_status(status("2"))
        tx.put_journey(TARGET, journey("vm1"))
        tx.delete_journey(TARGET, "vm1")
        tx.delete_entry("vm1", TARGET, "service")
        tx.put_entry("vm1", TARGET, "service", Entry("{}", Stamp(1, 1)))
    loaded = store.load()
    assert loaded.statuses == {TARGET: status("2")}
    assert loaded.journeys == {}
    assert list(loaded.entries) == ["vm1"]


def test_deleting_takes_only_what_was_named(store: Store) -> None:
    term = store.take_over(NOW)
    with store.transaction(term) as tx:
        for host in ("vm1", "vm2"):
            tx.put_journey(TARGET, journey(host))
            tx.put_entry(host, TARGET, "service", Entry("{}", Stamp(1, 1)))
            tx.put_entry(host, TARGET, "pool/online", Entry("{}", Stamp(1, 1)))
    with store.transaction(term) as tx:
        tx.delete_journey(TARGET, "vm1")
        tx.delete_entry("vm1", TARGET, "service")
        tx.delete_operation("never there")
    loaded = store.load()
    assert list(loaded.journeys[TARGET]) == ["vm2"]
    assert sorted(loaded.entries["vm1"][TARGET]) == ["pool/online"]
    assert sorted(loaded.entries["vm2"][TARGET]) == ["pool/online", "service"]


def test_an_exception_keeps_nothing_of_the_transaction(store: Store) -> None:
    term = store.take_over(NOW)
    with pytest.raises(ZeroDivisionError), store.transaction(term) as tx:
        tx.put_status(status())
        tx.add_event(event())
        raise ZeroDivisionError
    assert store.load() == Loaded()
    assert store.events() == []


def test_a_transaction_that_wrote_nothing_leaves_no_trace(store: Store) -> None:
    term = store.take_over(NOW)
    with store.transaction(term):
        pass
    assert store.load().resource_version == 0


def test_each_transaction_raises_the_resource_version_by_one(store: Store) -> None:
    term = store.take_over(NOW)
    for version in (1, 2, 3):
        with store.transaction(term) as tx:
            assert tx.resource_version == version
            tx.put_status(status(str(version)))
            tx.put_serial("vm1", version)
    assert store.load().resource_version == 3


def test_a_savepoint_takes_back_its_own_part_alone(store: Store) -> None:
    term = store.take_over(NOW)
    with store.transaction(term) as tx:
        with tx.savepoint():
            tx.put_status(status("1"))
            tx.add_event(event("first"))
        with pytest.raises(ZeroDivisionError), tx.savepoint():
            tx.put_status(status("2"))
            tx.put_status(status(target="other@prod"))
            tx.add_event(event("lost"))
            raise ZeroDivisionError
        with tx.savepoint():
            tx.add_event(event("second"))
    assert store.load().statuses == {TARGET: status("1")}
    assert [(event.id, event.message) for event in store.events()] == [(1, "first"), (2, "second")]
    assert store.check_events() is None


def test_savepoints_nest(store: Store) -> None:
    term = store.take_over(NOW)
    with store.transaction(term) as tx:
        with pytest.raises(ZeroDivisionError), tx.savepoint():
            with tx.savepoint():
                tx.put_serial("vm1", 1)
            raise ZeroDivisionError
        with tx.savepoint():
            with pytest.raises(ZeroDivisionError), tx.savepoint():
                tx.put_serial("vm2", 1)
                raise ZeroDivisionError
            tx.put_serial("vm3", 1)
    assert store.load().serials == {"vm3": 1}


def test_the_former_leader_is_fenced(shared: Store, path: Path) -> None:
    store = shared
    former = store.take_over(NOW)
    with store.transaction(former) as tx:
        tx.put_status(status("former"))
    other = Store.open(path, alone=False)
    newer = other.take_over(NOW)
    assert newer == former + 1
    entered = []
    with pytest.raises(Fenced, match=f"term {former}, but term {newer} is in force"), store.transaction(former) as tx:
        entered.append(tx)
    assert not entered
    with other.transaction(newer) as tx:
        tx.put_status(status("newer"))
        tx.add_event(event())
    other.close()
    assert store.load().statuses == {TARGET: status("newer")}
    assert store.load().resource_version == 2
    assert store.check_events() is None


def test_terms_only_grow(store: Store, path: Path) -> None:
    terms = [store.take_over(NOW), store.take_over(NOW)]
    store.close()
    again = Store.open(path)
    terms.append(again.take_over(NOW))
    again.close()
    assert terms == [1, 2, 3]


def test_a_refused_revision_stands_beside_the_good_one_until_another_is_accepted(store: Store) -> None:
    term = store.take_over(NOW)
    good = Revision(id="a" * 40, state="accepted", at=NOW)
    bad = Revision(id="b" * 40, state="refused", at=NOW, problems=["fleets/prod.yaml:3: kind: write Fleet"])
    for revision in (good, bad):
        with store.transaction(term) as tx:
            tx.put_revision(revision)
    assert (store.load().revision, store.load().refused) == (good, bad)
    newer = Revision(id="c" * 40, state="accepted", at=NOW + timedelta(seconds=1))
    with store.transaction(term) as tx:
        tx.put_revision(newer)
    assert (store.load().revision, store.load().refused) == (newer, None)


def test_events_are_numbered_and_resumed_by_resource_version(store: Store) -> None:
    term = store.take_over(NOW)
    for batch in ("ab", "cde", "f"):
        with store.transaction(term) as tx:
            added = [tx.add_event(event(message)) for message in batch]
        assert store.events(after_rv=added[0].resource_version - 1) == added
    assert [(event.id, event.resource_version) for event in store.events()] == [
        (1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3),
    ]  # fmt: skip


def test_a_limit_never_cuts_a_resource_version_in_two(store: Store) -> None:
    term = store.take_over(NOW)
    for batch in ("ab", "cde", "f"):
        with store.transaction(term) as tx:
            for message in batch:
                tx.add_event(event(message))
    seen, after = [], 0
    while page := store.events(after_rv=after, limit=3):
        seen.append("".join(event.message for event in page))
        after = page[-1].resource_version
    assert seen == ["abcde", "f"]


def test_events_of_one_object(store: Store) -> None:
    term = store.take_over(NOW)
    with store.transaction(term) as tx:
        tx.add_event(event("mine"))
        tx.add_event(event("another's", about="other@prod"))
    assert [event.message for event in store.events(object=TARGET)] == ["mine"]


def test_events_of_an_object_are_also_those_of_what_is_below_it(store: Store) -> None:
    term = store.take_over(NOW)
    with store.transaction(term) as tx:
        for about in (TARGET, f"{TARGET}/vm1", f"{TARGET}0", f"{TARGET}-b", f"{TARGET}/vm2", "other@prod"):
            tx.add_event(event(about, about=about))
    below = [TARGET, f"{TARGET}/vm1", f"{TARGET}/vm2"]
    assert [event.message for event in store.events(object=TARGET)] == below
    assert [event.message for event in store.recent_events(10, TARGET)] == below
    assert [event.message for event in store.recent_events(10, f"{TARGET}/vm1")] == [f"{TARGET}/vm1"]


def test_recent_events_are_the_newest_oldest_first(store: Store) -> None:
    record(store, "a", "b", "c")
    assert [event.message for event in store.recent_events(2)] == ["b", "c"]
    assert [event.message for event in store.recent_events(5)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        ("UPDATE event SET message = 'nobody' WHERE id = 2", "event 2 was changed"),
        ("UPDATE event SET actor = 'nobody' WHERE id = 1", "event 1 was changed"),
        ("UPDATE event SET at = '2026-01-01T00:00:00+00:00' WHERE id = 3", "event 3 was changed"),
        ("UPDATE event SET hash = 'x' WHERE id = 2", "event 2 was changed"),
        ("DELETE FROM event WHERE id = 2", "events 2 to 2 are missing"),
        ("DELETE FROM event WHERE id <= 2", "events 1 to 2 are missing"),
        ("DELETE FROM event WHERE id = 3", "the log ends with event 2, but the lease row remembers event 3"),
        ("DELETE FROM event", "the log ends with event 0, but the lease row remembers event 3"),
    ],
)
def test_tampering_with_the_record_shows(shared: Store, path: Path, tampering: str, said: str) -> None:
    store = shared
    record(store, "one", "two", "three")
    assert store.check_events() is None
    with sqlite3.connect(path) as database:
        database.execute(tampering)
    database.close()
    assert said in (store.check_events() or "")


def test_the_connection_belongs_to_one_thread(store: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor, pytest.raises(StoreError, match="thread"):
        executor.submit(store.take_over, NOW).result()


def test_commits_are_durable(store: Store) -> None:
    mode = store._connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    assert mode == "wal"
    assert store._connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    assert store._connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1


@pytest.mark.parametrize(
    ("version", "mode"),
    [((3, 40, 1), "PERSIST"), ((3, 51, 2), "PERSIST"), ((3, 51, 3), "WAL"), ((3, 52, 0), "WAL"), ((4, 0, 0), "WAL")],
)
def test_wal_only_where_sqlite_is_sound(version: tuple[int, ...], mode: str) -> None:
    assert journal_mode(version, alone=False) == mode
    assert journal_mode(version, alone=True) == "WAL"


def test_migrations_and_tables_say_the_same(store: Store, path: Path) -> None:
    store.close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    engine.dispose()
