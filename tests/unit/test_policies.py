"""Policies and what is signed beside them, as a commit has them: which file is wrong, and which target is held."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bus.keys import generate_key, public_text
from bus.trust import MAX_SIGNED
from controller.source.decoding import MAX_BYTES
from controller.source.entries import FileEntry
from controller.source.reader import ReadResult
from crds.desired import DesiredState
from reconcilers.target import targets_of
from tests.support.signing import Signing
from tests.support.state_files import read, spoiled

P, SIG, TRUST = "policies/prod.yaml", "versions/prod/api.sig", "policies/prod.trust"
SMOKE = ["./smoke", "{url}"]


@pytest.fixture(scope="module")
def signing() -> Signing:
    return Signing()


def policy(signing: Signing, threshold: int = 1, fleets: str = "[prod]", more: str = "") -> str:
    keys = "".join(f'\n      - {{name: {each.name}, key: "{each.key}"}}' for each in signing.named())
    return f"""\
apiVersion: drumbeat/v1alpha1
kind: Policy
metadata: {{name: prod}}
spec:
  fleets: {fleets}
  releases:
    threshold: {threshold}
    keys:{keys}
{more}"""


def good(signing: Signing, *by: str) -> str:
    """What is signed when everything is in order."""
    target = targets_of(said(read({})))["api@prod"]
    assert target.release is not None
    return signing.statement(target.release, *by, commands={"gate": SMOKE})


def said(result: ReadResult) -> DesiredState:
    assert result.state is not None, result.problems
    return result.state


def test_without_a_policy_nothing_need_be_signed() -> None:
    result = read({})
    assert (result.unsigned, said(result).unsigned, said(result).statements) == ([], {}, {})


def test_a_statement_that_says_too_much_is_quoted_in_part_with_the_remedy(signing: Signing) -> None:
    target = targets_of(said(read({})))["api@prod"]
    assert target.release is not None
    [held] = read({P: policy(signing), SIG: signing.statement(target.release, service="9" * 5000)}).unsigned
    assert (len(held.message) < 700, held.message[-4:]) == (True, " ...")
    assert held.hint == "run: drumbeat release sign api@prod --key FILE, and commit what it writes"


def test_a_signed_release_meets_its_policy(signing: Signing) -> None:
    result = read({P: policy(signing), SIG: good(signing)})
    assert (result.problems, result.unsigned) == ([], [])
    target = targets_of(said(result))["api@prod"]
    assert (target.unsigned, target.statement) == ("", good(signing))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({SIG: None}, "is not signed: no statement came with it (run: drumbeat release sign api@prod --key FILE"),
        ({P: "threshold 2"}, "bears 1 of 2 signatures that are needed"),
        (spoiled("versions/prod/api.yaml", "1.0.0", "1.0.1"), "what was signed is another release (1.0.0"),
        (spoiled("services/api.yaml", "./api", "./evil"), "what was signed is another release"),
        (spoiled("services/api.yaml", "./smoke", "./evil"), "the gate's command './evil {url}' was not signed"),
        (
            spoiled("services/api.yaml", "http: {port: 80, path: /health}", "exec: {command: [x]}"),
            "the probe's command",
        ),
    ],
    ids=["no statement", "threshold", "version", "command", "gate", "probe"],
)
def test_a_release_that_lacks_signatures_holds_its_target_alone(
    signing: Signing, files: dict[str, str | None], words: str
) -> None:
    """The commit is taken: other services' deployments go on."""
    demanded = policy(signing, 2) if files.get(P) else policy(signing)
    result = read({P: demanded, SIG: good(signing)} | {path: text for path, text in files.items() if path != P})
    [problem] = result.unsigned
    assert str(problem).startswith(f"{SIG}: error: ")
    assert words in str(problem)
    assert problem.target == "api@prod"
    assert list(said(result).unsigned) == [("prod", "api")]


@pytest.mark.parametrize("instead", ["gates: []", "gates: [{name: smoke, http: {path: /}}]"])
def test_a_repository_can_weaken_gates(signing: Signing, instead: str) -> None:
    """What runs nothing needs no signature: reviews, and signed commits, are what protects gates (docs/SECURITY.md)."""
    gate = 'gates: [{name: smoke, exec: {command: ["./smoke", "{url}"]}}]'
    result = read({P: policy(signing), SIG: good(signing)} | spoiled("services/api.yaml", gate, instead))
    assert (result.problems, result.unsigned) == ([], [])


def test_both_signatures_meet_a_threshold_of_two(signing: Signing) -> None:
    assert read({P: policy(signing, 2), SIG: good(signing, "ci", "qa")}).unsigned == []


def test_a_removal_needs_no_signature(signing: Signing) -> None:
    gone = "apiVersion: drumbeat/v1alpha1\nstate: absent\n"
    assert read({P: policy(signing), "versions/prod/api.yaml": gone}).unsigned == []


def test_without_a_policy_a_statement_that_does_not_fit_is_a_warning(signing: Signing) -> None:
    """Nodes may pin roots although no policy says so here."""
    result = read({SIG: good(signing)} | spoiled("versions/prod/api.yaml", "1.0.0", "1.0.1"))
    [problem] = result.problems
    assert (problem.severity, problem.path) == ("warning", SIG)
    assert "run: drumbeat release sign api@prod" in str(problem)
    assert said(result).statements == {("prod", "api"): good(signing)}


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        (SIG, "{", "the statement cannot be read"),
        (SIG, "<<<<<<< HEAD", "the statement cannot be read"),
        (SIG, "", "is not signed"),
        (SIG, b"\xff\xfe", "the file is not UTF-8"),
        (SIG, "x" * (MAX_SIGNED + 1), "the file has 65,537 bytes, more than 65,536"),
        (TRUST, "{}", "the trust document cannot be read"),
        ("versions/prod/web.sig", "{}", "it belongs to no file and is not read"),
    ],
)
def test_a_file_that_is_no_envelope(signing: Signing, path: str, text: str | bytes, words: str) -> None:
    result = read({P: policy(signing), SIG: good(signing)} | {path: text})
    found = [str(problem) for problem in [*result.problems, *result.unsigned] if problem.path == path]
    assert len(found) == 1
    assert words in found[0]


