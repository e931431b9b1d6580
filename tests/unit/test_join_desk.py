"""The controller's end of joining: who is let in, who is not, and what the refused learn."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.applications import Starlette

from bus.http_join import JoinDesk
from bus.invitations import Invitation, Invitations, split_token
from bus.joining import JOIN_PATH, MAX_JOIN, PROOF_HEADER, JoinAnswer, prove_answer, prove_request
from bus.keyring import KeyRing
from bus.keys import BadKey, generate_key, public_text
from tests.support.controller import Serving
from tests.support.denied import denied, reachable
from tests.support.logs import capture_logs

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CONTROLLER = generate_key().public_key
NOT_VALID = "This invitation is not valid.\n"


@dataclass
class Clock:
    at: float = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return self.at


@dataclass
class Office:
    """A desk, and somebody who asks there."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    joined: list[JoinAnswer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ring, self.invitations = KeyRing(self.folder), Invitations(self.folder)
        desk = JoinDesk(self.ring, self.invitations, [CONTROLLER], self.clock, self.joined.append)
        app = Starlette(routes=desk.routes())
        self.http = Serving(app)
        self.logs: list[Any] = []

    def invite(self, node: str = "web-01", valid: float = 3600.0) -> str:
        return self.invitations.invite(node, ["host"], timedelta(seconds=valid), self.clock.now())

    def ask(self, token: str, key: str = "", node: str = "web-01", **changes: str) -> requests.Response:
        name, secret = split_token(token)
        said = {"invitation": name, "node": node, "publicKey": key or new_key(), "tokenHash": "A" * 48, **changes}
        body = json.dumps(said).encode()
        return self.post(body, prove_request(secret, body))

    def post(self, body: bytes, proof: str) -> requests.Response:
        with capture_logs("bus.join") as logs:
            answer = requests.post(self.http.url + JOIN_PATH, data=body, headers={PROOF_HEADER: proof}, timeout=10)
        self.logs += logs
        return answer

    def refused(self) -> list[str]:
        """Why, as the log says."""
        return [line["why"] for line in self.logs if line["event"] == "join.refused"]


def new_key() -> str:
    return public_text(generate_key().public_key)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.http.stop()


def test_an_invited_node_joins_with_its_own_key_and_roles(office: Office) -> None:
    token, key = office.invite(), new_key()
    answer = office.ask(token, key)
    assert answer.status_code == 200
    assert answer.json() == {"node": "web-01", "roles": ["host"], "controllerKeys": [public_text(CONTROLLER)]}
    entry = office.ring.entry("web-01")
    assert entry is not None
    assert (entry.public_key, entry.token_hash, entry.roles, entry.trusted) == (key, "A" * 48, ["host"], True)
    assert [each.node for each in office.joined] == ["web-01"]


def test_the_answer_proves_that_the_controller_knows_the_invitation(office: Office) -> None:
    token = office.invite()
    name, secret = split_token(token)
    body = json.dumps({"invitation": name, "node": "web-01", "publicKey": new_key(), "tokenHash": "A" * 48}).encode()
    proof = prove_request(secret, body)
    answer = office.post(body, proof)
    assert answer.headers[PROOF_HEADER] == prove_answer(secret, proof, answer.content)


def test_the_same_key_may_ask_again_and_another_may_not(office: Office) -> None:
    token, key = office.invite(), new_key()
    first, again = office.ask(token, key), office.ask(token, key)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert len(office.joined) == 1
    other = office.ask(token)
    assert (other.status_code, other.text) == (403, NOT_VALID)
    assert "used already" in office.refused()[-1]
    entry = office.ring.entry("web-01")
    assert entry is not None
    assert entry.public_key == key


def test_asking_again_does_not_undo_a_revocation(office: Office) -> None:
    token, key = office.invite(), new_key()
    office.ask(token, key)
    office.ring.revoke("web-01")
    assert office.ask(token, key).status_code == 200
    assert office.ring.public_key("web-01") is None


