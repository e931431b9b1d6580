"""Bugs in what acts and what keeps: agents, messages, the store."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

import controller.store.chain
import controller.store.transaction
from agent.journal import Journal
from agent.role import Steps
from agent.roles.host import HostRole
from agent.roles.marks import Marks
from bus.envelope import open_envelope, read_payload, unverified
from bus.keys import PublicKey
from controller.hearing import Hearing
from controller.saving import Saving
from controller.store import Store, Transaction, tables
from controller.store.chain import Head
from crds.messages import ASSIGNMENT_TYPE, Assignment
from tests.simulation import nodes
from tests.simulation.faults import ALL, PERSONS
from tests.simulation.planted import Bug

TWO_CONTROLLERS = replace(ALL.only({"controller_paused", "lost", "late"}), controller_paused=20.0)
RESTORED = replace(PERSONS.only({"store_restored", "controller_crash"}), store_restored=60.0, controller_crash=8.0)
BEHIND_TIME = ALL.only({"late", "twice", "lost"})
RESTARTS = ALL.only({"agent_crash", "late"})
HANDS = replace(ALL.only({"manual"}), manual=5.0)


def older_assignments_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Journal, "compare", lambda _journal, _stamp: "taken")


def signatures_not_verified(patch: pytest.MonkeyPatch) -> None:
    def opened(envelope: bytes, controller_keys: list[PublicKey], node: str) -> Assignment:
        return read_payload(unverified(envelope, ASSIGNMENT_TYPE, 2**20), Assignment)

    patch.setattr(nodes, "open_assignment", opened)


def assignments_of_other_nodes_taken(patch: pytest.MonkeyPatch) -> None:
    def opened(envelope: bytes, controller_keys: list[PublicKey], node: str) -> Assignment:
        return read_payload(open_envelope(envelope, ASSIGNMENT_TYPE, controller_keys, 2**20), Assignment)

    patch.setattr(nodes, "open_assignment", opened)


def a_restarted_agent_stops_what_it_finds(patch: pytest.MonkeyPatch) -> None:
    real = HostRole._meet

    def meet(role: HostRole, assignment: Assignment) -> None:
        first = role._stamp is None
        real(role, assignment)
        for service in role._services.values() if first else ():
            service._stop()

    patch.setattr(HostRole, "_meet", meet)


def a_takeover_raises_no_term(patch: pytest.MonkeyPatch) -> None:
    def take_over(store: Store, now: datetime, above: int = 0) -> int:
        with store._connection.begin():
            return int(store._connection.execute(select(tables.lease.c.term)).scalar_one())

    patch.setattr(Store, "take_over", take_over)


def a_restored_store_keeps_its_term(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Hearing, "rise", lambda hearing, now: setattr(hearing, "_term_above", 0))


def the_store_does_not_fence(patch: pytest.MonkeyPatch) -> None:
    real = Store._fence

    def fence(store: Store, _term: int) -> Any:
        return real(store, store._connection.execute(select(tables.lease.c.term)).scalar_one())

    patch.setattr(Store, "_fence", fence)


def marks_of_people_are_forgotten_in_a_restart(patch: pytest.MonkeyPatch) -> None:
    real = Marks.__init__

    def begin(marks: Marks, steps: Steps) -> None:
        real(marks, steps)
        marks._people = set()

    patch.setattr(Marks, "__init__", begin)


def marks_of_people_ignored_by_the_agent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Marks, "is_persons", lambda _marks, _place: False)


def deletions_not_saved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Transaction, "delete_entry", lambda _transaction, _node, _target, _key: None)


def serials_kept_in_memory_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Transaction, "put_serial", lambda _transaction, _node, _serial: None)


def events_kept_for_the_next_step(patch: pytest.MonkeyPatch) -> None:
    real = Saving.event

    def later(saving: Saving, *said: Any, **more: Any) -> None:
        held = saving.__dict__.setdefault("_held", [])
        held.append(lambda: real(saving, *said, **more))
        if len(held) > 1:
            held.pop(0)()

    patch.setattr(Saving, "event", later)


def messages_of_events_not_covered_by_the_hash(patch: pytest.MonkeyPatch) -> None:
    real = controller.store.chain.hash_of
    patch.setattr(controller.store.chain, "hash_of", lambda row: real({**row, "message": ""}))


def a_log_cut_off_at_its_end_does_not_show(patch: pytest.MonkeyPatch) -> None:
    real = controller.store.chain.find_break

    def find_break(rows: Any, _head: Head) -> str | None:
        known = list(rows)
        return real(known, Head(known[-1]["id"], known[-1]["hash"]))

    patch.setattr(controller.store.chain, "find_break", find_break)


BUGS = [
    Bug(5, older_assignments_taken, BEHIND_TIME, also=(10,)),
    Bug(5, signatures_not_verified),
    Bug(5, assignments_of_other_nodes_taken),
    Bug(10, a_takeover_raises_no_term, TWO_CONTROLLERS),
    Bug(10, the_store_does_not_fence, TWO_CONTROLLERS),
    Bug(10, a_restored_store_keeps_its_term, RESTORED),
    Bug(13, marks_of_people_ignored_by_the_agent, HANDS, also=(17,)),
    Bug(13, marks_of_people_are_forgotten_in_a_restart, replace(HANDS, agent_crash=5.0)),
    Bug(7, deletions_not_saved),
    Bug(7, serials_kept_in_memory_alone),
    Bug(9, a_restarted_agent_stops_what_it_finds, RESTARTS, also=(3,)),
    Bug(15, events_kept_for_the_next_step),
    Bug(15, messages_of_events_not_covered_by_the_hash),
    Bug(15, a_log_cut_off_at_its_end_does_not_show),
]