def test_a_trust_document_goes_to_its_fleets(signing: Signing) -> None:
    result = read({P: policy(signing), SIG: good(signing), TRUST: signing.trust()})
    assert result.problems == []
    assert targets_of(said(result))["api@prod"].trust == signing.trust()


def test_a_trust_document_that_says_something_else_than_the_policy(signing: Signing) -> None:
    """It is passed on all the same: nodes go by it, and the policy may be ahead of the roots."""
    trust = signing.trust(7, keys=signing.named("ci"))
    result = read({P: policy(signing), SIG: good(signing), TRUST: trust})
    [problem] = result.problems
    assert str(problem) == (
        f"{TRUST}: warning: version 7 says something else than policies/prod.yaml, and nodes go by it "
        "(run: drumbeat release trust prod --root FILE)"
    )
    assert said(result).trust == {"prod": trust}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (("[prod]", "[prd]"), "spec.fleets[0]: there is no fleet prd (did you mean prod?"),
        (("name: prod", "name: test"), "metadata.name: test is not what the file is called"),
        (("threshold: 1", "threshold: 3"), "threshold 3 cannot be met by 2 keys (add keys, or lower it)"),
        (("name: qa, key: ", "name: qa, key: x"), "is not a public key"),
        (("threshold: 1", "floors: {api: -1}"), "spec.releases.floors.api"),
    ],
)
def test_what_is_wrong_in_a_policy(signing: Signing, spoil: tuple[str, str], words: str) -> None:
    text = policy(signing)
    assert spoil[0] in text
    result = read({P: text.replace(*spoil, 1)})
    assert result.state is None
    assert any(words in str(problem) for problem in result.problems), result.problems


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        (P, FileEntry("symlink")),
        (P, FileEntry("submodule")),
        ("policies", FileEntry("symlink")),
        ("policies", FileEntry("submodule")),
        (P, ""),
        (P, "# everything is a comment"),
        (P, b"\xff\xfe"),
        (P, "x" * (MAX_BYTES + 1)),
        ("policies/prod.yml", None),
        ("policies/prod.YAML", None),
        ("policies/Prod.yaml", None),
        ("Policies/prod.yaml", None),
        ("policies/.prod.yaml", None),
        ("policies/prod/api.yaml", None),
        ("policies.yaml", None),
        ("policy/prod.yaml", None),
        (TRUST, FileEntry("symlink")),
    ],
    ids=lambda each: repr(each)[:40],
)
def test_a_policy_that_is_there_and_cannot_be_read_refuses_the_commit(
    signing: Signing, path: str, entry: str | bytes | FileEntry | None
) -> None:
    """Rather than hold for nobody."""
    assert read({path: policy(signing) if entry is None else entry}).state is None


def test_a_key_that_is_half_copied(signing: Signing) -> None:
    key = signing.named("qa")[0].key
    result = read({P: policy(signing).replace(key, "ssh-ed25519 AAAAC3NzaC1lZDI1")})
    [problem] = result.problems
    assert "spec.releases.keys[1].key" in str(problem)
    assert "copy the line" in str(problem)


def openssh(key: str) -> str:
    """The same key as ssh-keygen writes it."""
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.removeprefix("ed25519:")))
    return f"{public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} ci@build"


@pytest.mark.parametrize("form", [str, openssh])
def test_a_key_that_is_listed_twice_or_revoked(signing: Signing, form: Callable[[str], str]) -> None:
    """Whatever form it is written in: a threshold of two would be met by nobody, a revoked key would seem to count."""
    ci, qa = signing.named("ci")[0].key, signing.named("qa")[0].key
    twice = read({P: policy(signing, threshold=2).replace(qa, form(ci))})
    assert twice.state is None
    assert "spec.releases.keys[1].key: a key is listed twice, for ci before" in str(twice.problems[0])
    revoked = read({P: policy(signing, more=f'    revoked: [{{name: gone, key: "{form(ci)}"}}]\n')})
    assert revoked.state is None
    assert "spec.releases.revoked[0].key: a key is both listed and revoked" in str(revoked.problems[0])


def test_two_policies_for_one_fleet(signing: Signing) -> None:
    second = policy(signing).replace("name: prod", "name: second")
    result = read({P: policy(signing), "policies/second.yaml": second})
    assert "fleet prod already has a policy: policies/prod.yaml" in str(result.problems[0])


def test_keys_of_other_forms_are_one_key(signing: Signing) -> None:
    """A key in OpenSSH's form verifies what was signed with the same key."""
    key = signing.named("ci")[0].key
    text = policy(signing).replace(key, openssh(key))
    assert read({P: text, SIG: good(signing)}).unsigned == []


def test_a_stranger_cannot_sign(signing: Signing) -> None:
    signing.people["stranger"] = generate_key()
    assert public_text(signing.people["stranger"].public_key) not in policy(Signing())
    result = read({P: policy(Signing()), SIG: good(signing, "stranger")})
    assert "bears 0 of 1 signatures" in str(result.unsigned[0])
