"""Keys and tokens on disk, and the controller's ring of nodes."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.envelope import open_envelope, seal
from bus.keyring import DamagedEntry, KeyRing, NodeEntry, write_node_keys
from bus.keys import (
    BadKey,
    NodeKeys,
    generate_key,
    generate_token,
    hash_token,
    key_id,
    load_private_key,
    parse_public,
    public_text,
    read_public_keys,
    replace_secret,
    save_private_key,
    token_matches,
    write_secret,
)
from tests.support.denied import denied, reachable

CONTROLLER = generate_key().public_key


def test_a_saved_key_signs_as_before(tmp_path: Path) -> None:
    key = generate_key()
    save_private_key(tmp_path / "key", key)
    again = load_private_key(tmp_path / "key")
    assert key_id(again.public_key) == key_id(key.public_key)
    assert open_envelope(seal("t", b"x", again), "t", [key.public_key]) == b"x"


def test_a_private_key_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    save_private_key(path, generate_key())
    assert path.stat().st_mode & 0o777 == 0o600
    for mode in (0o640, 0o604, 0o660, 0o610):
        path.chmod(mode)
        with pytest.raises(BadKey, match=f"chmod 600 {path}"):
            load_private_key(path)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    save_private_key(tmp_path / "key", generate_key())
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(BadKey, match="not overwritten"):
        save_private_key(tmp_path / "key", generate_key())
    assert (tmp_path / "key").read_bytes() == before


@pytest.mark.parametrize("write", [write_secret, replace_secret])
def test_a_loss_of_power_takes_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, bytes], None]
) -> None:
    """A node that was revoked must not count again: its entry is on disk under its name, and not its content alone."""
    there: list[bool] = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), tmp_path.stat()):
            there.append((tmp_path / "key").exists())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    write(tmp_path / "key", b"secret")
    assert there == [True]


def _full(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_nothing_of_a_secret_is_left_where_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither half a file that seems to be there already, nor a hidden one beside what was there before."""
    path = tmp_path / "invitation"
    monkeypatch.setattr("os.fsync", _full)
    with pytest.raises(OSError, match="No space left"):
        write_secret(path, b"secret")
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"before")
    with pytest.raises(OSError, match="No space left"):
        replace_secret(path, b"secret")
    assert (list(tmp_path.iterdir()), path.read_bytes()) == ([path], b"before")


def test_nothing_of_a_secret_is_left_where_its_file_cannot_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "invitation"
    path.mkdir()
    with pytest.raises(OSError):
        replace_secret(path, b"secret")
    assert list(tmp_path.iterdir()) == [path]


def test_unusable_private_keys_are_named_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(BadKey, match="cannot be read"):
        load_private_key(path)
    path.write_text("hello")
    path.chmod(0o600)
    with pytest.raises(BadKey, match="PEM"):
        load_private_key(path)


def test_a_public_key_in_one_line(tmp_path: Path) -> None:
    assert parse_public(public_text(CONTROLLER) + "\n") == CONTROLLER
    for wrong in ("", "ed25519:", "ed25519:" + "0" * 63, "ed25519:" + "G" * 64, "rsa:" + "0" * 64):
        with pytest.raises(BadKey, match="ed25519"):
            parse_public(wrong)
    path = tmp_path / "controller.pub"
    other = generate_key().public_key
    path.write_text(f"# the old one\n{public_text(CONTROLLER)}\n\n{public_text(other)}\n")
    assert read_public_keys(path) == [CONTROLLER, other]
    path.write_text("# nothing\n")
    with pytest.raises(BadKey, match="no public key"):
        read_public_keys(path)


def test_tokens_differ_and_are_long() -> None:
    tokens = {generate_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 43 for token in tokens)


