"""``drumbeat release``: sign releases away from the controller, and say whom nodes are to believe."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import TypeAdapter, ValidationError

from bus.clock import Clock, SystemClock
from bus.envelope import add_signature, seal, signers
from bus.keys import BadKey, PublicKey, SigningKey, key_id, load_signing_key, parse_public, public_text
from bus.roots import read_roots
from bus.trust import (
    MAX_SIGNED,
    NotTrusted,
    Roots,
    check_commands,
    check_expiry,
    open_trust,
    parse_key,
    read_statement,
    read_trust,
    release_statement,
)
from controller.cli.files import replace_file
from controller.cli.options import validity
from controller.cli.signers import Asked, tell_signatures
from controller.cli.states import fail, read_directory, state_of
from controller.cli.tables import show, talk
from controller.source.git import GitError
from controller.source.reader import read_state
from controller.source.signatures import statement_path, trust_path
from crds.base import Name, WireModel
from crds.desired import DesiredState
from crds.policy import Policy
from crds.release import Release
from crds.service import ServiceSpec
from crds.trust import RELEASE_TYPE, TRUST_TYPE, Statement, TrustDocument
from reconcilers.overrides import service_on
from reconcilers.policies import trust_document
from reconcilers.releases import commands_of, release_of, statement_of

PASSPHRASE = "DRUMBEAT_KEY_PASSPHRASE"
_CLOCKS_DIFFER = 300.0
"""Seconds that a root's clock may be behind that of the root before."""
_PLAUSIBLE = 1_000_000
"""No policy was changed so often."""
_NAME: TypeAdapter[str] = TypeAdapter(Name)

release = typer.Typer(no_args_is_help=True, help="Sign releases, and say whose signatures nodes believe.")

Repo = Annotated[Path, typer.Option("--repo", help="The state directory.", show_default="here")]
TargetName = Annotated[str, typer.Argument(metavar="TARGET", help="The target, as trading-api@prod.")]


class _Stopped(Exception):
    """The text says why, and what to do."""


@dataclass(frozen=True)
class _Found:
    """A target with all that is signed about it."""

    service: str
    fleet: str
    spec: ServiceSpec
    release: Release

    @property
    def target(self) -> str:
        return f"{self.service}@{self.fleet}"

    @property
    def path(self) -> str:
        return statement_path(self.fleet, self.service)


def _fleet(text: str) -> str:
    try:
        return _NAME.validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(f"{text!r} is no fleet's name: lower-case letters, digits, dashes") from error


@release.command()
def sign(
    target: TargetName,
    key: Annotated[Path, typer.Option("--key", help="An Ed25519 private key: PEM (PKCS8) or OpenSSH.")],
    fleet: Annotated[
        list[str] | None,
        typer.Option("--fleet", parser=_fleet, metavar="FLEET", help="A further fleet on which it may run, or: all"),
    ] = None,
    repo: Repo = Path(),
) -> None:
    """Sign the release that a version file makes, with the commands of its probes and gates.

    The statement is written beside the version file, to be committed with it. Run again with another key, it bears both
    signatures; fleets that the first one named need not be named again. A key with a passphrase asks for it, or takes
    it from DRUMBEAT_KEY_PASSPHRASE.

    Exit codes: 0 signed; 1 the state is refused, or the key cannot be used; 2 wrong use.
    """
    try:
        signer = load_signing_key(key, lambda: _passphrase(key))
        state = _state(repo, without=_path_of(target))
        found = _target(state, target)
        before = _text(repo / found.path)
        asked = _asked_by_policy(state, found.fleet)
        old = _old_statement(before, [signer.public_key, *(asked.keys.values() if asked else ())])
        statement = _statement(found, fleet or [], old, SystemClock())
        envelope = _signed(before, statement == old, RELEASE_TYPE, statement, signer)
        replace_file(repo / found.path, envelope + "\n")
    except (OSError, GitError, BadKey, NotTrusted, _Stopped) as error:
        raise fail(error) from error
    show(str(repo / found.path))
    where = "all fleets" if statement.fleets == "all" else ", ".join(statement.fleets)
    talk(f"signed {target} {statement.version} for {where}, with sequence {statement.sequence}")
    for unknown in sorted({*(fleet or [])} - {"all", *state.fleets}):
        talk(f"warning: there is no fleets/{unknown}.yaml here; was another fleet meant?")
    if before and old is None:
        talk("warning: nobody who counts here has signed what was there: nothing of it was kept")
    tell_signatures(RELEASE_TYPE, before if old else None, envelope, signer, asked)


