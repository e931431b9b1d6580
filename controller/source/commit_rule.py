"""Which commits may be put in force: those that a pinned key has signed, on top of what is in force.

The keys lie beside the controller's own and not in the repository: whoever may push there could change a rule in it.
"""

from collections.abc import Callable
from pathlib import Path

import structlog

from bus.keys import CONTROLLER_KEY_FILE
from bus.listing import is_absent, names_in
from controller.source.commit_signatures import Form, NotSigned, Signer, signer_of
from controller.source.mirror import Mirror, SourceError

FOLDER = "commit-signers"
"""In the keys directory: NAME.pub for SSH keys, NAME.asc for OpenPGP keys. Without it, no commit need be signed."""

_FORMS: dict[str, Form] = {".pub": "ssh", ".asc": "pgp"}


class NotAdmitted(Exception):
    """A commit may not be put in force, by the keys that are there now; the text says why."""


class _Unusable(Exception):
    """The keys cannot be taken at their word; nothing is admitted until they can be."""


class CommitRule:
    """The keys are read for each commit, so that adding one or taking one away needs no restart.

    Only where the folder is not there, and the controller's key beside it is, no commit need be signed. Whatever else
    keeps keys from being read, or from being taken for keys, admits nothing: whoever put them there believes that they
    count.
    """

    def __init__(self, keys_directory: Path) -> None:
        self._folder, self._controller_key = keys_directory / FOLDER, keys_directory / CONTROLLER_KEY_FILE
        self._told: list[str] | str | None = None
        self._log = structlog.get_logger("controller.source")

    def look(self) -> None:
        """Log whose signatures count, if that has changed; never raises."""
        try:
            names = [f"{signer.name} ({signer.form})" for signer in self._signers() or []]
        except _Unusable as error:
            if self._told != str(error):
                self._log.error("source.signers", error=str(error))
            self._told = str(error)
            return
        if self._told != names:
            tell = self._log.warning if self._told and not names else self._log.info
            tell("source.signers", signers=names, folder=str(self._folder))
        self._told = names

    def admit(self, mirror: Mirror, revision: str, in_force: Callable[[], str | None]) -> str:
        """Whose key signed a fetched commit; empty while none need sign. Raises NotAdmitted and SourceError.

        Only this commit is looked at: its signature covers its files and, by their ids, all commits before it. Whoever
        signs a merge answers for what was merged. But an old signed commit stays signed: so that nobody can replay one,
        the branch may only move on from what is in force.
        """
        try:
            signers = self._signers()
            if signers is None:
                return ""
            signer = signer_of(mirror.raw_commit(revision), signers)
        except (NotSigned, _Unusable) as error:
            raise NotAdmitted(f"commit {revision[:12]} is refused: {error}") from error
        except OSError as error:
            why = error.strerror or error
            raise SourceError(f"whether commit {revision[:12]} is signed cannot be found out now: {why}") from error
        before = in_force()
        if before is None or mirror.follows(before, revision):
            return signer.name
        raise NotAdmitted(
            f"commit {revision[:12]} is refused: it does not follow {before[:12]}, which is in force; an old commit "
            "may not be played again. To go back, commit the revert on top (git revert), and sign it"
        )

    def _signers(self) -> list[Signer] | None:
        """Whose signatures count; None where the folder is not there. Raises _Unusable."""
        try:
            names = names_in(self._folder)
            # A folder of keys that is away, and only what it is mounted at is there, says nothing about signers.
            around_is_away = names is None and is_absent(self._controller_key)
        except OSError as error:
            raise _Unusable(f"{self._folder} cannot be read: {error.strerror}") from error
        if around_is_away:
            raise _Unusable(f"{self._controller_key} is not there, so the folder of keys is away, or not the right one")
        if names == []:
            raise _Unusable(f"{self._folder} holds no key; put one there, or remove the folder if nobody need sign")
        return None if names is None else [_read(self._folder / name) for name in names]


def _read(path: Path) -> Signer:
    form = _FORMS.get(path.suffix)
    if form is None or path.name.startswith("."):
        raise _Unusable(
            f"{path} is neither NAME.pub, for an SSH key, nor NAME.asc, for an OpenPGP key; rename it, or remove it"
        )
    try:
        if not path.is_file():
            raise _Unusable(f"{path} is no file; remove it, or put the key in its place")
        signer = Signer(path.stem, path.read_text(encoding="utf-8", errors="replace").strip())
    except OSError as error:
        raise _Unusable(f"{path} cannot be read: {error.strerror}") from error
    if signer.form != form:
        raise _Unusable(f"{path} holds no key of the kind that its name says; .pub is for SSH, .asc for OpenPGP")
    return signer