def test_a_node_s_folder_and_the_ring_agree(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "ring")
    write_node_keys(tmp_path / "host-1", "host-1", ring, [CONTROLLER])
    keys = NodeKeys.load(tmp_path / "host-1")
    assert keys.controller_keys == [CONTROLLER]
    assert ring.public_key("host-1") == keys.signer.public_key
    assert ring.token_matches("host-1", keys.token)
    assert not ring.token_matches("host-1", generate_token())
    assert not ring.token_matches("host-2", keys.token)
    assert ring.nodes() == ["host-1"]


def test_no_secret_is_in_the_ring(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "ring")
    keys = write_node_keys(tmp_path / "host-1", "host-1", ring, [CONTROLLER])
    kept = (tmp_path / "ring" / "nodes" / "host-1.json").read_text()
    assert keys.token not in kept
    assert keys.signer.private_bytes.decode().splitlines()[1] not in kept
    assert json.loads(kept).keys() == {"publicKey", "tokenHash", "roles", "revoked", "disputed"}


def test_the_token_is_kept_from_others(tmp_path: Path) -> None:
    write_node_keys(tmp_path / "host-1", "host-1", KeyRing(tmp_path / "ring"), [CONTROLLER])
    (tmp_path / "host-1" / "token").chmod(0o644)
    with pytest.raises(BadKey, match="chmod 600"):
        NodeKeys.load(tmp_path / "host-1")


def test_credentials_are_not_overwritten(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "ring")
    keys = write_node_keys(tmp_path / "host-1", "host-1", ring, [CONTROLLER])
    with pytest.raises(BadKey, match="there already"):
        write_node_keys(tmp_path / "host-1", "host-1", ring, [CONTROLLER])
    assert ring.token_matches("host-1", keys.token)


def test_revoking_works_at_once_in_a_ring_that_is_open(tmp_path: Path) -> None:
    serving, operator = KeyRing(tmp_path / "ring"), KeyRing(tmp_path / "ring")
    write_node_keys(tmp_path / "host-1", "host-1", operator, [CONTROLLER])
    assert serving.public_key("host-1") is not None
    operator.revoke("host-1")
    assert serving.public_key("host-1") is None
    entry = serving.entry("host-1")
    assert entry is not None
    assert entry.revoked
    with pytest.raises(BadKey, match="host-9"):
        operator.revoke("host-9")


def test_new_credentials_replace_the_old_ones_in_an_open_ring(tmp_path: Path) -> None:
    serving = KeyRing(tmp_path / "ring")
    old = write_node_keys(tmp_path / "a", "host-1", serving, [CONTROLLER])
    assert serving.token_matches("host-1", old.token)
    new = write_node_keys(tmp_path / "b", "host-1", KeyRing(tmp_path / "ring"), [CONTROLLER])
    assert serving.token_matches("host-1", new.token)
    assert not serving.token_matches("host-1", old.token)


def test_a_removed_node_is_forgotten(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "ring")
    keys = write_node_keys(tmp_path / "host-1", "host-1", ring, [CONTROLLER])
    assert ring.token_matches("host-1", keys.token)
    (tmp_path / "ring" / "nodes" / "host-1.json").unlink()
    assert not ring.token_matches("host-1", keys.token)
    assert ring.entry("host-1") is None


@pytest.mark.parametrize("node", ["../outside", "/outside", "a/b", "", "..", "A", "con"])
def test_a_name_never_leads_out_of_the_ring(tmp_path: Path, node: str) -> None:
    ring = KeyRing(tmp_path / "ring")
    write_node_keys(tmp_path / "x", "host-1", ring, [CONTROLLER])
    stolen = (tmp_path / "ring" / "nodes" / "host-1.json").read_text()
    (tmp_path / "ring" / "outside.json").write_text(stolen)
    assert ring.entry(node) is None
    with pytest.raises(BadKey, match="name"):
        ring.register(node, NodeEntry(public_key=public_text(CONTROLLER), token_hash=hash_token("x"), roles=["host"]))


