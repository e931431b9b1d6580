"""What good input becomes: places of fields, plain values, overrides, releases."""

import json
import re

import pytest

from controller.source.problems import Problem
from controller.source.strict_yaml import load
from controller.source.wording import PATTERNS
from crds.desired import DesiredState
from crds.schema import FILES, schemas
from reconcilers.overrides import overlay, service_on
from reconcilers.releases import release_of
from tests.support.state_files import SERVICE, SHA, VERSION, read, spoiled

S = "services/api.yaml"


def taken(files: dict) -> DesiredState:
    result = read(files)
    assert result.state is not None, result.problems
    return result.state


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("2.14.1", "2.14.1"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("nothing", "nothing"),
        ("nO", "nO"),
        ('"no"', "no"),
        ("'1.10'", "1.10"),
        ('"\\t"', "\t"),
    ],
)
def test_scalars_are_what_yaml_1_2_says(written: str, value: object) -> None:
    document = load("f", f"field: {written}".encode())

    assert document.problems == []
    assert document.data == {"field": value}
    assert type(document.data["field"]) is type(value)


def test_the_original_of_what_is_no_text_is_kept() -> None:
    document = load("f", b"a: [1.10, x]\nb: 1e3\n")

    assert document.originals == {("a", 0): "1.10", ("b",): "1e3"}


def test_every_field_has_its_place() -> None:
    document = load("f", "ü: {a: [x, {b: 1}]}\nc:\n  # why\n  - d\n\n".encode())

    assert document.place(("ü", "a", 1, "b")) == (1, 16)
    assert document.place(("ü", "a", 1, "b"), key=True) == (1, 13)
    assert document.place(("c", 0)) == (4, 5)
    assert document.place(("c", 0, "missing")) == (4, 5)
    assert document.place(()) == (1, 1)


def test_small_aliases_are_values_like_others() -> None:
    document = load("f", b"a: &a {x: [1, 2]}\nb: *a\n")

    assert document.problems == []
    assert document.data == {"a": {"x": [1, 2]}, "b": {"x": [1, 2]}}
    assert document.place(("b", "x", 1)) == (2, 1)


def test_a_thousand_levels_do_not_exhaust_the_stack() -> None:
    for text in ("[" * 1000 + "]" * 1000, "{a: " * 1000, "".join(f"{' ' * n}a:\n" for n in range(1000))):
        assert "nested deeper than 50 levels" in str(load("f", text.encode()).problems[0])


def test_a_problem_is_one_line_whatever_it_quotes() -> None:
    problem = Problem("error", "a\nb\x1b[2K.yaml", "said \u202e\r\n", "do", 1, 2, "f")

    assert str(problem) == "aU+000AbU+001B[2K.yaml:1:2: error: f: said U+202EU+000DU+000A (do)"


def test_other_files_are_left_alone() -> None:
    others = {"README.md": "x", ".schemas/fleet.json": "{", ".github/workflows/x.yml": "a: [", "fleets/notes.txt": "x"}

    assert read(others).problems == []


def test_every_pattern_can_be_explained() -> None:
    """Whoever adds a pattern to crds/ says in words how to meet it."""
    written = json.dumps([schemas()[name] for name in FILES])
    used = {json.loads(f'"{found}"') for found in re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', written)}
    by_hand = {pattern for pattern in used if "%" in pattern or "ms|s|m" in pattern}  # said by crds/ itself

    assert used - by_hand - PATTERNS.keys() == set()


def test_an_override_is_laid_over_field_by_field() -> None:
    override = """\
  fleets:
    prod:
      hosts: {zone: a}
      gates: []
      artifact: {environment: {MODE: fast}}
      rollout: {soak: 0s, drain: {onTimeout: close}}
"""
    spec = service_on(taken({S: SERVICE + override}), "api", "prod")

    assert spec.hosts == {"role": "api", "zone": "a"}
    assert spec.gates == []
    assert spec.artifact.environment == {"MODE": "fast"}
    assert spec.artifact.url == "https://example.com/api-{version}.tar.gz"
    assert (spec.rollout.soak, spec.rollout.batches) == (0.0, [1, "25%"])
    assert (spec.rollout.drain.on_timeout, spec.rollout.drain.timeout) == ("close", 30.0)
    assert spec.fleets == {}


def test_a_service_without_override_is_as_written() -> None:
    state = taken({})

    assert service_on(state, "api", "prod") == state.services["api"].spec


@pytest.mark.parametrize("duration", ["30s", "250ms", "1m30s", "1.5s", "2h", "1d", "0s", "90m0.5s"])
def test_an_override_leaves_other_durations_alone(duration: str) -> None:
    files = {S: SERVICE.replace("30s", duration) + "  fleets: {prod: {rollout: {batches: [1]}}}\n"}
    state = taken(files)

    assert service_on(state, "api", "prod").rollout.soak == state.services["api"].spec.rollout.soak


def test_lists_are_replaced_and_nothing_is_changed_in_place() -> None:
    base = {"a": {"b": [1, 2], "c": 3}, "d": 4}

    assert overlay(base, {"a": {"b": [5]}, "e": {"f": 6}}) == {"a": {"b": [5], "c": 3}, "d": 4, "e": {"f": 6}}
    assert base == {"a": {"b": [1, 2], "c": 3}, "d": 4}


def test_a_release_has_its_version_in_the_url_and_its_command_as_written() -> None:
    state = taken({})
    release = release_of(service_on(state, "api", "prod"), state.versions["prod", "api"])

    assert release.url == "https://example.com/api-1.0.0.tar.gz"
    assert release.run == ["./api", "--host", "{address}"]
    assert (release.version, release.sha256) == ("1.0.0", SHA)


def test_only_what_the_artifact_says_makes_another_release() -> None:
    def digest(files: dict) -> str:
        state = taken(files)
        return release_of(service_on(state, "api", "prod"), state.versions["prod", "api"]).digest

    assert digest(spoiled(S, "soak: 30s", "soak: 60s")) == digest({})
    assert digest(spoiled(S, "run:", "stopTimeout: 10s\n    run:")) == digest({})
    assert digest(spoiled(S, "run:", "stopTimeout: 11s\n    run:")) != digest({})
    said = digest(spoiled(S, "run:", "quiesce: {command: [./leave]}\n    run:"))
    assert said != digest({})
    assert digest(spoiled(S, "run:", "quiesce: {command: [./leave], timeout: 60s}\n    run:")) == said
    assert digest(spoiled(S, "run:", "quiesce: {command: [./leave], timeout: 61s}\n    run:")) != said
    assert digest(spoiled("versions/prod/api.yaml", "1.0.0", "1.0.1")) != digest({})


def test_what_is_removed_makes_no_release() -> None:
    absent = VERSION.replace('version: "1.0.0"', "state: absent").replace(f"sha256: {SHA}\n", "")
    state = taken({"versions/prod/api.yaml": absent})

    with pytest.raises(ValueError, match="absent"):
        release_of(service_on(state, "api", "prod"), state.versions["prod", "api"])


def test_a_machine_may_have_several_roles_in_its_fleet() -> None:
    assert read(spoiled("fleets/prod.yaml", "name: runner1", "name: lb1")).problems == []


def test_gates_without_maintenance_pool_go_to_the_host() -> None:
    assert read(spoiled(S, "maintenance: mt, ", "")).problems == []


def test_a_service_that_is_not_deployed_may_be_unfinished() -> None:
    files = {"versions/prod/api.yaml": None} | spoiled(S, "balancer: edge", "balancer: later")

    assert read(files).problems == []