def test_a_revocation_meanwhile_is_not_undone(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator, in another process, revokes the node while it is let in with its next key."""
    office.ask(office.invite())
    revoking = threading.Thread(target=KeyRing(office.folder).revoke, args=("web-01",))
    save = Invitations.save

    def slowly(invitations: Invitations, name: str, invitation: Invitation) -> None:
        save(invitations, name, invitation)
        if invitation.used_by:
            revoking.start()
            revoking.join(0.3)  # it could have done it by now

    monkeypatch.setattr(Invitations, "save", slowly)
    assert office.ask(office.invite()).status_code == 200
    revoking.join(30)
    assert office.ring.public_key("web-01") is None


def test_an_invitation_that_is_withdrawn_meanwhile_is_not_used(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    token, find = office.invite(), Invitations.find

    def once(invitations: Invitations, name: str) -> Invitation | None:
        found = find(invitations, name)
        monkeypatch.setattr(Invitations, "find", find)
        invitations.withdraw("web-01")
        return found

    monkeypatch.setattr(Invitations, "find", once)
    assert office.ask(token).text == NOT_VALID
    assert office.ring.nodes() == []
    assert office.invitations.all() == {}


@pytest.mark.parametrize("harm", ["revoke", "dispute"])
def test_a_key_that_is_not_trusted_does_not_come_back_with_a_new_invitation(office: Office, harm: str) -> None:
    key = new_key()
    office.ask(office.invite(), key)
    office.ring.revoke("web-01") if harm == "revoke" else office.ring.dispute("web-01", "two machines")
    token = office.invite()
    assert office.ask(token, key).text == NOT_VALID
    assert office.ask(token).status_code == 200
    assert office.ring.public_key("web-01") is not None


def test_whoever_is_refused_learns_nothing_and_the_log_says_why(office: Office) -> None:
    expired, withdrawn, foreign = office.invite("a", valid=60), office.invite("b"), office.invite("c")
    office.invitations.withdraw("b")
    name, _ = split_token(foreign)
    office.clock.at = 61
    answers = [
        office.ask(expired, node="a"),
        office.ask(withdrawn, node="b"),
        office.ask(foreign, node="d"),
        office.ask(f"{name}.{'x' * 43}", node="c"),
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(403, NOT_VALID)}
    for why, words in zip(office.refused(), ["expired", "no such", "is for c", "wrong proof"], strict=True):
        assert words in why
    assert office.ring.nodes() == []
    assert office.joined == []


def test_a_request_that_was_changed_on_the_way_is_refused(office: Office) -> None:
    name, secret = split_token(office.invite())
    body = json.dumps({"invitation": name, "node": "web-01", "publicKey": new_key(), "tokenHash": "A" * 48}).encode()
    proof = prove_request(secret, body)
    assert office.post(body.replace(b'"tokenHash": "A', b'"tokenHash": "B'), proof).status_code == 403
    assert office.post(body, proof).status_code == 200


def test_guesses_are_slowed_down(office: Office) -> None:
    token = office.invite()
    wrong = f"{split_token(token)[0]}.{'x' * 43}"
    assert [office.ask(wrong).status_code for _ in range(6)] == [403] * 5 + [429]
    assert office.ask(token).status_code == 429, "nothing is compared, so that a right guess tells nothing"
    office.clock.at = 61
    assert office.ask(token).status_code == 200


def test_strangers_do_not_fill_the_log(office: Office) -> None:
    office.invite()
    for number in range(50):
        office.ask(f"{number:016x}.{'x' * 43}")
    assert len(office.refused()) == 1
    office.clock.at = 61
    office.ask(f"{1:016x}.{'x' * 43}")
    assert len(office.refused()) == 2


def test_strangers_do_not_fill_the_log_of_a_controller_that_cannot_read_its_keys() -> None:
    """What the system says names the file, so that each of these seems to be another trouble."""
    with reachable() as folder:
        office = Office(folder)
        office.invite()
        with denied(folder / "invitations"):
            for number in range(20):
                office.ask(f"{number:016x}.{'x' * 43}")
        office.http.stop()
    assert len(office.refused()) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b"[" * 5000, b'{"invitation":"../x"}'])
def test_what_is_no_request_is_refused(office: Office, body: bytes) -> None:
    assert office.post(body, "x").status_code == 400


def test_a_large_body_is_refused_before_it_is_read(office: Office) -> None:
    assert office.post(b"x" * (MAX_JOIN + 1), "x").status_code == 413


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "0" * 15, "0" * 15 + "/", "A" * 16])
def test_an_id_never_leads_out_of_the_folder(office: Office, name: str) -> None:
    assert office.invitations.find(name) is None


def test_an_unusable_folder_of_keys_is_said_in_the_log(office: Office) -> None:
    token = office.invite()
    path = office.folder / "invitations" / f"{split_token(token)[0]}.json"
    path.write_text("{")
    assert office.ask(token).status_code == 503
    assert str(path) in office.refused()[0]


@pytest.mark.parametrize("pointing", ["web-01.json", "away"], ids=["to itself", "to nothing"])
def test_an_entry_that_cannot_be_read_is_not_replaced(office: Office, pointing: str) -> None:
    """It may say that this very key was revoked; a damaged one is mended by joining anew, as the person said."""
    key = new_key()
    office.ask(office.invite(), key)
    office.ring.revoke("web-01")
    path = office.folder / "nodes" / "web-01.json"
    away = path.rename(office.folder / "kept.json")
    path.symlink_to(pointing)
    assert office.ask(office.invite(), key).status_code == 503
    assert f"{path}: cannot be read" in office.refused()[0]
    path.unlink()
    away.rename(path)
    assert office.ring.public_key("web-01") is None


def test_earlier_invitations_that_cannot_be_listed_do_not_stay() -> None:
    with reachable() as folder:
        invitations = Invitations(folder)
        invitations.invite("web-01", ["host"], timedelta(hours=1), NOW)
        with denied(folder / "invitations", 0o311), pytest.raises(PermissionError):
            invitations.withdraw("web-01")


def test_a_node_has_one_invitation_at_a_time_and_its_file_is_private(office: Office) -> None:
    first, second = office.invite(), office.invite()
    assert office.ask(first).status_code == 403
    assert office.ask(second).status_code == 200
    (path,) = (office.folder / "invitations").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_expired_invitations_are_removed(office: Office) -> None:
    office.invite("a", valid=60)
    office.invite("b", valid=600)
    assert office.invitations.prune(office.clock.now() + timedelta(seconds=60)) == 1
    assert [found.node for found in office.invitations.all().values()] == ["b"]


@pytest.mark.parametrize("node", ["", "../x", "Upper", "con"])
def test_a_bad_name_is_not_invited(office: Office, node: str) -> None:
    with pytest.raises(BadKey, match="cannot be invited"):
        office.invite(node)


@pytest.mark.parametrize("token", ["", "x", "1234.abc", "0" * 16 + ".", "0" * 16])
def test_what_is_no_token_is_said_so(token: str) -> None:
    with pytest.raises(BadKey, match="drumbeat nodes invite"):
        split_token(token)
