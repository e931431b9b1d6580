"""release: sign, verify and trust, with keys as people have them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bus.keys import generate_key, load_private_key, public_text, save_private_key, write_secret
from bus.roots import read_roots
from bus.trust import open_trust, read_statement, read_trust
from crds.trust import RELEASE_TYPE, TRUST_TYPE
from tests.simulation.drivers import SimClock
from tests.support.cli import run, state_repository
from tests.support.signing import signed
from tests.support.state_files import SERVICE, write

SIG, TRUST = Path("versions/prod/api.sig"), Path("policies/prod.trust")
OTHER = "b" * 64
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory with a policy; the keys of ci, qa and two roots lie beside it."""
    state = state_repository(tmp_path, monkeypatch)
    for name in ("ci", "qa", "root1", "root2"):
        save_private_key(tmp_path / name, generate_key())
    write(state, {"policies/prod.yaml": policy(tmp_path)})
    return state


def public(folder: Path, name: str) -> str:
    return public_text(load_private_key(folder / name).public_key)


def policy(folder: Path, threshold: int = 1, more: str = "", names: tuple[str, ...] = ("ci", "qa")) -> str:
    keys = "".join(f'\n      - {{name: {name}, key: "{public(folder, name)}"}}' for name in names)
    return f"""\
apiVersion: drumbeat/v1alpha1
kind: Policy
metadata: {{name: prod}}
spec:
  fleets: [prod]
  releases:
    threshold: {threshold}
    keys:{keys}
{more}"""


def pinned(folder: Path, threshold: int = 2) -> Path:
    path = folder / "trust.yaml"
    roots = "".join(f'\n  - "{public(folder, name)}"' for name in ("root1", "root2"))
    path.write_text(f"fleet: prod\nthreshold: {threshold}\nroots:{roots}\n")
    return path


def test_lint_asks_for_a_signature_and_is_content_with_it(state: Path, tmp_path: Path) -> None:
    before = run("lint")
    assert before.exit_code == 1
    assert "versions/prod/api.sig: error: api@prod is not signed" in before.stdout
    assert "the controller would take this, and hold api@prod" in before.stderr
    done = run("release", "sign", "api@prod", "--key", tmp_path / "ci")
    assert (done.exit_code, done.stdout) == (0, f"{SIG}\n")
    assert "signed api@prod 1.0.0" in done.stderr
    assert run("lint").exit_code == 0


def test_lint_says_in_json_what_is_unsigned(state: Path) -> None:
    found = json.loads(run("lint", "-o", "json").stdout)
    assert (found["errors"], found["problems"][0]["target"]) == (1, "api@prod")


def test_a_second_key_joins_the_first(state: Path, tmp_path: Path) -> None:
    write(state, {"policies/prod.yaml": policy(tmp_path, threshold=2)})
    run("release", "sign", "api@prod", "--key", tmp_path / "ci")
    first = read_statement(SIG.read_text())
    assert "bears 1 of 2 signatures" in run("release", "verify", "api@prod").stderr
    run("release", "sign", "api@prod", "--key", tmp_path / "qa")
    assert read_statement(SIG.read_text()) == first
    done = run("release", "verify", "api@prod")
    assert done.exit_code == 0
    assert "signed by ci, qa" in done.stdout
    assert run("lint").exit_code == 0


def test_signing_twice_changes_nothing(state: Path, tmp_path: Path) -> None:
    run("release", "sign", "api@prod", "--key", tmp_path / "ci")
    before = SIG.read_text()
    run("release", "sign", "api@prod", "--key", tmp_path / "ci")
    assert SIG.read_text() == before


