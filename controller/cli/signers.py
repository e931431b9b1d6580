"""What signers are told about the file that they have just signed: who has, and who must yet."""

from dataclasses import dataclass

from bus.envelope import signed_by, signers
from bus.keys import PublicKey, SigningKey, key_id, public_text
from bus.trust import MAX_SIGNED
from controller.cli.tables import talk


@dataclass(frozen=True)
class Asked:
    """Whose signatures count, and how many of them are needed."""

    keys: dict[str, PublicKey]
    """By name."""
    threshold: int
    where: str
    """The file that asks for them."""


def tell_signatures(kind: str, before: str | None, after: str, signer: SigningKey, asked: Asked | None) -> None:
    """Say whose signatures are on it, whose are lost, and whether they are enough. Raises Refused.

    ``before``: the envelope in whose place it was written, if that could be read.
    """
    names = {key_id(signer.public_key): public_text(signer.public_key)}
    if asked is not None:
        names |= {key_id(key): name for name, key in asked.keys.items()}
    borne = signed_by(after.encode())
    talk(f"it bears the signatures of {_said(borne, names)}")
    lost = [each for each in signed_by(before.encode()) if each not in borne] if before else []
    if lost:
        talk(
            f"warning: what was there said something else, and was signed by {_said(lost, names)}: "
            "these signatures are dropped, and each of them has to sign this one"
        )
    if asked is not None:
        _count(kind, after, asked)


def _count(kind: str, envelope: str, asked: Asked) -> None:
    good = len(signers(envelope.encode(), kind, list(asked.keys.values()), MAX_SIGNED))
    missing = "" if good >= asked.threshold else "; run the same command with another key"
    talk(f"{good} of {asked.threshold} signatures that {asked.where} asks for are on it{missing}")


def _said(keys: list[str], names: dict[str, str]) -> str:
    """Names of keys; of those that are not known here, the beginning of their id."""
    return ", ".join(names.get(each) or f"key {ascii(each)[1:17]}" for each in keys)