def test_a_name_longer_than_a_files_is_an_unknown_one(tmp_path: Path) -> None:
    """Anybody may send one."""
    ring = KeyRing(tmp_path / "ring")
    write_node_keys(tmp_path / "x", "host-1", ring, [CONTROLLER])
    node = ".".join(["a" * 62] * 4)
    assert ring.public_key(node) is None
    assert not ring.token_matches(node, "token")


def test_a_damaged_entry_is_refused_until_it_is_mended(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "ring")
    keys = write_node_keys(tmp_path / "host-1", "host-1", ring, [CONTROLLER])
    path = tmp_path / "ring" / "nodes" / "host-1.json"
    good = path.read_text()
    path.write_text(good[:-20])
    with pytest.raises(BadKey, match=r"host-1\.json"):
        ring.token_matches("host-1", keys.token)
    path.write_text(good)
    os.utime(path, ns=(1, 1))
    assert ring.token_matches("host-1", keys.token)


def test_an_entry_that_cannot_be_read_is_no_unknown_node(tmp_path: Path) -> None:
    """It may say that the node was revoked."""
    ring = KeyRing(tmp_path / "ring")
    keys = write_node_keys(tmp_path / "host-1", "host-1", ring, [CONTROLLER])
    path = tmp_path / "ring" / "nodes" / "host-1.json"
    path.unlink()
    for pointing in ("host-1.json", "away", "."):
        path.symlink_to(pointing)
        for reading in (ring.entry, ring.public_key, lambda node: ring.token_matches(node, keys.token)):
            with pytest.raises(BadKey, match=f"{path}: cannot be read") as caught:
                reading("host-1")
            assert not isinstance(caught.value, DamagedEntry)
        path.unlink()


@pytest.mark.parametrize("mode", [0, 0o311])
def test_nodes_that_cannot_be_listed_are_not_none(mode: int) -> None:
    """Or disputes would be over, and every account at a broker be one too many."""
    with reachable() as folder:
        ring = KeyRing(folder)
        assert ring.nodes() == []
        write_node_keys(folder / "host-1", "host-1", ring, [CONTROLLER])
        with denied(folder / "nodes", mode):
            for reading in (ring.nodes, ring.disputed):
                with pytest.raises(BadKey, match=f"{folder / 'nodes'}: cannot be read: Permission denied"):
                    reading()


def test_a_folder_of_nodes_that_leads_nowhere_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "nodes").symlink_to("away")
    with pytest.raises(BadKey, match="cannot be read: No such file"):
        KeyRing(tmp_path).nodes()


def test_a_token_is_kept_as_rabbitmq_keeps_passwords() -> None:
    """The example of rabbitmq.com/docs/passwords."""
    assert token_matches("test12", "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR")
    kept = hash_token("test12")
    assert token_matches("test12", kept)
    assert not token_matches("test13", kept)
    assert hash_token("test12") != kept


@pytest.mark.parametrize("wrong", ["", "abc", "=", "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30", "!" * 48])
def test_what_is_no_hash_of_a_token_is_refused(tmp_path: Path, wrong: str) -> None:
    ring = KeyRing(tmp_path)
    write_node_keys(tmp_path / "x", "host-1", ring, [CONTROLLER])
    path = tmp_path / "nodes" / "host-1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenHash": wrong}))
    with pytest.raises(BadKey, match="base64 of 36 bytes"):
        ring.entry("host-1")


def test_an_openssh_line_is_the_same_key_as_its_hexadecimal_form() -> None:
    """Test key 1 of RFC 8032, section 7.1."""
    raw = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea ann@home"
    assert key_id(parse_public(line)) == key_id(parse_public(f"ed25519:{raw}"))


@pytest.mark.parametrize("line", ["ssh-ed25519 ", "ssh-ed25519 AAAA", "ssh-ed25519 !!!", "ssh-rsa AAAA"])
def test_a_line_that_is_no_ed25519_key_is_refused(line: str) -> None:
    with pytest.raises(BadKey):
        parse_public(line)