def test_a_new_release_begins_anew(state: Path, tmp_path: Path) -> None:
    """What was signed about the former one is replaced, and the sequence grows whatever the clock says."""
    run("release", "sign", "api@prod", "--key", tmp_path / "ci")
    before = read_statement(SIG.read_text())
    bumped = run("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", OTHER)
    assert bumped.exit_code == 0
    assert "not signed yet; run: drumbeat release sign api@prod --key FILE" in bumped.stderr
    assert "what was signed is another release (1.0.0" in run("release", "verify", "api@prod").stderr
    run("release", "sign", "api@prod", "--key", tmp_path / "qa")
    after = read_statement(SIG.read_text())
    assert (after.version, after.sequence > before.sequence) == ("1.1.0", True)
    assert run("release", "verify", "api@prod").stdout.startswith("api@prod 1.1.0 may run: signed by qa")


def test_a_changed_gate_is_signed_anew(state: Path, tmp_path: Path) -> None:
    run("release", "sign", "api@prod", "--key", tmp_path / "ci")
    write(state, {"services/api.yaml": SERVICE.replace("./smoke", "./other")})
    assert "the gate's command './other {url}' was not signed" in run("release", "verify", "api@prod").stderr
    run("release", "sign", "api@prod", "--key", tmp_path / "ci")
    assert run("release", "verify", "api@prod").exit_code == 0


def test_migrations_and_questions_are_signed_with_all_that_they_do(state: Path, tmp_path: Path) -> None:
    more = """\
  migrations:
    expand: [{name: add, command: ["./add"], check: ["./has"], secrets: {PASSWORD: orders-db}}]
    contract: [{name: drop, command: ["./drop"], check: ["./lacks"]}]
"""
    question = '{name: errors, prometheus: {url: "http://prometheus:9090", query: errors, max: 0.01}}'
    text = SERVICE.replace("  gates: [", f"{more}  gates: [{question}, ")
    assert text.count("prometheus") == 2
    write(state, {"services/api.yaml": text})
    signed = run("release", "sign", "api@prod", "--key", tmp_path / "ci")
    assert signed.exit_code == 0, signed.stderr
    assert run("release", "verify", "api@prod").exit_code == 0
    for former, latter, said in (
        ("./has", "./other", "the expand migration's command './add' with the secrets PASSWORD from orders-db"),
        ("./drop", "./other", "the contract migration's command './other'"),
        ("orders-db", "other", "the expand migration's command './add' with the secrets PASSWORD from other"),
        ("prometheus:9090", "evil:9090", "the gate's question 'errors' to http://evil:9090"),
        ("max: 0.01", "max: 1.0", "the gate's question 'errors' to http://prometheus:9090"),
    ):
        write(state, {"services/api.yaml": text.replace(former, latter)})
        assert f"{said} was not signed" in run("release", "verify", "api@prod").stderr


def test_a_statement_may_be_for_several_fleets(state: Path, tmp_path: Path) -> None:
    run("release", "sign", "api@prod", "--key", tmp_path / "ci", "--fleet", "staging")
    assert read_statement(SIG.read_text()).fleets == ["prod", "staging"]
    run("release", "sign", "api@prod", "--key", tmp_path / "ci", "--fleet", "all")
    assert read_statement(SIG.read_text()).fleets == "all"


@pytest.mark.parametrize("fleet", ["staging", "all"])
def test_a_second_key_need_not_name_the_fleets_again(state: Path, tmp_path: Path, fleet: str) -> None:
    write(state, {"policies/prod.yaml": policy(tmp_path, threshold=2)})
    done = run("release", "sign", "api@prod", "--key", tmp_path / "ci", "--fleet", fleet)
    assert "1 of 2 signatures that policies/prod.yaml asks for are on it; run the same command with an" in done.stderr
    first = read_statement(SIG.read_text())
    done = run("release", "sign", "api@prod", "--key", tmp_path / "qa")
    assert read_statement(SIG.read_text()) == first
    assert "signed api@prod 1.0.0 for " + ("all fleets" if fleet == "all" else "prod, staging") in done.stderr
    assert "it bears the signatures of ci, qa\n2 of 2 signatures" in done.stderr
    assert "warning" not in done.stderr


