"""Whatever bytes a commit holds, reading it ends in a state or in problems, never in an exception."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.source.characters import visible
from controller.source.entries import FileEntry
from controller.source.problems import Refused
from controller.source.reader import read_state
from controller.source.strict_yaml import load
from controller.source.version_text import NotEditable, with_version
from tests.support.state_files import GOOD, SHA, VERSION, read

PATHS = [*GOOD, "fleets/x.yaml", "x.yml", "services/a/b.yaml"]
WORDS = ["apiVersion", "kind", "metadata", "name", "spec", "hosts", "pools", "fleets", "prod", "version", "sha256"]
VALUES = [*WORDS, "drumbeat/v1alpha1", "Service", "Fleet", "edge", "web", "25%", "30s", "{url}", "a" * 64]

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(VALUES), st.text(max_size=8))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(WORDS), scalars), inner, max_size=5)
    ),
    max_leaves=20,
)
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(st.sampled_from(PATHS), st.binary(max_size=200))
def test_any_bytes_in_any_file(path: str, data: bytes) -> None:
    read({path: data})


@quick
@given(st.text(max_size=30), st.sampled_from(["blob", "symlink", "submodule"]))
def test_any_path(path: str, kind: Any) -> None:
    for problem in read_state({path: FileEntry(kind, b"", 0)}, "r").problems:
        assert str(problem).splitlines() == [visible(str(problem))]


@quick
@given(st.sampled_from(list(GOOD)), trees)
def test_any_tree_in_any_file(path: str, tree: Any) -> None:
    result = read({path: yaml.safe_dump(tree)})

    assert (result.state is None) == any(problem.severity == "error" for problem in result.problems)


@quick
@given(st.sampled_from(list(GOOD)), st.data())
def test_a_good_file_with_a_part_replaced(path: str, data: st.DataObject) -> None:
    text = GOOD[path]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    result = read({path: text[:start] + data.draw(st.text(max_size=10)) + text[end:]})

    for problem in result.problems:
        assert str(problem).splitlines() == [visible(str(problem))]


def parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a tree."""
    inner = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, each in inner:
        yield value, key
        yield from parts(each)


@quick
@given(st.sampled_from(list(GOOD)), st.integers(0), trees)
def test_a_good_file_with_a_field_replaced(path: str, number: int, tree: Any) -> None:
    whole = yaml.safe_load(GOOD[path] + ("  fleets: {prod: {rollout: {soak: 1s}}}\n" if "services" in path else ""))
    places = list(parts(whole))
    container, key = places[number % len(places)]
    container[key] = tree
    result = read({path: yaml.safe_dump(whole)})

    for problem in result.problems:
        assert "Input should" not in str(problem) and "pydantic" not in str(problem)


@quick
@given(trees)
def test_what_is_read_is_what_another_reader_reads(tree: Any) -> None:
    """Where nothing is refused, PyYAML's own loader gives the same values: there is no second meaning."""
    text = yaml.safe_dump(tree)
    document = load("f", text.encode())
    if not document.problems:
        assert document.data == yaml.safe_load(text)


@quick
@given(st.lists(st.sampled_from(["# why", "", "state: present", "# version: '0'"]), max_size=4), st.booleans())
def test_a_bump_changes_nothing_but_values(extra: list[str], windows: bool) -> None:
    lines = list(dict.fromkeys(extra)) + VERSION.splitlines()
    text = ("\r\n" if windows else "\n").join(lines)
    bumped = with_version("f", text, "2.0.0", "b" * 64)

    assert bumped == text.replace("1.0.0", "2.0.0").replace(SHA, "b" * 64)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: >-\n  1.0\nsha256: a # why", 'version: "2"\nsha256: {b} # why\n'),
        ("state: absent\nsha256: {linux: a}", 'state: present\nsha256: {linux: {b}}\nversion: "2"\n'),
        ("version:\nsha256:", 'version: "2"\nsha256: {b}\n'),
    ],
)
def test_a_bump_of_an_odd_file(old: str, new: str) -> None:
    sha256 = {"linux": "b" * 64} if "linux" in old else "b" * 64
    assert with_version("f", old, "2", sha256).rstrip("\n") + "\n" == new.replace("{b}", "b" * 64)


@pytest.mark.parametrize(
    "text", ["{version: '1'}", "# why\n{version: '1'}", "version: &v '1'\nstate: *v", "version: '1'\n..."]
)
def test_a_file_that_a_bump_would_spoil_is_left_alone(text: str) -> None:
    with pytest.raises(NotEditable, match="f is not written one field a line; write it so"):
        with_version("f", text, "2", "b" * 64)


@quick
@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_can_be_bumped_or_is_refused(text: str) -> None:
    try:
        bumped = with_version("f", text, "2.0.0", "b" * 64)
    except (NotEditable, Refused):
        return
    assert load("f", bumped.encode()).data["version"] == "2.0.0"
