"""Any commit is whose signature it bears, or refused in words: at most 5 s and 64 MiB, ssh-keygen and gpg apart.

What is accepted says what was signed: whoever changes a word of it has a commit that nobody signed.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.source.commit_signatures import NotSigned, Signer, signer_of
from tests.fuzz.budget import bounded, few
from tests.fuzz.parts import with_bytes

SECONDS, MEBIBYTES = 5, 64
COMMIT = f"""\
tree {"4" * 40}
parent {"5" * 40}
author Ann <ann@example.com> 1700000000 +0000
committer Ann <ann@example.com> 1700000000 +0000

Deploy api 2.0
"""


@dataclass(frozen=True)
class Signed:
    """A commit, and whose key is allowed."""

    commit: bytes
    signer: Signer


def with_signature(signature: bytes, name: str = "gpgsig") -> bytes:
    head, _, message = COMMIT.partition("\n\n")
    block = signature.decode().strip("\n").replace("\n", "\n ")
    return f"{head}\n{name} {block}\n\n{message}".encode()


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Signed]]:
    """One by ssh-keygen, one by gpg."""
    folder = tmp_path_factory.mktemp("signing")
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    yield {"ssh": _by_ssh(folder), "pgp": _by_gpg(home)}
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)


def _run(*command: str | Path, given: bytes = b"") -> bytes:
    return subprocess.run(command, input=given, check=True, capture_output=True).stdout


def _by_ssh(folder: Path) -> Signed:
    key = folder / "ann"
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ann", "-f", key)
    signature = _run("ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", key, given=COMMIT.encode())
    return Signed(with_signature(signature), Signer("ann", Path(f"{key}.pub").read_text().strip()))


def _by_gpg(home: Path) -> Signed:
    gpg = ("gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback")
    _run(*gpg, "--passphrase", "", "--quick-generate-key", "Ann <ann@example.com>", "ed25519", "sign", "never")
    signature = _run(*gpg, "--armor", "--detach-sign", given=COMMIT.encode())
    return Signed(with_signature(signature), Signer("ann", _run(*gpg, "--export", "--armor").decode().strip()))


def judged(commit: bytes, signers: list[Signer]) -> Signer | None:
    """Whose it is; None if nobody's, with words that can be told."""
    with bounded(SECONDS, MEBIBYTES):
        try:
            found = signer_of(commit, signers)
        except NotSigned as refused:
            assert "\n" not in str(refused)
            str(refused).encode()
            return None
    assert unsigned(commit) == COMMIT.encode(), "what was accepted is not what was signed"
    return found


def unsigned(commit: bytes) -> bytes:
    """The commit without its signature, in whatever header that lies."""
    head, blank, message = commit.partition(b"\n\n")
    return re.sub(rb"(?m)^gpgsig(-sha256)?( .*)?\n?(^ .*\n?)*", b"", head + b"\n").rstrip(b"\n") + blank + message


headers = st.sampled_from(
    [b"gpgsig", b"gpgsig x", b"gpgsig-sha256 x", b"tree " + b"6" * 40, b"mergetag x", b"", b" ", b" x", b"encoding x"]
)
armor = st.sampled_from(
    [
        *[b" -----BEGIN SSH SIGNATURE-----", b" -----END SSH SIGNATURE-----", b" -----BEGIN PGP MESSAGE-----"],
        *[b" -----BEGIN PGP SIGNATURE-----", b" -----END PGP SIGNATURE-----", b" Hash: SHA1", b" =AAAA", b" -----"],
        *[b" -----BEGIN PGP SIGNED MESSAGE-----", b" " + b"A" * 70, b" U1NIU0lHAAAAAQ==", b" \x0c", b" \xff\xfe"],
    ]
)


@st.composite
def odd_commits(draw: st.DrawFn, commit: bytes) -> bytes:
    """Lines taken away, repeated, moved or put in; the rest as it was."""
    lines = commit.split(b"\n")
    for _ in range(draw(st.integers(1, 3))):
        at, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["drop", "repeat", "swap", "put", "replace"])):
            case "drop" if len(lines) > 1:
                del lines[at]
            case "repeat":
                lines[at:at] = lines[min(at, other) : max(at, other) + 1]
            case "swap":
                lines[at], lines[other] = lines[other], lines[at]
            case "put":
                lines.insert(at, draw(headers | armor))
            case "replace":
                lines[at] = draw(headers | armor | st.binary(max_size=80))
    return b"\n".join(lines)


@pytest.mark.parametrize("form", ["ssh", "pgp"])
def test_the_good_ones_are_good(commits: dict[str, Signed], form: str) -> None:
    assert judged(commits[form].commit, [each.signer for each in commits.values()]) == commits[form].signer


@pytest.mark.parametrize("form", ["ssh", "pgp"])
@few
@given(st.data())
def test_any_commit(commits: dict[str, Signed], form: str, data: st.DataObject) -> None:
    signed = commits[form]
    odd = data.draw(odd_commits(signed.commit) | with_bytes(signed.commit))
    assert judged(odd, [each.signer for each in commits.values()]) in (None, signed.signer)


@few
@given(st.binary(max_size=200) | armor)
def test_any_signature_of_either_form(commits: dict[str, Signed], inside: bytes) -> None:
    """The armor is right, and what it holds is anything."""
    for form, name in (("ssh", b"SSH"), ("pgp", b"PGP")):
        block = b"-----BEGIN %s SIGNATURE-----\n\n%s\n-----END %s SIGNATURE-----" % (name, inside, name)
        commit = COMMIT.encode().replace(b"\n\n", b"\ngpgsig " + block.replace(b"\n", b"\n ") + b"\n\n", 1)
        assert judged(commit, [commits[form].signer]) is None


@pytest.mark.parametrize("form", ["ssh", "pgp"])
@few
@given(st.data())
def test_any_key_that_is_allowed(commits: dict[str, Signed], form: str, data: st.DataObject) -> None:
    """Files of keys that an operator damaged let nobody in whose key they do not hold, and take nobody along."""
    good = commits[form].signer
    raw = data.draw(with_bytes(good.key) | st.binary(max_size=60))
    odd = Signer("odd", raw.decode("utf-8", "replace").strip())
    assert judged(commits[form].commit, [odd]) in (None, odd)
    assert judged(commits[form].commit, [odd, good]) is not None


HEAVY = {
    "many signatures": COMMIT.encode().replace(b"\n\n", b"\n" + b"gpgsig x\n" * 50_000 + b"\n", 1),
    "many lines of a signature": with_signature(b"-----BEGIN SSH SIGNATURE-----\n" + b"A\n" * 200_000),
    "one long line": b"gpgsig " + b"A" * 1_000_000,
    "nothing": b"",
    "only breaks": b"\n" * 500_000,
    "a whole armor of nothing": with_signature(b"-----BEGIN PGP SIGNATURE-----\n-----END PGP SIGNATURE-----"),
}


@pytest.mark.parametrize("name", HEAVY)
def test_what_is_heavy_is_refused_soon(commits: dict[str, Signed], name: str) -> None:
    assert judged(HEAVY[name], [each.signer for each in commits.values()]) is None
