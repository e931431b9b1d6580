"""What lies signed beside desired state: statements beside version files, trust documents beside policies.

A file that is no such envelope is an error, as a broken YAML file is. A release that does not meet its fleet's policy
holds its own target alone: the commit is taken, and everybody else's deployments go on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from bus.keys import BadKey, key_id, parse_public
from bus.trust import (
    MAX_SIGNED,
    NotTrusted,
    check_commands,
    read_statement,
    read_trust,
    release_statement,
    remedy,
)
from controller.source.collection import Collection, Deployed
from controller.source.entries import FileEntry
from controller.source.problems import Problem
from controller.source.validating import Loaded
from crds.desired import DesiredState
from crds.policy import Policy
from crds.trust import Statement, TrustDocument
from reconcilers.policies import trust_document
from reconcilers.releases import commands_of, release_of, statement_of


@dataclass
class Signed:
    """What was found, and what is wrong with it."""

    statements: dict[tuple[str, str], str] = field(default_factory=dict)
    trust: dict[str, str] = field(default_factory=dict)
    unsigned: dict[tuple[str, str], str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def attached(self, state: DesiredState) -> DesiredState:
        """The state with all of it."""
        return replace(state, statements=self.statements, trust=self.trust, unsigned=self.unsigned)

    def held(self) -> list[Problem]:
        """A finding for each release that does not meet its fleet's policy."""
        return [
            Problem("error", statement_path(fleet, service), *_split(why), target=f"{service}@{fleet}")
            for (fleet, service), why in sorted(self.unsigned.items())
        ]


def statement_path(fleet: str, service: str) -> str:
    """Where the statement about a target's release lies."""
    return f"versions/{fleet}/{service}.sig"


def trust_path(policy: str) -> str:
    """Where a policy's trust document lies."""
    return f"policies/{policy}.trust"


def signatures(files: Mapping[str, FileEntry], collection: Collection) -> Signed:
    """Read and judge everything that is signed."""
    signed = Signed()
    policies = {fleet: policy for policy in _valid(collection) for fleet in policy.spec.fleets}
    for each in collection.deployed():
        _judge(each, files, policies.get(each.fleet_name), signed)
    for policy in _valid(collection):
        _take_trust(policy, files, signed)
    signed.problems += _strays(files, collection)
    signed.problems += [problem for loaded in collection.policies.values() for problem in _bad_keys(loaded)]
    return signed


def _valid(collection: Collection) -> list[Policy]:
    return [loaded.model for loaded in collection.policies.values() if isinstance(loaded.model, Policy)]


def _judge(each: Deployed, files: Mapping[str, FileEntry], policy: Policy | None, signed: Signed) -> None:
    path = statement_path(each.fleet_name, each.service.metadata.name)
    try:
        text = _text(files, path)
        statement = read_statement(text) if text else None
    except NotTrusted as wrong:
        signed.problems.append(Problem("error", path, wrong.detail, remedy(each.target)))
        return
    if each.version.state != "present" or (policy is None and statement is None):
        return
    key = (each.fleet_name, each.service.metadata.name)
    if text:
        signed.statements[key] = text
    if policy is not None:
        if why := _refusal(each, text, trust_document(policy, 0, None)):
            signed.unsigned[key] = why
    elif statement is not None and (why := _difference(each, statement)):
        signed.problems.append(Problem("warning", path, why, remedy(each.target), target=each.target))


def _refusal(each: Deployed, text: str | None, document: TrustDocument) -> str:
    """Why the release does not meet the policy, and what to do; empty if it does."""
    try:
        statement = release_statement(text, document, each.target, release_of(each.spec, each.version))
        check_commands(statement, each.target, commands_of(each.spec))
    except (NotTrusted, BadKey) as wrong:
        return str(wrong)
    return ""


def _difference(each: Deployed, statement: Statement) -> str:
    """What was signed that is not there any more, where no policy says who must sign."""
    release = release_of(each.spec, each.version)
    service, fleet = each.service.metadata.name, each.fleet_name
    now = statement_of(service, each.spec, release, statement.fleets, statement.sequence)
    if statement.service != service or (statement.fleets != "all" and fleet not in statement.fleets):
        return f"this statement is not for {each.target}"
    if statement.release != now.release:
        return f"what was signed is another release ({statement.version}) than that of {each.target} ({now.version})"
    return "" if set(now.commands) <= set(statement.commands) else "a command of a probe or gate was not signed"


def _take_trust(policy: Policy, files: Mapping[str, FileEntry], signed: Signed) -> None:
    name, path = policy.metadata.name, trust_path(policy.metadata.name)
    hint = f"run: drumbeat release trust {name} --root FILE"
    try:
        text = _text(files, path)
        if not text:
            return
        document = read_trust(text)
    except NotTrusted as wrong:
        signed.problems.append(Problem("error", path, wrong.detail, hint))
        return
    if document != trust_document(policy, document.version, document.expires):
        message = f"version {document.version} says something else than policies/{name}.yaml, and nodes go by it"
        signed.problems.append(Problem("warning", path, message, hint))
    signed.trust |= dict.fromkeys(set(document.fleets) & set(policy.spec.fleets), text)


def _text(files: Mapping[str, FileEntry], path: str) -> str | None:
    """The envelope at a path; None where there is none. Raises NotTrusted for what cannot be one."""
    entry = files.get(path)
    if entry is None or entry.kind != "blob":
        return None
    if entry.size > MAX_SIGNED or entry.data is None:
        raise NotTrusted("too_large", f"the file has {entry.size:,} bytes, more than {MAX_SIGNED:,}")
    try:
        return entry.data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise NotTrusted("malformed", "the file is not UTF-8") from error


def _strays(files: Mapping[str, FileEntry], collection: Collection) -> Iterator[Problem]:
    """Files that look as if they were to count, and belong to nothing."""
    known = {statement_path(fleet, service) for fleet, service in collection.versions}
    known |= {trust_path(name) for name in collection.policies}
    for path in sorted(files):
        if path.endswith((".sig", ".trust")) and path not in known and path.startswith(("versions/", "policies/")):
            yield Problem("warning", path, "it belongs to no file and is not read", "remove it, or rename it")


def _bad_keys(loaded: Loaded) -> Iterator[Problem]:
    """Keys that cannot be read, that would count twice, or both count and not count: one key has several forms."""
    if not isinstance(loaded.model, Policy):
        return
    releases, listed = loaded.model.spec.releases, dict[str, int]()
    for name, keys in (("keys", releases.keys), ("revoked", releases.revoked)):
        for number, each in enumerate(keys):
            problem = partial(loaded.document.problem, ("spec", "releases", name, number, "key"))
            try:
                same = key_id(parse_public(each.key))
            except BadKey as error:
                yield problem(str(error), "copy the line of the .pub file again")
                continue
            if name == "revoked" and same in listed:
                yield problem("a key is both listed and revoked", "remove it from one of the lists")
            elif name == "keys" and listed.setdefault(same, number) != number:
                first = keys[listed[same]].name
                yield problem(f"a key is listed twice, for {first} before", "it counts once, so list each once")


def _split(why: str) -> tuple[str, str]:
    message, _, hint = why.rpartition("; ")
    return (message, hint) if message else (why, "")
