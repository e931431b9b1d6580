"""Any state directory is taken or refused with problems that say where: at most 10 s and 256 MiB for a file of 1 MiB.

A state that is taken makes targets: what the deciding thread works with must not be what breaks it.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bus.envelope import seal
from bus.keys import generate_key, public_text
from controller.source.comparing import changes
from controller.source.entries import FileEntry
from controller.source.git import Git, GitError
from controller.source.problems import Problem, Refused, errors
from controller.source.reader import ReadResult, read_state
from controller.source.strict_yaml import load
from controller.source.tree import commit_of, read_tree
from controller.source.version_text import NotEditable, new_version_file, with_version
from crds.desired import DesiredState
from crds.messages import ServiceAssignment
from crds.trust import RELEASE_TYPE, TRUST_TYPE, Statement
from reconcilers.freezes import frozen
from reconcilers.overrides import service_on
from reconcilers.policies import trust_document
from reconcilers.releases import statement_of
from reconcilers.target import targets_of
from tests.fuzz.budget import bounded, few, fuzzed
from tests.fuzz.heavy import HEAVY
from tests.fuzz.parts import changed, with_bytes
from tests.fuzz.yaml_pieces import documents, words
from tests.support.git import git, repository
from tests.support.state_files import BALANCER, FLEET, GOOD, SERVICE, SHA, VERSION

SECONDS, MEBIBYTES = 10, 256
VERSIONS = "versions/prod/api.yaml"
KEY = generate_key()
RICH = """\
apiVersion: drumbeat/v1alpha1
kind: Service
metadata: {name: api, labels: {team: a}}
spec:
  hosts: {role: api}
  artifact:
    url: https://example.com/api-{version}.tar.gz
    run: [./api, "--host", "{address}"]
    environment: {LOG: debug, AT: "{host}"}
    secrets: {DB: trading-db}
    user: api
    stopTimeout: 1m30s
  probes:
    - {exec: {command: [./probe]}, interval: 5s, timeout: 1s, successThreshold: 2, failureThreshold: 3}
    - {tcp: {port: 81}}
  pools: [{balancer: edge, online: web, maintenance: mt, port: 80}]
  gates:
    - {name: smoke, exec: {command: [./smoke, "{url}"], secrets: {TOKEN: smoke}, timeout: 30s}}
    - {name: page, http: {path: /version, status: [200, 204], contains: "{version}", timeout: 3s}}
  rollout:
    batches: [1, 25%]
    maxUnavailable: 1
    soak: 30s
    deadline: 5m
    drain: {timeout: 10s, onTimeout: close}
    downtime: allowed
  fleets:
    prod: {rollout: {batches: [100%]}, hosts: {role: api}, gates: []}
"""
PLATFORMS = f"""\
apiVersion: drumbeat/v1alpha1
version: "1.0.0"
sha256: {{linux: {SHA}, windows: {SHA}}}
"""
POLICY = f"""\
apiVersion: drumbeat/v1alpha1
kind: Policy
metadata: {{name: prod}}
spec:
  fleets: [prod]
  releases:
    threshold: 1
    keys: [{{name: ci, key: "{public_text(KEY.public_key)}"}}]
    revoked: [{{name: old, key: "{public_text(generate_key().public_key)}"}}]
    floors: {{api: 7}}
"""
FREEZE = """\
apiVersion: drumbeat/v1alpha1
kind: Freeze
metadata: {name: year-end}
spec:
  reason: year-end closing
  effect: deny
  fleets: [prod]
  services: [api]
  labels: {team: payments}
  rollbacks: refused
  windows:
    - {from: "2026-12-20 18:00", until: "2027-01-03 08:00", timezone: Europe/London}
    - {start: "0 18 * * FRI", duration: 62h, timezone: America/New_York}
