"""Whether a release was signed by whom the nodes trust. Pure: keys, documents and statements are passed in.

Nodes ask it before they run anything, ``drumbeat release verify`` to say what they would say, and the controller by a
fleet's policy. Whatever comes in, nothing but NotTrusted is raised.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bus.envelope import Refused, read_payload, signers, unverified
from bus.keys import BadKey, PublicKey, key_id, parse_public
from crds.release import Release
from crds.trust import RELEASE_TYPE, TRUST_TYPE, NamedKey, SignedCommand, Statement, TrustDocument

MAX_SIGNED = 64 * 1024
"""Bytes of a statement or a trust document in its envelope; 1 to 2 kB are usual."""

_LONGEST = 600
"""Characters of a refusal: what it quotes may come from anybody."""

Reason = Literal[
    "unsigned",
    "too_large",
    "malformed",
    "wrong_key",
    "revoked_key",
    "wrong_service",
    "wrong_fleet",
    "wrong_release",
    "wrong_command",
    "wrong_value",
    "below_floor",
    "no_trust",
    "trust_unsigned",
    "trust_older",
    "trust_changed",
    "trust_expired",
]


class NotTrusted(Exception):
    """Something must not be run. ``reason`` is for counting, ``detail`` for people: what is missing, and what to do."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = _shortened(detail)
        super().__init__(self.detail)


def _shortened(detail: str) -> str:
    """The beginning of what is wrong, and all of what to do about it."""
    if len(detail) <= _LONGEST:
        return detail
    wrong, _, hint = detail.rpartition("; ")
    return f"{wrong[:_LONGEST]} ...; {hint}" if wrong and len(hint) < _LONGEST else f"{detail[:_LONGEST]} ..."


@dataclass(frozen=True)
class Roots:
    """What a node is told by whoever sets it up, and by nobody else."""

    fleet: str
    threshold: int
    keys: tuple[PublicKey, ...]


def open_trust(envelope: str, roots: Roots) -> TrustDocument:
    """The trust document, signed by enough roots, and narrowed to the node's own fleet."""
    document = _document(envelope)
    good = _signers(envelope, TRUST_TYPE, roots.keys, "the trust document")
    if len(good) < roots.threshold:
        raise NotTrusted(
            "trust_unsigned",
            f"version {document.version} of the trust document bears {len(good)} of {roots.threshold} signatures of "
            f"roots that are pinned here; run: drumbeat release trust POLICY --root FILE, with each root's key",
        )
    if roots.fleet not in document.fleets:
        named = ", ".join(document.fleets) or "none"
        raise NotTrusted("wrong_fleet", f"the trust document is for {named}, and this node belongs to {roots.fleet}")
    return document.model_copy(update={"fleets": [roots.fleet]})


def check_expiry(document: TrustDocument, now: datetime) -> None:
    """Raises NotTrusted if nothing new may be believed by the document any more."""
    if document.expires is not None and now > document.expires:
        raise NotTrusted(
            "trust_expired",
            f"version {document.version} of the trust document has expired at {document.expires:%Y-%m-%d %H:%M} UTC; "
            "run, with each root's key: drumbeat release trust POLICY --root FILE --valid 90d, and commit the result",
        )


def release_statement(envelope: str | None, document: TrustDocument, target: str, release: Release) -> Statement:
    """The statement that lets this very release run as this target."""
    statement = target_statement(envelope, document, target)
    if statement.release != release.digest:
        raise NotTrusted(
            "wrong_release",
            f"what was signed is another release ({statement.version}, {statement.release[:12]}) than {target} "
            f"{release.version} ({release.digest[:12]}); {remedy(target)}",
        )
    return statement


def target_statement(envelope: str | None, document: TrustDocument, target: str) -> Statement:
    """A statement about a target's service, good on its fleet, above the floor, signed by enough keys."""
    statement = open_statement(envelope, document, target)
    service, _, fleet = target.rpartition("@")
    if statement.service != service:
        raise NotTrusted("wrong_service", f"what was signed is {statement.service}, not {target}; {remedy(target)}")
    if fleet not in document.fleets or (statement.fleets != "all" and fleet not in statement.fleets):
        where = "all fleets" if statement.fleets == "all" else ", ".join(statement.fleets) or "no fleet"
        trusted = ", ".join(document.fleets)
        raise NotTrusted(
            "wrong_fleet",
            f"{service} {statement.version} was signed for {where}, and signatures count here for {trusted}: "
            f"{target} is not among them; {remedy(target)}",
        )
    floor = document.floors.get(service, 0)
    if statement.sequence < floor:
        raise NotTrusted(
            "below_floor",
            f"{target} {statement.version} was signed with sequence {statement.sequence}, below the floor {floor}; "
            f"deploy a later one, or sign this one anew: drumbeat release sign {target} --key FILE",
        )
    return statement