@release.command()
def verify(
    target: TargetName,
    trust: Annotated[
        Path | None, typer.Option("--trust", help="A node's trust.yaml; without it the fleet's policy is asked.")
    ] = None,
    repo: Repo = Path(),
) -> None:
    """Say what a node would say of a target's release.

    With --trust: by the roots in that file and the trust document in the state directory. Without: by the policy alone,
    as the controller does.

    Exit codes: 0 it may run; 1 it may not, or something cannot be read; 2 wrong use.
    """
    try:
        state = _state(repo)
        found = _target(state, target)
        document = _document(state, found.fleet, trust)
        envelope = state.statements.get((found.fleet, found.service)) or _text(repo / found.path)
        statement = release_statement(envelope, document, target, found.release)
        check_commands(statement, target, commands_of(found.spec))
    except (OSError, GitError, BadKey, NotTrusted, _Stopped) as error:
        raise fail(error) from error
    show(f"{target} {statement.version} may run: signed by {_names(envelope, document)}, sequence {statement.sequence}")


@release.command("trust")
def write_trust(
    policy: Annotated[str, typer.Argument(help="The policy's name.")],
    root: Annotated[Path, typer.Option("--root", help="A root's Ed25519 private key: PEM (PKCS8) or OpenSSH.")],
    valid: Annotated[
        float | None,
        typer.Option(
            "--valid",
            parser=validity,
            metavar="DURATION",
            help="Nothing new is believed after this time from now, as 90d.",
        ),
    ] = None,
    trust: Annotated[
        Path | None, typer.Option("--trust", help="A node's trust.yaml: count the signatures that it asks for.")
    ] = None,
    repo: Repo = Path(),
) -> None:
    """Write a policy down as the trust document that nodes take, signed by a root.

    What differs from the document that is there gets the next version. Run again with another root's key, it bears both
    signatures; so it does with the same --valid again, within a tenth of that time, whose end stays as it was.

    Exit codes: 0 written; 1 the state is refused, or the key cannot be used; 2 wrong use.
    """
    try:
        signer = load_signing_key(root, lambda: _passphrase(root))
        asked = _asked_by_roots(trust) if trust else None
        path = repo / trust_path(policy)
        before = _text(path)
        old = _old_document(before, [signer.public_key, *(asked.keys.values() if asked else ())])
        wanted = _policy(_state(repo, without=trust_path(policy)), policy)
        document = _next_document(wanted, old, valid, _has_signed(before, signer), SystemClock())
        envelope = _signed(before, document == old, TRUST_TYPE, document, signer)
        replace_file(path, envelope + "\n")
    except (OSError, GitError, BadKey, NotTrusted, _Stopped) as error:
        raise fail(error) from error
    show(str(path))
    until = f", until {document.expires:%Y-%m-%d %H:%M} UTC" if document.expires else ""
    talk(f"version {document.version} for {', '.join(document.fleets)}{until}")
    tell_signatures(TRUST_TYPE, before, envelope, signer, asked)
    if asked is None:
        talk("nodes take it once as many roots have signed it as their trust.yaml asks for; --trust FILE counts them")


def _state(repo: Path, without: str = "") -> DesiredState:
    """``without``: the file that is about to be written; what is wrong with it does not matter any more."""
    files = {path: entry for path, entry in read_directory(repo).items() if path != without}
    return state_of(read_state(files, "the files on disk"), "what lies on disk")


def _path_of(target: str) -> str:
    service, at, fleet = target.rpartition("@")
    if not at or not service or not fleet:
        raise typer.BadParameter(f"{target!r} is no target; write SERVICE@FLEET", param_hint="TARGET")
    return statement_path(fleet, service)


def _target(state: DesiredState, target: str) -> _Found:
    _path_of(target)
    service, _, fleet = target.rpartition("@")
    version = state.versions.get((fleet, service))
    if version is None:
        raise _Stopped(
            f"there is no versions/{fleet}/{service}.yaml; run: drumbeat bump {service} VERSION --fleet {fleet}"
        )
    if version.state != "present":
        raise _Stopped(f"versions/{fleet}/{service}.yaml removes the service; a removal needs no signature")
    spec = service_on(state, service, fleet)
    return _Found(service, fleet, spec, release_of(spec, version))


def _policy(state: DesiredState, name: str) -> Policy:
    if name not in state.policies:
        known = ", ".join(sorted(state.policies)) or "none"
        raise _Stopped(f"there is no policies/{name}.yaml; there are: {known}")
    return state.policies[name]


def _statement(found: _Found, further: list[str], old: Statement | None, clock: Clock) -> Statement:
    """What is to be signed: what was signed already, if nothing has changed, so that a second key can join."""
    fleets: list[str] | Literal["all"] = "all" if "all" in further else sorted({found.fleet, *further})
    sequence = int(clock.now().timestamp())
    if old is not None:
        sequence = max(sequence, old.sequence + 1)
        covered = old.fleets == "all" or found.fleet in old.fleets
        kept = old.fleets if covered and not further else fleets
        if statement_of(found.service, found.spec, found.release, kept, old.sequence) == old:
            return old
    return statement_of(found.service, found.spec, found.release, fleets, sequence)


