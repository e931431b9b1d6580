"""``drumbeat nodes``: what operators are told, and what is left in the folder of keys."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bus.history import History
from bus.invitations import Invitations
from bus.keyring import KeyRing, NodeEntry
from bus.keys import CONTROLLER_KEY_FILE, generate_key, public_text, save_private_key
from controller.cli.main import app

KEY = public_text(generate_key().public_key)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    save_private_key(tmp_path / CONTROLLER_KEY_FILE, generate_key())
    return tmp_path


def run(keys: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["nodes", *words, "--keys-directory", str(keys)])


def joined(keys: Path, name: str = "web-01", **changes: object) -> KeyRing:
    ring = KeyRing(keys)
    entry = NodeEntry(public_key=KEY, token_hash="A" * 48, roles=["host"])
    ring.register(name, entry.model_copy(update=changes))
    return ring


def deeds(keys: Path, name: str = "web-01") -> list[str]:
    return [deed.did for deed in History(keys, "").of(name)]


def test_an_invitation_is_printed_once_and_what_to_do_beside_it(keys: Path) -> None:
    done = run(keys, "invite", "web-01", "--role", "host", "--role", "balancer", "--valid", "10m")
    assert done.exit_code == 0
    (token,) = done.stdout.split()
    assert "drumbeat-agent join" in done.stderr
    assert "within 10m" in done.stderr
    (found,) = Invitations(keys).all().values()
    assert (found.node, found.roles, f".{found.secret}" in token) == ("web-01", ["balancer", "host"], True)
    assert token not in run(keys, "list").stdout + run(keys, "show", "web-01").stdout
    assert found.secret not in (keys / "history.jsonl").read_text()
    assert deeds(keys) == ["invited"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["invite", "web-01", "--role", "hosts"], 2, "'hosts' is no role; write host, balancer, runner"),
        (["invite", "web-01"], 2, "--role"),
        (["invite", "web-01", "--role", "host", "--valid", "10"], 2, "duration"),
        (["invite", "web-02", "--role", "host", "--valid", "0s"], 2, "no time at all; write at least 1s"),
        (["rekey", "web-01", "--valid", "500ms"], 2, "no time at all; write at least 1s"),
        (["invite", "Web", "--role", "host"], 1, "cannot be invited"),
        (["revoke", "web-09"], 1, "no node 'web-09' has joined; there are: web-01"),
        (["rekey", "web-09"], 1, "no node 'web-09' has joined"),
        (["rekey", "web-09", "--role", "host"], 1, "no node 'web-09' has joined; there are: web-01"),
        (["rekey", "web-01", "--role", "hosts"], 2, "'hosts' is no role; write host, balancer, runner"),
        (["show", "web-09"], 1, "no node 'web-09' has joined"),
        (["invite", "web-01", "--role", "host"], 1, "drumbeat nodes rekey web-01"),
        (["restore", "web-01"], 1, "is not revoked"),
        (["trust", "web-01"], 1, "is not disputed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_explained(keys: Path, words: list[str], code: int, said: str) -> None:
    joined(keys)
    done = run(keys, *words)
    assert done.exit_code == code
    assert said in done.stderr


def test_nobody_is_invited_before_there_is_a_key_to_pin(tmp_path: Path) -> None:
    done = run(tmp_path, "invite", "web-01", "--role", "host")
    assert done.exit_code == 1
    assert "controller.key" in done.stderr


def test_revoking_takes_the_invitation_too_and_can_be_taken_back(keys: Path) -> None:
    ring = joined(keys)
    run(keys, "rekey", "web-01")
    assert run(keys, "revoke", "web-01").exit_code == 0
    assert Invitations(keys).all() == {}
    assert ring.public_key("web-01") is None
    assert run(keys, "restore", "web-01").exit_code == 0
    assert ring.public_key("web-01") is not None
    assert deeds(keys) == ["revoked", "invited", "revoked", "restored"]


def test_revoking_who_has_not_joined_withdraws_the_invitation(keys: Path) -> None:
    run(keys, "invite", "web-01", "--role", "host")
    done = run(keys, "revoke", "web-01")
    assert (done.exit_code, "the invitation of web-01 is withdrawn" in done.stderr) == (0, True)
    assert Invitations(keys).all() == {}
    assert deeds(keys) == ["invited", "withdrawn"]
    again = run(keys, "revoke", "web-01")
    assert (again.exit_code, "no node 'web-01' has joined" in again.stderr) == (1, True)


def test_an_invitation_ends_even_where_the_entry_is_damaged(keys: Path) -> None:
    joined(keys)
    run(keys, "rekey", "web-01")
    (keys / "nodes/web-01.json").write_text("{")
    assert run(keys, "revoke", "web-01").exit_code == 1
    assert Invitations(keys).all() == {}


def test_rekeying_keeps_the_roles_unless_others_are_given(keys: Path) -> None:
    ring = joined(keys)
    assert run(keys, "rekey", "web-01").exit_code == 0
    assert ring.public_key("web-01") is None, "the key that it has counts no more"
    (found,) = Invitations(keys).all().values()
    assert found.roles == ["host"]
    run(keys, "rekey", "web-01", "--role", "runner")
    (found,) = Invitations(keys).all().values()
    assert found.roles == ["runner"]


def test_trusting_ends_a_dispute_and_no_revocation(keys: Path) -> None:
    ring = joined(keys, disputed="two agents")
    assert run(keys, "trust", "web-01").exit_code == 0
    assert ring.public_key("web-01") is not None
    joined(keys, disputed="two agents", revoked=True)
    run(keys, "trust", "web-01")
    assert ring.public_key("web-01") is None


def test_the_list_has_everybody(keys: Path) -> None:
    joined(keys, "a")
    joined(keys, "b", revoked=True)
    joined(keys, "c", disputed="two agents")
    (keys / "nodes/d.json").write_text("{")
    run(keys, "invite", "e", "--role", "runner")
    rows = [line.split()[:2] for line in run(keys, "list").stdout.splitlines()]
    assert rows == [
        ["NAME", "STATE"],
        ["a", "joined"],
        ["b", "revoked"],
        ["c", "disputed"],
        ["d", "damaged"],
        ["e", "invited"],
    ]


def test_one_node_is_shown_with_its_history(keys: Path) -> None:
    joined(keys, disputed="two agents have spoken")
    run(keys, "trust", "web-01")
    run(keys, "revoke", "web-01")
    said = run(keys, "show", "web-01").stdout
    assert "State:    revoked" in said
    assert KEY in said
    assert [line.split()[3] for line in said.splitlines() if line.startswith("20")] == ["trusted", "revoked"]


def test_a_node_that_is_only_invited_is_shown(keys: Path) -> None:
    run(keys, "invite", "web-01", "--role", "host")
    said = run(keys, "show", "web-01")
    assert said.exit_code == 0
    assert "Invited:  until" in said.stdout


def test_another_account_would_leave_files_that_the_controller_cannot_read(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: keys.stat().st_uid + 1)
    done = run(keys, "invite", "web-01", "--role", "host")
    assert done.exit_code == 1
    assert "runuser -u" in done.stderr
    assert Invitations(keys).all() == {}


@pytest.mark.parametrize(
    "words", [["invite", "web-02", "--role", "host"], ["rekey", "web-01"], ["revoke", "web-01"], ["restore", "web-01"]]
)
def test_a_command_changes_nothing_while_somebody_else_does(
    keys: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr("bus.keyring._PATIENCE", 0.05)
    with joined(keys, revoked=words[0] == "restore").changing():
        done = run(keys, *words)
        assert done.exit_code == 1
        assert "another process has it locked" in done.stderr
        assert run(keys, "list").exit_code == 0, "to look is no change"
    assert deeds(keys, words[1]) == []
    assert run(keys, *words).exit_code == 0