def test_signatures_that_are_dropped_are_named(state: Path, tmp_path: Path) -> None:
    """Whoever changes what is said starts again, and the others must know."""
    run("release", "sign", "api@prod", "--key", tmp_path / "ci")
    done = run("release", "sign", "api@prod", "--key", tmp_path / "qa", "--fleet", "all")
    assert "it bears the signatures of qa\n" in done.stderr
    assert "warning: what was there said something else, and was signed by ci: these signatures are dr" in done.stderr
    again = run("release", "sign", "api@prod", "--key", tmp_path / "qa")
    assert "warning" not in again.stderr


@pytest.mark.parametrize("fleets", [["prod"], ["prod", "staging"], "all"])
def test_nothing_is_taken_up_that_nobody_known_has_signed(state: Path, tmp_path: Path, fleets: list[str] | str) -> None:
    """Whoever may push could have a release signed for further fleets, or above every floor that there will ever be."""
    run("release", "sign", "api@prod", "--key", tmp_path / "ci")
    said = read_statement(SIG.read_text()).model_copy(update={"fleets": fleets, "sequence": 2**53 - 2})
    write(state, {str(SIG): signed(RELEASE_TYPE, said, [generate_key()])})
    done = run("release", "sign", "api@prod", "--key", tmp_path / "qa")
    statement = read_statement(SIG.read_text())
    assert (statement.fleets, statement.sequence < 2**32) == (["prod"], True)
    assert "nobody who counts here has signed what was there: nothing of it was kept" in done.stderr
    assert "it bears the signatures of qa\n" in done.stderr


def test_a_key_that_no_policy_names_does_not_count(state: Path, tmp_path: Path) -> None:
    done = run("release", "sign", "api@prod", "--key", tmp_path / "root1")
    assert f"it bears the signatures of {public(tmp_path, 'root1')}\n0 of 1 signatures" in done.stderr


def test_fleets_that_cannot_be_meant(state: Path, tmp_path: Path) -> None:
    """The name of a fleet in another repository is possible, and doubtful; what is no name at all is refused."""
    done = run("release", "sign", "api@prod", "--key", tmp_path / "ci", "--fleet", "nosuchfleet")
    assert (done.exit_code, "there is no fleets/nosuchfleet.yaml here" in done.stderr) == (0, True)
    for wrong in ("Bad Name", "", "prod,staging", "con"):
        refused = run("release", "sign", "api@prod", "--key", tmp_path / "ci", "--fleet", wrong)
        assert (refused.exit_code, "is no fleet's name" in refused.stderr) == (2, True), refused.stderr
    assert read_statement(SIG.read_text()).fleets == ["nosuchfleet", "prod"]


def test_a_damaged_file_is_written_anew(state: Path, tmp_path: Path) -> None:
    write(state, {str(SIG): "<<<<<<< HEAD"})
    assert run("lint").exit_code == 1
    assert run("release", "sign", "api@prod", "--key", tmp_path / "ci").exit_code == 0
    assert run("lint").exit_code == 0