def _next_document(
    policy: Policy, old: TrustDocument | None, valid: float | None, again: bool, clock: Clock
) -> TrustDocument:
    """What is to be signed: the document that is there, if this root only joins those who have signed it.

    ``again``: this root has signed it already, and with ``valid`` means a new one.
    """
    now = clock.now()
    expires = None if valid is None else datetime.fromtimestamp(int(now.timestamp() + valid), UTC)
    if old is None:
        return trust_document(policy, 1, expires)
    joins = valid is None or (not again and _just_begun(old.expires, now, valid))
    if joins and trust_document(policy, old.version, old.expires) == old:
        expires, version = old.expires, old.version
    else:
        expires, version = expires or old.expires, old.version + 1
    if expires is not None and expires <= now:
        raise _Stopped(
            f"version {old.version} has expired at {expires:%Y-%m-%d %H:%M} UTC; say until when: --valid 90d"
        )
    return trust_document(policy, version, expires)


def _just_begun(expires: datetime | None, now: datetime, valid: float) -> bool:
    """Whether another root has given the same command a while ago: no more than a tenth of the time has passed."""
    if expires is None:
        return False
    passed = valid - (expires - now).total_seconds()
    return -_CLOCKS_DIFFER <= passed <= valid / 10


def _has_signed(envelope: str | None, signer: SigningKey) -> bool:
    return bool(envelope and signers(envelope.encode(), TRUST_TYPE, [signer.public_key], MAX_SIGNED))


def _old_statement(text: str | None, known: list[PublicKey]) -> Statement | None:
    """What is signed already; None for what cannot be read, which is then written anew.

    None as well for what none of the known keys has signed: whoever may push could name fleets and sequences.
    """
    try:
        statement = read_statement(text) if text else None
    except NotTrusted:
        return None
    return statement if text and signers(text.encode(), RELEASE_TYPE, known, MAX_SIGNED) else None


def _old_document(text: str | None, known: list[PublicKey]) -> TrustDocument | None:
    """Likewise. Its version is lost if it cannot be read: git has the file as it was.

    Of one that none of the known keys has signed the version is taken only if others remain above it.
    """
    if not text:
        return None
    try:
        document = read_trust(text)
    except NotTrusted as wrong:
        raise _Stopped(f"{wrong}; bring the file back from git: nodes refuse versions that they had") from wrong
    if document.version > _PLAUSIBLE and not signers(text.encode(), TRUST_TYPE, known, MAX_SIGNED):
        raise _Stopped(
            f"what is there names version {document.version}, and no root that is known here has signed it: nodes "
            "would refuse all lower ones for ever; bring the file back from git, or give the roots with --trust FILE"
        )
    return document


def _signed(before: str | None, same: bool, kind: str, said: WireModel, signer: SigningKey) -> str:
    """The envelope around what is said: the one that is there, if it says the same, with one more signature."""
    if before and same:
        return add_signature(before.encode(), signer).decode()
    return seal(kind, said.model_dump_json(by_alias=True).encode(), signer).decode()


def _document(state: DesiredState, fleet: str, trust: Path | None) -> TrustDocument:
    """Whom to believe: by a node's roots, or by the fleet's policy."""
    if trust is None:
        policy = _policy_for(state, fleet)
        if policy is None:
            raise _Stopped(
                f"no policy says who signs releases for {fleet}; add policies/{fleet}.yaml, or give --trust FILE"
            )
        return trust_document(policy, 0, None)
    return _by_roots(state, _pinned(trust), fleet)


def _pinned(trust: Path) -> Roots:
    roots = read_roots(trust)
    if roots is None:
        raise _Stopped(f"there is no file {trust}; without it a node runs what is not signed")
    return roots


def _policy_for(state: DesiredState, fleet: str) -> Policy | None:
    return next((policy for policy in state.policies.values() if fleet in policy.spec.fleets), None)


def _asked_by_policy(state: DesiredState, fleet: str) -> Asked | None:
    policy = _policy_for(state, fleet)
    if policy is None:
        return None
    keys = {each.name: parse_public(each.key) for each in policy.spec.releases.keys}
    return Asked(keys, policy.spec.releases.threshold, f"policies/{policy.metadata.name}.yaml")


def _asked_by_roots(trust: Path) -> Asked:
    roots = _pinned(trust)
    return Asked({public_text(key): key for key in roots.keys}, roots.threshold, str(trust))


def _by_roots(state: DesiredState, roots: Roots, fleet: str) -> TrustDocument:
    envelope = state.trust.get(fleet)
    if envelope is None:
        raise _Stopped(f"there is no trust document for {fleet}; run: drumbeat release trust POLICY --root FILE")
    document = open_trust(envelope, roots)
    check_expiry(document, datetime.now(UTC))
    return document


def _names(envelope: str | None, document: TrustDocument) -> str:
    named: dict[str, PublicKey] = {each.name: parse_key(each) for each in document.keys}
    good = {key_id(key) for key in signers((envelope or "").encode(), RELEASE_TYPE, list(named.values()), MAX_SIGNED)}
    return ", ".join(name for name, key in named.items() if key_id(key) in good)


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else None


def _passphrase(key: Path) -> str:
    given = os.environ.get(PASSPHRASE)
    return given if given is not None else str(typer.prompt(f"Passphrase of {key}", hide_input=True, err=True))
