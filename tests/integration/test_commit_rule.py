"""Which commits are put in force where their signers are pinned: real git, ssh-keygen and gpg."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bus.keys import CONTROLLER_KEY_FILE
from controller.source.commit_rule import FOLDER, CommitRule, NotAdmitted
from controller.source.mirror import Mirror
from tests.support.denied import denied, reachable
from tests.support.git import ENVIRONMENT, git, repository


class Site:
    """A repository, keys of people, and a controller's rule."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.origin = repository(folder / "origin")
        self.mirror = Mirror(str(self.origin), "main", ".", folder / "mirror.git")
        self.pinned = folder / "keys" / FOLDER
        self.pinned.parent.mkdir()
        self.controller_key = self.pinned.parent / CONTROLLER_KEY_FILE
        self.controller_key.touch()
        self.in_force: str | None = None
        self.signer = ""
        self.gnupg = folder / "gnupg"
        self.gnupg.mkdir(mode=0o700)

    def ssh_key(self, name: str) -> Path:
        path = self.folder / f"{name}.key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True)
        return path

    def pin_ssh(self, name: str, key: Path) -> None:
        self.pinned.mkdir(exist_ok=True)
        (self.pinned / f"{name}.pub").write_text(Path(f"{key}.pub").read_text())

    def gpg(self, *words: str) -> str:
        command = ["gpg", "--homedir", self.gnupg, "--batch", "--quiet", "--pinentry-mode", "loopback", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def gpg_key(self, name: str, expires: str = "never") -> str:
        self.gpg("--passphrase", "", "--quick-generate-key", f"{name} <{name}@example.com>", "ed25519", "sign", expires)
        listed = self.gpg("--list-keys", "--with-colons", f"{name}@example.com")
        found = re.search(r"^fpr:+([0-9A-F]{40}):", listed, re.MULTILINE)
        assert found
        return found[1]

    def pin_gpg(self, name: str, fingerprint: str) -> None:
        self.pinned.mkdir(exist_ok=True)
        (self.pinned / f"{name}.asc").write_text(self.gpg("--export", "--armor", fingerprint))

    def commit(self, key: Path | str | None = None, *more: str) -> str:
        """A commit, signed by an SSH key's file, an OpenPGP fingerprint, or nobody."""
        form = "ssh" if isinstance(key, Path) else "openpgp"
        signing = ["-c", f"gpg.format={form}", "-c", f"user.signingKey={key}"] if key else []
        words = more or ("commit", "--quiet", "--allow-empty", "--message", "change")
        sign = ["-S"] if key else ["--no-gpg-sign"]
        done = subprocess.run(
            ["git", "-C", self.origin, *signing, *words, *sign],
            env={**ENVIRONMENT, "GNUPGHOME": str(self.gnupg)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return git(self.origin, "rev-parse", "HEAD")

    def store(self, raw: bytes) -> str:
        """Have the branch point to a commit that is made of these bytes."""
        command = ["git", "-C", self.origin, "hash-object", "-t", "commit", "-w", "--stdin", "--literally"]
        name = subprocess.run(command, input=raw, check=True, capture_output=True, env=ENVIRONMENT).stdout.decode()
        git(self.origin, "update-ref", "refs/heads/main", name.strip())
        return name.strip()

    def raw(self, revision: str) -> bytes:
        command = ["git", "-C", self.origin, "cat-file", "commit", revision]
        return subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT).stdout

    def refusal(self) -> str:
        """What becomes of the newest commit; one that is accepted is in force from then on."""
        revision = self.mirror.fetch().revision
        try:
            self.signer = CommitRule(self.folder / "keys").admit(self.mirror, revision, lambda: self.in_force)
        except NotAdmitted as refused:
            return str(refused)
        self.in_force = revision
        return ""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    subprocess.run(["gpgconf", "--homedir", made.gnupg, "--kill", "all"], check=False, capture_output=True)


def test_without_the_folder_no_signature_is_asked_for(site: Site) -> None:
    site.commit()
    assert (site.refusal(), site.signer) == ("", "")


def test_a_folder_without_keys_lets_nobody_in(site: Site) -> None:
    """Whoever takes the last key away does not mean everybody."""
    site.pinned.mkdir()
    site.commit()
    assert f"{site.pinned} holds no key" in site.refusal()


def test_a_folder_that_may_not_be_listed_is_no_missing_rule(site: Site) -> None:
    site.commit()
    revision = site.mirror.fetch().revision
    with reachable() as keys:
        (keys / CONTROLLER_KEY_FILE).touch()
        (keys / FOLDER).mkdir()
        rule = CommitRule(keys)
        with denied(keys / FOLDER), pytest.raises(NotAdmitted, match=f"{keys / FOLDER} cannot be read: Permission"):
            rule.admit(site.mirror, revision, lambda: None)


@pytest.mark.parametrize(
    ("pointing", "words"),
    [(FOLDER, "Too many levels"), ("away", "No such file"), ("a file", "Not a directory")],
    ids=["to itself", "to nothing", "to a file"],
)
def test_a_link_that_leads_to_no_folder_is_no_missing_rule(site: Site, pointing: str, words: str) -> None:
    """Such as one into a file system that is not mounted."""
    (site.pinned.parent / "a file").touch()
    site.pinned.symlink_to(pointing)
    site.commit()
    assert f"{site.pinned} cannot be read: {words}" in site.refusal()


@pytest.mark.parametrize("left", ["no folder", "an empty folder"])
def test_a_folder_of_keys_that_is_away_is_no_missing_rule(site: Site, left: str) -> None:
    """Such as a file system of its own that is not mounted: the folder that it was mounted at is there, and empty."""
    site.controller_key.unlink()
    if left == "no folder":
        site.pinned.parent.rmdir()
    site.commit()
    assert f"{site.controller_key} is not there" in site.refusal()


@pytest.mark.parametrize("name", ["bob.gpg", "ann.PUB", "ann.pub~", ".ann.pub.swp", ".gitkeep", ".pub", "._ann.pub"])
def test_a_file_that_would_not_count_is_refused(site: Site, name: str) -> None:
    """Whoever put it there believes that it counts."""
    ann = site.ssh_key("ann")
    site.pin_ssh("ann", ann)
    (site.pinned / name).write_text(Path(f"{ann}.pub").read_text())
    site.commit(ann)
    assert f"{site.pinned / name} is neither NAME.pub" in site.refusal()
    (site.pinned / name).unlink()
    assert site.refusal() == ""


@pytest.mark.parametrize("name", ["bob.pub", "old"])
def test_what_is_no_file_is_refused(site: Site, name: str) -> None:
    ann = site.ssh_key("ann")
    site.pin_ssh("ann", ann)
    (site.pinned / name).mkdir()
    site.commit(ann)
    assert f"{site.pinned / name} " in site.refusal()


def test_whose_signatures_count_is_logged_at_the_start_and_when_it_changes(site: Site) -> None:
    rule = CommitRule(site.folder / "keys")
    with capture_logs() as logged:
        rule.look()
        for name in ("ann", "bob"):
            site.pin_ssh(name, site.ssh_key(name))
            rule.look()
            rule.look()
        site.pinned.rename(site.folder / "away")
        rule.look()
        site.pinned.mkdir()
        rule.look()
    assert [(each["log_level"], each.get("signers", each.get("error", ""))) for each in logged] == [
        ("info", []),
        ("info", ["ann (ssh)"]),
        ("info", ["ann (ssh)", "bob (ssh)"]),
        ("warning", []),
        ("error", f"{site.pinned} holds no key; put one there, or remove the folder if nobody need sign"),
    ]


def test_a_pinned_ssh_key_signs_and_nobody_else(site: Site) -> None:
    ann, eve = site.ssh_key("ann"), site.ssh_key("eve")
    site.pin_ssh("ann", ann)
    site.commit(ann)
    assert site.refusal() == ""
    site.commit(eve)
    assert "ann (ssh)" in site.refusal()
    site.commit()
    assert "not signed" in site.refusal()


def test_a_pinned_gpg_key_signs_and_nobody_else(site: Site) -> None:
    ann, eve = site.gpg_key("ann"), site.gpg_key("eve")
    site.pin_gpg("ann", ann)
    site.commit(ann)
    assert site.refusal() == ""
    site.commit(eve)
    assert "ann (pgp)" in site.refusal()


def test_one_form_cannot_stand_in_for_another(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though git, with the account's own keys, would call it good."""
    ann, eve = site.ssh_key("ann"), site.gpg_key("eve")
    site.pin_ssh("ann", ann)
    monkeypatch.setenv("GNUPGHOME", str(site.gnupg))
    site.commit(eve)
    done = subprocess.run(["git", "-C", site.origin, "verify-commit", "HEAD"], env=os.environ, capture_output=True)
    assert done.returncode == 0
    assert "no key of that form" in site.refusal()


def test_both_forms_may_be_allowed(site: Site) -> None:
    ann, bob = site.ssh_key("ann"), site.gpg_key("bob")
    site.pin_ssh("ann", ann)
    site.pin_gpg("bob", bob)
    for name, key in (("ann", ann), ("bob", bob), ("ann", ann)):
        site.commit(key)
        assert (site.refusal(), site.signer) == ("", name)


def test_a_revoked_gpg_key_does_not_count(site: Site) -> None:
    ann = site.gpg_key("ann")
    site.commit(ann)
    revocation = next((site.gnupg / "openpgp-revocs.d").glob("*.rev"))
    revocation.write_text(revocation.read_text().replace(":-----BEGIN", "-----BEGIN"))
    site.gpg("--import", str(revocation))
    site.pin_gpg("ann", ann)
    assert "not a good one" in site.refusal()


def test_a_changed_commit_does_not_keep_its_signature(site: Site) -> None:
    ann = site.ssh_key("ann")
    site.pin_ssh("ann", ann)
    raw = site.raw(site.commit(ann))
    site.store(raw.replace(b"\n\nchange", b"\n\nother!"))
    assert "not a good one" in site.refusal()


def test_a_signature_for_another_use_does_not_count(site: Site) -> None:
    """A file that somebody signed with the same key is no commit."""
    ann = site.ssh_key("ann")
    site.pin_ssh("ann", ann)
    plain = site.raw(site.commit())
    signed = site.folder / "payload"
    signed.write_bytes(plain)
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", ann, signed], check=True, capture_output=True)
    signature = Path(f"{signed}.sig").read_text().rstrip("\n").replace("\n", "\n ")
    head, _, message = plain.decode().partition("\n\n")
    site.store(f"{head}\ngpgsig {signature}\n\n{message}".encode())
    assert "not a good one" in site.refusal()


def test_two_signatures_are_none(site: Site) -> None:
    ann = site.ssh_key("ann")
    site.pin_ssh("ann", ann)
    head, _, message = site.raw(site.commit(ann)).partition(b"\n\n")
    signature = head[head.index(b"gpgsig") :]
    site.store(head + b"\n" + signature + b"\n\n" + message)
    assert "more than one signature" in site.refusal()


def test_whoever_signs_a_merge_answers_for_what_is_merged(site: Site) -> None:
    ann = site.ssh_key("ann")
    site.pin_ssh("ann", ann)
    site.commit(ann)
    assert site.refusal() == ""
    git(site.origin, "checkout", "--quiet", "-b", "topic")
    site.commit()
    git(site.origin, "checkout", "--quiet", "main")
    site.commit(ann)
    merge = ["merge", "--quiet", "--no-ff", "--message", "merge", "topic"]
    unsigned = site.commit(None, *merge)
    assert "not signed" in site.refusal()
    git(site.origin, "reset", "--quiet", "--hard", f"{unsigned}^1")
    site.commit(ann, *merge)
    assert site.refusal() == ""


def test_an_old_signed_commit_is_not_played_again(site: Site) -> None:
    ann = site.ssh_key("ann")
    site.pin_ssh("ann", ann)
    old = site.commit(ann)
    assert site.refusal() == ""
    new = site.commit(ann)
    assert site.refusal() == ""
    git(site.origin, "update-ref", "refs/heads/main", old)
    assert f"does not follow {new[:12]}" in site.refusal()
    git(site.origin, "update-ref", "refs/heads/main", new)
    git(site.origin, "reset", "--quiet", "--hard", new)
    site.commit(ann)
    assert site.refusal() == ""


def test_a_rewritten_past_is_refused_even_where_the_mirror_is_new(site: Site) -> None:
    ann = site.ssh_key("ann")
    site.pin_ssh("ann", ann)
    site.commit(ann)
    site.in_force = "0" * 40
    assert "does not follow 000000000000" in site.refusal()


def test_a_key_in_the_wrong_file_is_said_so(site: Site) -> None:
    ann = site.ssh_key("ann")
    site.pinned.mkdir()
    (site.pinned / "ann.asc").write_text(Path(f"{ann}.pub").read_text())
    site.commit(ann)
    assert ".pub is for SSH" in site.refusal()
