"""The JSON Schemas agree with what the reader takes, and the files beside the code are theirs."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from controller.cli.schema import as_text
from controller.source.layout import LAYOUT, place_of
from crds.schema import FILES, schemas
from tests.support.state_files import GOOD, read, spoiled

ROOT = Path(__file__).parents[2]
S = "services/api.yaml"
OVERRIDE = "  fleets:\n    prod: {rollout: {soak: 1s, drain: {timeout: 1s}}, artifact: {run: [x]}}\n"


def complaints(path: str, text: str) -> list[str]:
    place = place_of(path)
    assert place is not None
    schema = schemas()[place.kind.lower()]
    return [error.message for error in Draft202012Validator(schema).iter_errors(yaml.safe_load(text))]


def test_the_files_beside_the_code_are_current() -> None:
    """If not: drumbeat schema --write crds/schemas."""
    written = {path.name: path.read_text() for path in (ROOT / "crds/schemas").glob("*.json")}

    assert written == {f"{name}.json": as_text(schema) for name, schema in schemas().items()}


def test_every_schema_is_one() -> None:
    assert {"assignment", "report", "rolloutstatus", *FILES} == schemas().keys()
    assert {kind.lower() for kind in LAYOUT} == FILES.keys()
    for schema in schemas().values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", GOOD)
def test_a_good_file_pleases_its_schema(path: str) -> None:
    assert complaints(path, GOOD[path]) == []


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (S, "soak: 30s", "sok: 30s"),
        (S, "soak: 30s", "soak: 30"),
        (S, "25%", "200%"),
        (S, "port: 80,", "port: 0,"),
        (S, "kind: Service", "kind: Fleet"),
        (S, "  artifact:", "  artefact:"),
        ("fleets/prod.yaml", "name: vm2", "name: VM2"),
        ("fleets/prod.yaml", "{role: api}", "{role: 1}"),
        ("balancers/prod/edge.yaml", "web:", "w b:"),
        ("versions/prod/api.yaml", '"1.0.0"', "1.10"),
    ],
)
def test_what_the_reader_refuses_in_a_file_an_editor_underlines(path: str, old: str, new: str) -> None:
    files = spoiled(path, old, new)

    assert read(files).state is None
    assert complaints(path, files[path]) != []


def test_overrides_may_be_partial_and_must_be_known() -> None:
    assert complaints(S, GOOD[S] + OVERRIDE) == []
    assert complaints(S, GOOD[S] + OVERRIDE.replace("soak", "sok")) != []
    assert complaints(S, GOOD[S] + OVERRIDE.replace("timeout", "timeuot")) != []
    assert complaints(S, GOOD[S] + "  fleets: {prod: {fleets: {}}}\n") != []


def shapes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [schema, *schema.get("$defs", {}).values()]


def test_editors_find_a_description_of_every_resource_and_camel_case() -> None:
    for name in FILES:
        for shape in shapes(schemas()[name]):
            assert shape["additionalProperties"] is False
            assert shape["description"]
            assert not [field for field in shape["properties"] if "_" in field]


def test_defaults_are_as_people_write_them() -> None:
    rollout = schemas()["service"]["$defs"]["Rollout"]["properties"]

    assert (rollout["soak"]["default"], rollout["deadline"]["default"]) == ("0s", "10m")


@pytest.mark.parametrize("path", sorted((ROOT / "desired-state").rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_example_names_its_schema(path: Path) -> None:
    modeline = path.read_text().splitlines()[0]
    place = place_of(path.relative_to(ROOT / "desired-state").as_posix())
    assert place is not None
    named = (path.parent / modeline.removeprefix("# yaml-language-server: $schema=")).resolve()

    assert named == ROOT / f"crds/schemas/{place.kind.lower()}.json"
