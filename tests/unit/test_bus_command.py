"""``drumbeat bus``: what it prints, and what it says where it cannot."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.amqp_definitions import CONTROLLER_USER, MANAGEMENT_USER
from bus.keyring import KeyRing, write_node_keys
from bus.keys import BUS_PASSWORD_FILE, generate_key, token_matches
from tests.support.cli import run


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A directory with a password and two nodes."""
    directory = tmp_path / "keys"
    assert run("bus", "password", "--keys-directory", directory).exit_code == 0
    for node in ("host-1", "host-2"):
        write_node_keys(tmp_path / node, node, KeyRing(directory), [generate_key().public_key])
    return directory


def test_passwords_are_in_definitions_as_hashes_alone(keys: Path, tmp_path: Path) -> None:
    result = run("bus", "definitions", "--keys-directory", keys)
    assert result.exit_code == 0
    kept = {user["name"]: user["password_hash"] for user in json.loads(result.stdout)["users"]}
    passwords = {node: (tmp_path / node / "token").read_text().strip() for node in ("host-1", "host-2")}
    passwords[CONTROLLER_USER] = (keys / BUS_PASSWORD_FILE).read_text().strip()
    assert kept.keys() == passwords.keys()
    assert all(token_matches(password, kept[name]) for name, password in passwords.items())
    assert not any(password in result.output for password in passwords.values())


def test_one_node_is_its_account_alone(keys: Path) -> None:
    result = run("bus", "definitions", "--keys-directory", keys, "--node", "host-2", "--vhost", "mine")
    found = json.loads(result.stdout)
    assert found.keys() == {"users", "permissions"}
    assert [(each["user"], each["vhost"]) for each in found["permissions"]] == [("host-2", "mine")]


def test_the_password_is_its_owner_s_alone_and_is_not_overwritten(keys: Path) -> None:
    path = keys / BUS_PASSWORD_FILE
    before = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    result = run("bus", "password", "--keys-directory", keys)
    assert (result.exit_code, path.read_text()) == (1, before)
    assert "is there already" in result.stderr


def test_the_account_that_makes_others_is_there_once_it_has_a_password(keys: Path) -> None:
    def users() -> dict[str, list[str]]:
        found = json.loads(run("bus", "definitions", "--keys-directory", keys).stdout)["users"]
        return {user["name"]: user["tags"] for user in found}

    ours = {CONTROLLER_USER: ["drumbeat:drumbeat"], "host-1": ["drumbeat:drumbeat"], "host-2": ["drumbeat:drumbeat"]}
    assert users() == ours
    assert run("bus", "password", "--management", "--keys-directory", keys).exit_code == 0
    assert users() == ours | {MANAGEMENT_USER: ["administrator"]}


@pytest.mark.parametrize(
    ("state", "change"),
    [("revoked", lambda ring: ring.revoke("host-1")), ("disputed", lambda ring: ring.dispute("host-1", "two"))],
)
def test_who_is_not_trusted_has_no_account(keys: Path, state: str, change: Callable[[KeyRing], None]) -> None:
    change(KeyRing(keys))
    refused = run("bus", "definitions", "--keys-directory", keys, "--node", "host-1")
    assert refused.exit_code == 1
    assert f"host-1 is {state}; remove its account with 'rabbitmqctl delete_user host-1'" in refused.stderr
    assert "host-1" not in run("bus", "definitions", "--keys-directory", keys).stdout


def test_a_damaged_entry_is_left_out_and_said(keys: Path) -> None:
    """As 'bus apply' goes on with the others; an import removes nothing."""
    (keys / "nodes/host-1.json").write_text("{")
    result = run("bus", "definitions", "--keys-directory", keys)
    assert [user["name"] for user in json.loads(result.stdout)["users"]] == [CONTROLLER_USER, "host-2"]
    assert (result.exit_code, "account/host-1 is left as it is: " in result.stderr) == (1, True)
    assert run("bus", "definitions", "--keys-directory", keys, "--node", "host-1").exit_code == 1


@pytest.mark.parametrize("words", [("bus", "password"), ("bus", "password", "--management"), ("keys", "controller")])
def test_another_account_would_leave_files_that_the_controller_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: tmp_path.stat().st_uid + 1)
    done = run(*words, "--keys-directory", tmp_path)
    assert (done.exit_code, "runuser -u" in done.stderr, list(tmp_path.iterdir())) == (1, True, [])


def test_what_is_missing_is_said(keys: Path) -> None:
    unknown = run("bus", "definitions", "--keys-directory", keys, "--node", "host-9")
    assert unknown.exit_code == 1
    assert "no node 'host-9' is known; known are: host-1, host-2" in unknown.stderr
    apply = run("bus", "apply", "--management", "http://127.0.0.1:1", "--keys-directory", keys)
    assert apply.exit_code == 1
    assert "is not there; make it with 'drumbeat bus password --management'" in apply.stderr
    (keys / BUS_PASSWORD_FILE).unlink()
    result = run("bus", "definitions", "--keys-directory", keys)
    assert result.exit_code == 1
    assert "drumbeat bus password" in result.stderr