def open_statement(envelope: str | None, document: TrustDocument, target: str) -> Statement:
    """A statement that enough of the document's keys have signed."""
    if not envelope:
        raise NotTrusted("unsigned", f"{target} is not signed: no statement came with it; {remedy(target)}")
    statement = read_statement(envelope)
    revoked = {key_id(parse_key(each)): each.name for each in document.revoked}
    listed = [key for each in document.keys if key_id(key := parse_key(each)) not in revoked]
    good = _signers(envelope, RELEASE_TYPE, listed, "the statement")
    if len(good) >= document.threshold:
        return statement
    by_revoked = _signers(envelope, RELEASE_TYPE, [parse_key(each) for each in document.revoked], "the statement")
    said = f"{target} {statement.version} bears {len(good)} of {document.threshold} signatures that are needed"
    if by_revoked:
        names = ", ".join(revoked[key_id(key)] for key in by_revoked)
        raise NotTrusted("revoked_key", f"{said}, and one by a revoked key ({names}); {remedy(target)}")
    keys = ", ".join(each.name for each in document.keys)
    raise NotTrusted("wrong_key", f"{said}; keys of {keys} count; {remedy(target)}")


def check_commands(statement: Statement, target: str, commands: Sequence[SignedCommand]) -> None:
    """Raises NotTrusted for a command that was not signed together with the release, for that purpose, so handed."""
    for command in commands:
        if command.digest not in statement.commands:
            raise NotTrusted(
                "wrong_command",
                f"{_in_words(command)} was not signed with {target} {statement.version}; {remedy(target)}",
            )


def read_statement(envelope: str) -> Statement:
    """What a statement says, whoever signed it."""
    try:
        return read_payload(unverified(_bytes(envelope), RELEASE_TYPE, MAX_SIGNED), Statement)
    except Refused as refused:
        raise _malformed("the statement", refused) from refused


def read_trust(envelope: str) -> TrustDocument:
    """What a trust document says, whoever signed it, with keys that can be used."""
    return _document(envelope)


def parse_key(named: NamedKey) -> PublicKey:
    """The key itself."""
    try:
        return parse_public(named.key)
    except BadKey as error:
        raise NotTrusted("malformed", f"the key of {named.name}: {error}") from error


def remedy(target: str) -> str:
    """What to do about a release that was not signed as it must be."""
    return f"run: drumbeat release sign {target} --key FILE, and commit what it writes"


def _document(envelope: str) -> TrustDocument:
    try:
        document = read_payload(unverified(_bytes(envelope), TRUST_TYPE, MAX_SIGNED), TrustDocument)
    except Refused as refused:
        raise _malformed("the trust document", refused) from refused
    for named in [*document.keys, *document.revoked]:
        parse_key(named)
    return document


def _signers(envelope: str, payload_type: str, keys: Sequence[PublicKey], what: str) -> list[PublicKey]:
    try:
        return signers(_bytes(envelope), payload_type, keys, MAX_SIGNED)
    except Refused as refused:
        raise _malformed(what, refused) from refused


def _in_words(command: SignedCommand) -> str:
    if command.kind == "adopt":
        return f"to adopt the process {command.words[0][:200]!r}"
    if command.kind == "prometheus":
        return f"the gate's question {command.words[1][:200]!r} to {command.words[0][:100]}"
    kind = f"{command.kind} migration" if command.check else command.kind
    said = f"the {kind}'s command {' '.join(command.words)[:200]!r}"
    handed = ", ".join(f"{variable} from {name}" for variable, name in sorted(command.secrets.items()))
    return f"{said} with the secrets {handed[:200]}" if handed else said


def _bytes(envelope: str) -> bytes:
    """Also of what is no text at all: it is refused for what it is then."""
    return envelope.encode("utf-8", "surrogatepass")


def _malformed(what: str, refused: Refused) -> NotTrusted:
    reason: Reason = "too_large" if refused.reason == "too_large" else "malformed"
    return NotTrusted(reason, f"{what} cannot be read ({refused})")
