"""From nothing to a node, with the commands that operators give and the processes that they start."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.join import JoinFailed, Joining, join
from bus.keys import NodeKeys
from tests.support.enrolled import Machine, machine
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One controller for all; each test has a node of its own."""
    with machine(tmp_path_factory.mktemp("site")) as made:
        yield made


def test_a_machine_joins_reports_is_revoked_and_restored(site: Machine) -> None:
    token = site.drumbeat("nodes", "invite", "vm1", "--role", "host")
    assert "vm1: joined as host" in site.join("vm1", token)
    site.agent("vm1")
    site.reaches("vm1", "Ready")
    events = json.loads(site.drumbeat("events", "--for", "vm1", "-o", "json"))
    assert [each["verb"] for each in events["items"]] == ["NodeJoined"]
    site.drumbeat("nodes", "revoke", "vm1")
    site.reaches("vm1", "Revoked")
    assert "it is revoked" in site.drumbeat("describe", "target", "api@prod")
    eventually(lambda: "revoked" in (site.folder / "vm1/agent.log").read_text())
    before = site.node("vm1")["lastSeen"]
    site.drumbeat("nodes", "restore", "vm1")
    site.reaches("vm1", "Ready")
    eventually(lambda: site.node("vm1")["lastSeen"] > before)
    shown = site.drumbeat("nodes", "show", "vm1")
    assert [line.split()[3] for line in shown.splitlines()[-4:]] == ["invited", "joined", "revoked", "restored"]


def test_no_secret_of_the_node_is_with_the_controller(site: Machine) -> None:
    token = site.drumbeat("nodes", "invite", "vm2", "--role", "host").strip()
    site.join("vm2", token)
    folder = site.folder / "vm2/credentials"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    keys = NodeKeys.load(folder)
    private = keys.signer.private_bytes.splitlines()[1]
    kept = [
        path.read_bytes() for root in (site.keys, site.folder / "data") for path in root.rglob("*") if path.is_file()
    ]
    for secret in (private, keys.token.encode()):
        assert not any(secret in content for content in kept)
    assert token.split(".")[1] not in site.log.read_text()


def test_another_machine_cannot_use_the_token_again(site: Machine) -> None:
    token = site.drumbeat("nodes", "invite", "vm3", "--role", "host")
    site.join("vm3", token)
    said = site.join("vm3", token, code=1, credentials="other")
    assert "This invitation is not valid." in said
    assert site.logged("join.refused")[-1]["why"] == "the invitation was used already, by another key"


def test_joining_twice_into_one_folder_is_refused_before_anything_is_sent(site: Machine) -> None:
    token = site.drumbeat("nodes", "invite", "vm4", "--role", "host")
    site.join("vm4", token)
    before = (site.folder / "vm4/credentials/node.key").read_bytes()
    assert "holds credentials already" in site.join("vm4", token, code=1)
    assert (site.folder / "vm4/credentials/node.key").read_bytes() == before


def test_a_rekeyed_node_speaks_with_its_new_key_only(site: Machine) -> None:
    site.join("vm5", site.drumbeat("nodes", "invite", "vm5", "--role", "host"))
    old = site.agent("vm5")
    site.reaches("vm5", "Ready")
    token = site.drumbeat("nodes", "rekey", "vm5")
    eventually(lambda: "revoked" in (site.folder / "vm5/agent.log").read_text())
    (site.folder / "vm5/credentials").rename(site.folder / "vm5/old")
    site.join("vm5", token)
    eventually(lambda: site.node("vm5")["lastSeen"] is None)
    old.kill()
    old.wait()
    site.agent("vm5")
    site.reaches("vm5", "Ready")


def test_an_answer_that_is_lost_is_asked_for_again(site: Machine) -> None:
    """The controller has let the node in, and the node does not know: the same command again mends it."""
    token = site.drumbeat("nodes", "invite", "vm6", "--role", "host")
    folder = site.folder / "vm6/credentials"
    site.join("vm6", token)
    (folder / "controller.pub").unlink()
    key = (folder / "node.key").read_bytes()
    site.join("vm6", token)
    assert (folder / "node.key").read_bytes() == key


def test_a_report_beyond_the_roles_is_refused(site: Machine) -> None:
    site.join("vm7", site.drumbeat("nodes", "invite", "vm7", "--role", "runner"))
    site.agent("vm7")
    line = eventually(lambda: site.logged("report.refused"))[-1]
    assert line["reason"] == "wrong_role"
    assert "enrolled as runner, and reports as host" in line["detail"]
    assert site.node("vm7") == {}, "nothing of it was taken"


def test_somebody_between_cannot_plant_a_key(tmp_path: Path) -> None:
    """Without TLS, and in the controller's place: an answer without proof is not taken."""
    body = b'{"node":"vm1","roles":["host"],"controllerKeys":["ed25519:' + b"a" * 64 + b'"]}'
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nDrumbeat-Proof: {'0' * 64}\r\n\r\n"
                connection.sendall(head.encode() + body)

        thread = threading.Thread(target=answer)
        thread.start()
        port = listener.getsockname()[1]
        token = f"{'0' * 16}.{'x' * 43}"
        with pytest.raises(JoinFailed, match="without proof"):
            join(Joining(f"http://127.0.0.1:{port}", "vm1", token, tmp_path / "credentials"))
        thread.join()
    assert not (tmp_path / "credentials/controller.pub").exists()
