"""Which commits may be put in force: those that a pinned key has signed, on top of what is in force.

The keys lie beside the controller's own and not in the repository: whoever may push there could change a rule in it.
"""

from collections.abc import Callable
from pathlib import Path

from controller.source.commit_signatures import NotSigned, Signer, signer_of
from controller.source.mirror import Mirror

FOLDER = "commit-signers"
"""In the keys directory: NAME.pub for SSH keys, NAME.asc for OpenPGP keys. Without one, no commit need be signed."""


class NotAdmitted(Exception):
    """A commit may not be put in force; the text says why."""


class CommitRule:
    """The keys are read for each commit, so that adding one or taking one away needs no restart."""

    def __init__(self, keys_directory: Path) -> None:
        self._folder = keys_directory / FOLDER

    def admit(self, mirror: Mirror, revision: str, in_force: Callable[[], str | None]) -> str:
        """Whose key signed a fetched commit; empty while none need sign. Raises NotAdmitted and SourceError.

        Only this commit is looked at: its signature covers its files and, by their ids, all commits before it. Whoever
        signs a merge answers for what was merged. But an old signed commit stays signed: so that nobody can replay one,
        the branch may only move on from what is in force.
        """
        try:
            signers = self._signers()
            if not signers:
                return ""
            signer = signer_of(mirror.raw_commit(revision), signers)
        except NotSigned as error:
            raise NotAdmitted(f"commit {revision[:12]} is refused: {error}") from error
        except OSError as error:
            words = f"a key in {self._folder} cannot be read: {error.strerror}"
            raise NotAdmitted(f"commit {revision[:12]} is refused: {words}") from error
        before = in_force()
        if before is None or mirror.follows(before, revision):
            return signer.name
        raise NotAdmitted(
            f"commit {revision[:12]} is refused: it does not follow {before[:12]}, which is in force; an old commit "
            "may not be played again. To go back, commit the revert on top (git revert), and sign it"
        )

    def _signers(self) -> list[Signer]:
        paths = sorted([*self._folder.glob("*.pub"), *self._folder.glob("*.asc")])
        signers = [Signer(path.stem, path.read_text(encoding="utf-8", errors="replace").strip()) for path in paths]
        for path, signer in zip(paths, signers, strict=True):
            if signer.form != ("pgp" if path.suffix == ".asc" else "ssh"):
                raise NotSigned(
                    f"{path} holds no key of the kind that its name says; .pub is for SSH, .asc for OpenPGP"
                )
        return signers