"""
FORMS = {
    "fleets/prod.yaml": [FLEET],
    "services/api.yaml": [SERVICE, RICH],
    "balancers/prod/edge.yaml": [BALANCER],
    VERSIONS: [VERSION, PLATFORMS, "apiVersion: drumbeat/v1alpha1\nstate: absent\n"],
    "policies/prod.yaml": [POLICY],
    "freezes/year-end.yaml": [FREEZE],
}
"""By path: good files of each kind."""


MOMENTS = [datetime(year, 10, 25, 1, 30, tzinfo=UTC) for year in (2026, 2027)]


DATA = {path: [yaml.safe_load(text) for text in texts] for path, texts in FORMS.items()}


def files(of: Mapping[str, str | bytes]) -> dict[str, FileEntry]:
    """The good state with a policy, and what differs in it."""
    said = {**GOOD, "policies/prod.yaml": POLICY, **of}
    raw = {
        path: text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass") for path, text in said.items()
    }
    return {path: FileEntry("blob", data, len(data)) for path, data in raw.items()}


def look_at(path: str, content: str | bytes) -> ReadResult:
    """One file put in place of the good state's own."""
    return look(files({**SIGNED, path: content}))


def look(entries: dict[str, FileEntry]) -> ReadResult:
    """Read it, and do with the result what the controller would do."""
    with bounded(SECONDS, MEBIBYTES):
        result = read_state(entries, "revision")
        for problem in [*result.problems, *result.unsigned]:
            _is_of_use(problem, entries)
        assert (result.state is None) == bool(errors(result.problems))
        if result.state is not None:
            _work_with(result.state)
    return result


def _is_of_use(problem: Problem, entries: dict[str, FileEntry]) -> None:
    """It says what is wrong, where, and what to do, in one line that every terminal can print."""
    assert problem.message and problem.hint and "\n" not in str(problem)
    str(problem).encode()
    json.dumps(problem.as_json()).encode()
    entry = entries.get(problem.path)
    assert entry is not None or problem.path == "."
    if entry is not None and problem.line is not None:
        assert 1 <= problem.line <= (entry.data or b"").count(b"\n") + 2 and problem.column and problem.column >= 1


def _work_with(state: DesiredState) -> None:
    for name, target in targets_of(state).items():
        service, _, fleet = name.rpartition("@")
        assert target.fingerprint and target.digest
        for moment in MOMENTS:
            frozen(target.freezes, moment)
        if target.release:
            statement_of(service, service_on(state, service, fleet), target.release, [fleet], 1).model_dump_json()
        said = ServiceAssignment(release=target.release, probes=list(target.probes), statement=target.statement)
        assert ServiceAssignment.model_validate_json(said.model_dump_json(by_alias=True)) == said
    json.dumps([[each.old, each.new] for found in changes(GOOD_STATE, state) for each in found.fields])


def _statement(state: DesiredState) -> Statement:
    target = targets_of(state)["api@prod"]
    assert target.release is not None
    return statement_of("api", service_on(state, "api", "prod"), target.release, ["prod"], 9)


def _good() -> DesiredState:
    state = read_state(files({}), "revision").state
    assert state is not None
    return state


GOOD_STATE = _good()
STATEMENT = _statement(GOOD_STATE).model_dump_json(by_alias=True)
TRUST = trust_document(GOOD_STATE.policies["prod"], 3, None).model_dump_json(by_alias=True)
SIGNED = {
    "versions/prod/api.sig": seal(RELEASE_TYPE, STATEMENT.encode(), KEY),
    "policies/prod.trust": seal(TRUST_TYPE, TRUST.encode(), KEY),
}


@pytest.mark.parametrize("path", FORMS)
def test_the_good_ones_are_good(path: str) -> None:
    for text in FORMS[path]:
        assert not errors(look_at(path, text).problems)
    good = look(files(SIGNED))
    assert (good.problems, good.unsigned) == ([], [])


@pytest.mark.parametrize("path", FORMS)
@fuzzed
@given(st.data())
def test_any_document(path: str, data: st.DataObject) -> None:
    look_at(path, data.draw(documents(DATA[path])))


@pytest.mark.parametrize("path", FORMS)
@few
@given(st.data())
def test_any_bytes_in_a_document(path: str, data: st.DataObject) -> None:
    look_at(path, data.draw(with_bytes(data.draw(st.sampled_from(FORMS[path])))))


