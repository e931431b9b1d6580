"""Signatures of commits: whose it is, by the keys that are named and no others.

Git chooses a program by how a signature begins, and that program trusts what its own configuration trusts: a key in
somebody's GnuPG home would satisfy a rule that names SSH keys. Here each form is checked by its own program, with the
keys of that form alone, in a folder that exists for this one question.
Sources: git's gitformat-signature(5); ssh-keygen(1), "-Y verify"; GnuPG's doc/DETAILS on status lines.
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

DEADLINE = 30.0
"""Seconds for one call of ssh-keygen or gpg."""

Form = Literal["ssh", "pgp"]

_ARMOR: dict[Form, tuple[str, str]] = {
    "ssh": ("-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"),
    "pgp": ("-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----"),
}
_HEADERS = (b"gpgsig", b"gpgsig-sha256")
_REVOKED_OR_WORSE = {"BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NODATA"}


class NotSigned(Exception):
    """The commit is not signed as it must be; the text says why, and what to do."""


@dataclass(frozen=True)
class Signer:
    """Whose signature counts."""

    name: str
    key: str
    """An SSH public key in one line, or an armored OpenPGP public key."""

    @property
    def form(self) -> Form:
        """Which kind of signature this key makes."""
        return "pgp" if self.key.lstrip().startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----") else "ssh"


def signer_of(commit: bytes, signers: Sequence[Signer]) -> Signer:
    """Who signed a commit, given as ``git cat-file commit`` prints it. Raises NotSigned.

    Raises OSError if that cannot be found out now: the disk is full, or a program does not end.
    """
    payload, signature, form = _split(commit)
    known = [signer for signer in signers if signer.form == form]
    if not known:
        raise NotSigned(
            f"it has a signature of the form {form}, and no key of that form is allowed; {_allowed(signers)}"
        )
    with TemporaryDirectory(prefix="drumbeat-signature-") as folder:
        found = _CHECKS[form](payload, signature, known, Path(folder))
    if found is None:
        raise NotSigned(f"its {form} signature is not a good one by any allowed key; {_allowed(signers)}")
    return found


def _allowed(signers: Sequence[Signer]) -> str:
    names = ", ".join(f"{signer.name} ({signer.form})" for signer in signers)
    return f"let one of these sign it: {names}" if names else "no key is allowed at all"


def _split(commit: bytes) -> tuple[bytes, bytes, Form]:
    """What was signed, the signature, and its form. A commit with two signatures has none: which one would count?"""
    head, blank, message = commit.partition(b"\n\n")
    kept: list[bytes] = []
    signatures: list[list[bytes]] = []
    inside = False
    for line in head.split(b"\n"):
        if line.startswith(b" "):
            (signatures[-1] if inside else kept).append(line[1:] if inside else line)
            continue
        name, _, value = line.partition(b" ")
        inside = name in _HEADERS
        if inside:
            signatures.append([value])
        else:
            kept.append(line)
    if not signatures:
        raise NotSigned("it is not signed; sign it (git commit -S) with an allowed key")
    if len(signatures) > 1:
        raise NotSigned("it has more than one signature; sign it once (git commit --amend -S)")
    signature = b"\n".join(signatures[0]).strip(b"\n") + b"\n"
    return b"\n".join(kept) + blank + message, signature, _form(signature)


def _form(signature: bytes) -> Form:
    """By the one block that it is: something before or behind it could be read by another program."""
    lines = signature.decode("ascii", "replace").splitlines()
    for form, (begin, end) in _ARMOR.items():
        if lines[0] == begin and lines[-1] == end and sum(line.startswith("-----") for line in lines) == 2:
            return form
    raise NotSigned(f"its signature begins with {lines[0][:40]!r}, and only SSH and OpenPGP signatures are taken")


def _by_ssh(payload: bytes, signature: bytes, signers: Sequence[Signer], folder: Path) -> Signer | None:
    allowed, signed = folder / "allowed_signers", folder / "signature"
    lines = [f'{number} namespaces="git" {" ".join(signer.key.split()[:2])}\n' for number, signer in enumerate(signers)]
    allowed.write_text("".join(lines), encoding="utf-8")
    signed.write_bytes(signature)
    found = _run(["ssh-keygen", "-Y", "find-principals", "-f", str(allowed), "-s", str(signed)], b"")
    if found is None:
        return None
    for number in found.decode("ascii", "replace").split():
        command = ["ssh-keygen", "-Y", "verify", "-n", "git", "-I", number, "-f", str(allowed), "-s", str(signed)]
        if number.isdecimal() and _run(command, payload) is not None:
            return signers[int(number)]
    return None


def _by_pgp(payload: bytes, signature: bytes, signers: Sequence[Signer], folder: Path) -> Signer | None:
    gpg = ["gpg", "--homedir", str(folder), "--batch", "--quiet", "--no-autostart", "--no-auto-key-retrieve"]
    owners: dict[str, Signer] = {}
    for signer in signers:
        said = _run([*gpg, "--status-fd", "1", "--import"], signer.key.encode()) or b""
        owners |= {words[1]: signer for words in _status(said, "IMPORT_OK")}
    signed = folder / "signature.asc"
    signed.write_bytes(signature)
    verdict = _run([*gpg, "--status-fd", "1", "--trust-model", "always", "--verify", str(signed), "-"], payload)
    if verdict is None or any(_status(verdict, word) for word in _REVOKED_OR_WORSE):
        return None
    valid = _status(verdict, "VALIDSIG")
    # The last word is the fingerprint of the primary key; the first one may be that of a subkey.
    return owners.get(valid[0][-1]) if len(valid) == 1 and _status(verdict, "GOODSIG") else None


_CHECKS = {"ssh": _by_ssh, "pgp": _by_pgp}


def _status(said: bytes, word: str) -> list[list[str]]:
    """The words behind each status line of that kind."""
    found = re.findall(rf"^\[GNUPG:\] {word}\b(.*)$", said.decode("utf-8", "replace"), re.MULTILINE)
    return [rest.split() for rest in found]


def _run(command: Sequence[str], given: bytes) -> bytes | None:
    """What it prints; None if it says no. Raises NotSigned if it is missing, OSError if it could not be asked."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=DEADLINE, check=False)
    except FileNotFoundError as error:
        package = {"gpg": "gpg", "ssh-keygen": "openssh-client"}[command[0]]
        raise NotSigned(f"{command[0]} is missing on the controller; install it: apt-get install {package}") from error
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{command[0]} did not end within {DEADLINE:g} seconds") from error
    return done.stdout if done.returncode == 0 else None
