"""The store where disk, file or another process is in the way: nothing is kept by half, and it says what to do."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.store import Store, StoreError
from tests.support.denied import denied, reachable
from tests.support.stored import NOW, TARGET, event, journey, record, status


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drumbeat.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store.open(path)
    yield opened
    opened.close()


def test_a_file_that_another_process_holds_says_so(path: Path) -> None:
    store = Store.open(path, lock_timeout=0.05, alone=False)
    term = store.take_over(NOW)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="another process holds it locked; stop the other controller"):
        store.take_over(NOW)
    with pytest.raises(StoreError, match=r"drumbeat\.db: another process holds it locked"), store.transaction(term):
        pass
    other.close()
    with store.transaction(term) as tx:
        tx.put_serial("vm1", 1)
    assert store.load().serials == {"vm1": 1}
    store.close()


def test_a_second_controller_on_the_same_file_is_refused(store: Store, path: Path) -> None:
    term = store.take_over(NOW)
    for alone in (True, False):
        with pytest.raises(StoreError, match="another process holds it locked; stop the other controller"):
            Store.open(path, lock_timeout=0.05, alone=alone)
    with store.transaction(term) as tx:
        tx.put_serial("vm1", 1)
    store.close()
    again = Store.open(path)
    assert again.load().serials == {"vm1": 1}
    again.close()


def test_what_was_committed_is_there_after_an_end_without_closing(path: Path, tmp_path: Path) -> None:
    store = Store.open(path)
    with store.transaction(store.take_over(NOW)) as tx:
        tx.put_serial("vm1", 1)
    for file in tmp_path.glob("drumbeat.db*"):
        shutil.copy(file, tmp_path / f"copy-of-{file.name}")
    store.close()
    assert not list(tmp_path.glob("drumbeat.db-*")), "after an orderly end one file holds everything"
    copy = Store.open(tmp_path / "copy-of-drumbeat.db")
    assert copy.load().serials == {"vm1": 1}
    copy.close()


def test_a_full_disk_keeps_nothing_and_says_so(store: Store) -> None:
    term = store.take_over(NOW)
    record(store, "before")
    term += 1
    store._connection.exec_driver_sql("PRAGMA max_page_count = 1")  # no smaller than the file is now
    store._connection.rollback()
    with pytest.raises(StoreError, match="no space is left for it; free some space"), store.transaction(term) as tx:
        for host in range(1000):
            tx.put_journey(TARGET, journey(f"vm{host}"))
        tx.add_event(event("lost"))
    assert store.load().journeys == {}
    assert [event.message for event in store.events()] == ["before"]
    with store.transaction(term) as tx:
        tx.put_status(status())
    assert store.load().statuses == {TARGET: status()}


@pytest.mark.parametrize(("name", "mode"), [("drumbeat.db", 0o444), ("", 0o555)])
def test_what_may_not_be_written_says_so(name: str, mode: int) -> None:
    with reachable() as folder:
        Store.open(folder / "drumbeat.db").close()
        said = f"it cannot be written; let the controller's account write {folder / name}"
        with denied(folder / name, mode), pytest.raises(StoreError, match=said):
            Store.open(folder / "drumbeat.db")


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="it cannot be opened; create its folder"):
        Store.open(tmp_path / "nowhere" / "drumbeat.db")


def test_a_file_that_is_no_database_says_so(path: Path) -> None:
    path.write_text("not a database, but long enough to be taken for one " * 20)
    with pytest.raises(StoreError, match="this is not an SQLite database; name another file"):
        Store.open(path)


def test_a_database_of_a_newer_version_is_left_alone(store: Store, path: Path) -> None:
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(StoreError, match="schema '9999', which this version of Drumbeat does not know"):
        Store.open(path)


@pytest.mark.parametrize(
    ("url", "said"),
    [("postgresql://drumbeat:secret@db/drumbeat", "only SQLite is supported"), ("://", "is no URL")],
)
def test_an_unsupported_url_is_refused_without_its_password(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught:
        Store.open(url)
    assert "secret" not in str(caught.value)