@pytest.mark.parametrize("name", HEAVY)
def test_what_is_heavy_is_refused_soon(name: str) -> None:
    """One kind stands for all: what could be heavy is read before the kind matters."""
    assert errors(look_at("services/api.yaml", HEAVY[name]).problems)


# --- what is signed beside the documents


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [("versions/prod/api.sig", RELEASE_TYPE, STATEMENT), ("policies/prod.trust", TRUST_TYPE, TRUST)],
    ids=["statement", "trust"],
)
@fuzzed
@given(st.data())
def test_anything_signed(path: str, kind: str, said: str, data: st.DataObject) -> None:
    """Odd in what was signed, in the envelope around it, or in any byte."""
    envelope = seal(kind, said.encode(), KEY).decode()
    odd = [
        lambda: seal(kind, changed(said, data), KEY),
        lambda: changed(envelope, data),
        lambda: data.draw(with_bytes(envelope)),
    ]
    look_at(path, data.draw(st.sampled_from(odd))())


# --- drumbeat bump


@fuzzed
@given(
    documents(DATA[VERSIONS], most=2) | st.sampled_from(FORMS[VERSIONS]),
    st.booleans(),
)
def test_any_version_file_that_is_bumped(text: str, platforms: bool) -> None:
    """What can be written is what was asked for, and nothing else in the file says anything new."""
    sha256 = {"linux": "b" * 64, "windows": "c" * 64} if platforms else "b" * 64
    with bounded(SECONDS, MEBIBYTES):
        try:
            new = with_version("v.yaml", text, "2.0", sha256)
        except (NotEditable, Refused) as refused:
            assert str(refused)
            return
        document, before = load("v.yaml", new.encode()), load("v.yaml", text.encode())
    wanted = before.data | {"version": "2.0", "sha256": sha256}
    assert not document.problems
    assert document.data == wanted | ({"state": "present"} if wanted.get("state") == "absent" else {})


@few
@given(words | st.text(max_size=10), words | st.text(max_size=70), st.booleans())
def test_any_version_that_is_asked_for(version: str, sha256: str, fresh: bool) -> None:
    """It is read as it was asked for, or refused."""
    with bounded(SECONDS, MEBIBYTES):
        try:
            text = new_version_file(version, sha256) if fresh else with_version("v.yaml", VERSION, version, sha256)
        except (NotEditable, Refused):
            return
        read = look_at(VERSIONS, text).state
    assert read is None or read.versions["prod", "api"].version == version


# --- from git's objects


names = st.one_of(
    st.sampled_from(["prod.yaml", "api.yaml", "x.YML", ".y.yaml", "con.yaml", "A", "a", "x.sig", "..yaml", "a b.yaml"]),
    st.binary(min_size=1, max_size=9).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_").decode("latin-1")),
)
modes = st.sampled_from(["100644", "100755", "120000", "160000", "100664"])
folders = st.sampled_from(
    ["fleets", "services", "versions/prod", "balancers/prod", "policies", "Fleets", "other", "a/b"]
)


@few
@given(st.lists(st.tuples(folders, names, modes, st.sampled_from([*GOOD.values(), "", "x"])), min_size=1, max_size=5))
def test_any_tree(said: list[tuple[str, str, str, str]]) -> None:
    """Names and kinds of entries that no work tree could have."""
    with TemporaryDirectory() as place:
        folder = repository(Path(place) / "state")
        lines = [b"commit refs/heads/main\ncommitter a <a> 0 +0000\ndata 1\nx\n"]
        for inside, name, mode, content in said:
            quoted = "".join(f"\\{byte:03o}" for byte in name.encode("latin-1"))
            blob = content.encode()
            if mode == "160000":
                lines.append(f'M 160000 {"1" * 40} "{inside}/{quoted}"\n'.encode())
            else:
                lines.append(f'M {mode} inline "{inside}/{quoted}"\ndata {len(blob)}\n'.encode() + blob + b"\n")
        try:
            Git(folder).run(["fast-import", "--quiet"], b"".join(lines))
        except GitError:
            return  # git itself does not take such a name
        commit = commit_of(Git(folder), git(folder, "rev-parse", "main"))
        look(read_tree(Git(folder), commit.revision))