@pytest.mark.parametrize("passphrase", ["", "correct horse"])
def test_keys_of_openssh_sign(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passphrase: str) -> None:
    """In the form of ssh-keygen, with and without a passphrase."""
    key, made = tmp_path / "id_ed25519", Ed25519PrivateKey.generate()
    locked = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    write_secret(key, made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, locked))
    line = made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    text = policy(tmp_path, names=()) + f'\n      - {{name: ann, key: "{line} ann@home"}}\n'
    write(state, {"policies/prod.yaml": text})
    monkeypatch.setenv("DRUMBEAT_KEY_PASSPHRASE", "wrong")
    done = run("release", "sign", "api@prod", "--key", key)
    assert ("cannot be opened with that passphrase" in done.stderr) == bool(passphrase)
    monkeypatch.setenv("DRUMBEAT_KEY_PASSPHRASE", passphrase)
    assert run("release", "sign", "api@prod", "--key", key).exit_code == 0
    assert "signed by ann" in run("release", "verify", "api@prod").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sign", "api@prod", "--key", "missing"], "missing: cannot be read"),
        (["sign", "api@test", "--key", "KEY"], "run: drumbeat bump api VERSION --fleet test"),
        (["sign", "api@prod", "--key", "README"], "not a private key in PEM (PKCS8) or OpenSSH form"),
        (["verify", "api@prod", "--trust", "missing"], "there is no file missing; without it a node runs what is"),
        (["trust", "test", "--root", "KEY"], "there is no policies/test.yaml; there are: prod"),
    ],
)
def test_what_is_wrong_is_said(state: Path, tmp_path: Path, words: list[str], said: str) -> None:
    (state / "README").write_text("hello")
    (state / "README").chmod(0o600)
    done = run("release", *[str(tmp_path / "ci") if word == "KEY" else word for word in words])
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr


def test_a_name_that_is_no_target(state: Path, tmp_path: Path) -> None:
    done = run("release", "sign", "api", "--key", tmp_path / "ci")
    assert done.exit_code == 2
    assert "SERVICE@FLEET" in done.stderr


def test_verify_says_what_a_node_would_say(state: Path, tmp_path: Path) -> None:
    roots = pinned(tmp_path)
    run("release", "sign", "api@prod", "--key", tmp_path / "ci")
    verify = ("release", "verify", "api@prod", "--trust", roots)
    assert "there is no trust document for prod" in run(*verify).stderr
    run("release", "trust", "prod", "--root", tmp_path / "root1")
    assert "bears 1 of 2 signatures of roots" in run(*verify).stderr
    run("release", "trust", "prod", "--root", tmp_path / "root2")
    done = run(*verify)
    assert (done.exit_code, "may run: signed by ci" in done.stdout) == (0, True)


def test_a_trust_document_gets_a_version_when_it_says_something_else(state: Path, tmp_path: Path) -> None:
    def version() -> int:
        return read_trust(TRUST.read_text()).version

    run("release", "trust", "prod", "--root", tmp_path / "root1", "--valid", "90d")
    first = read_trust(TRUST.read_text())
    run("release", "trust", "prod", "--root", tmp_path / "root2")
    assert read_trust(TRUST.read_text()) == first  # the second root joins, the expiry stays
    run("release", "trust", "prod", "--root", tmp_path / "root1", "--valid", "91d")
    assert version() == 2
    revoked = f'    revoked: [{{name: qa, key: "{public(tmp_path, "qa")}"}}]\n    floors: {{api: 5}}\n'
    write(state, {"policies/prod.yaml": policy(tmp_path, more=revoked, names=("ci",))})
    assert "nodes go by it" in run("lint").stdout
    run("release", "trust", "prod", "--root", tmp_path / "root1")
    document = read_trust(TRUST.read_text())
    assert (document.version, document.floors, [each.name for each in document.revoked]) == (3, {"api": 5}, ["qa"])


def test_roots_renew_the_trust_document_with_the_same_command(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, each at its own time: otherwise nodes take nothing new once the old one has expired."""
    trust = ("release", "trust", "prod", "--trust", pinned(tmp_path), "--valid", "180d", "--root")
    told = []
    for day, root in ((0, "root1"), (1, "root2"), (150, "root2"), (165, "root1")):
        monkeypatch.setattr("controller.cli.release.SystemClock", lambda day=day: SimClock(START + timedelta(days=day)))
        done = run(*trust, tmp_path / root)
        assert done.exit_code == 0, done.stderr
        told.append(done.stderr)
    assert ["version 1" in said for said in told] == [True, True, False, False]
    assert ["1 of 2 signatures that" in said for said in told] == [True, False, True, False]
    assert "2 of 2 signatures that" in told[1]
    dropped = f"was signed by {public(tmp_path, 'root1')}: these signatures are dropped"
    assert [dropped in said for said in told] == [False, False, True, False]
    roots = read_roots(pinned(tmp_path))
    assert roots is not None
    document = open_trust(TRUST.read_text(), roots)
    assert (document.version, document.expires) == (2, START + timedelta(days=150 + 180))


@pytest.mark.parametrize(
    ("root", "valid", "version"),
    [("root2", "181d", 1), ("root2", "172d", 2), ("root2", "400d", 2), ("root1", "180d", 2)],
    ids=["nearly the same", "less", "much more", "the same root again"],
)
def test_another_time_is_another_document(state: Path, tmp_path: Path, root: str, valid: str, version: int) -> None:
    run("release", "trust", "prod", "--root", tmp_path / "root1", "--valid", "180d")
    done = run("release", "trust", "prod", "--root", tmp_path / root, "--valid", valid)
    assert read_trust(TRUST.read_text()).version == version
    assert "--trust FILE counts them" in done.stderr


def test_another_policy_is_another_document_whenever_it_is_signed(state: Path, tmp_path: Path) -> None:
    trust = ("release", "trust", "prod", "--valid", "180d", "--root")
    run(*trust, tmp_path / "root1")
    write(state, {"policies/prod.yaml": policy(tmp_path, names=("ci",))})
    done = run(*trust, tmp_path / "root2")
    assert read_trust(TRUST.read_text()).version == 2
    assert "these signatures are dropped" in done.stderr


def test_nobody_signs_what_has_expired(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("release", "trust", "prod", "--root", tmp_path / "root1", "--valid", "1h")
    monkeypatch.setattr("controller.cli.release.SystemClock", lambda: SimClock(datetime.now(UTC) + timedelta(hours=2)))
    done = run("release", "trust", "prod", "--root", tmp_path / "root2")
    assert (done.exit_code, "say until when: --valid 90d" in done.stderr) == (1, True)


def test_a_damaged_trust_document_is_not_begun_again_at_one(state: Path, tmp_path: Path) -> None:
    """Nodes refuse versions that they had."""
    write(state, {str(TRUST): "{"})
    done = run("release", "trust", "prod", "--root", tmp_path / "root1")
    assert done.exit_code == 1
    assert "bring the file back from git" in done.stderr


@pytest.mark.parametrize("version", [2**53 - 1, 2**53 - 2, 10**6 + 1])
def test_a_version_that_leaves_room_for_no_other_is_not_gone_on_from(state: Path, tmp_path: Path, version: int) -> None:
    """Whoever may push could have the roots themselves name the last version that nodes will ever take."""
    trust = ("release", "trust", "prod", "--root", tmp_path / "root1")
    run(*trust)
    said = read_trust(TRUST.read_text()).model_copy(update={"version": version})
    forged = signed(TRUST_TYPE, said, [generate_key()])
    for more in ((), ("--valid", "90d"), ("--trust", pinned(tmp_path))):
        write(state, {str(TRUST): forged})
        done = run(*trust, *more)
        assert (done.exit_code, TRUST.read_text()) == (1, forged)
        assert f"version {version}, and no root that is known here has signed it" in " ".join(done.stderr.split())
    write(state, {str(TRUST): signed(TRUST_TYPE, said, [load_private_key(tmp_path / "root2")])})
    assert (run(*trust).exit_code, run(*trust, "--trust", pinned(tmp_path)).exit_code) == (1, 0)


def test_an_expired_trust_document(state: Path, tmp_path: Path) -> None:
    done = run("release", "trust", "prod", "--root", tmp_path / "root1", "--valid", "0s")
    assert (done.exit_code, "'0s' is no time at all" in done.stderr) == (2, True)
    assert run("release", "trust", "prod", "--root", tmp_path / "root1", "--valid", "soon").exit_code == 2
