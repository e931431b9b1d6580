"""JSON Schemas of every resource and message, for editors and for programs in other languages."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from pydantic import BaseModel

from crds.base import format_duration
from crds.fleet import Fleet
from crds.freeze import Freeze
from crds.loadbalancer import LoadBalancer
from crds.messages import Assignment, Report
from crds.policy import Policy
from crds.service import Service
from crds.status import RolloutStatus
from crds.versionfile import VersionFile

Schema = dict[str, Any]

FILES: dict[str, type[BaseModel]] = {
    "fleet": Fleet,
    "service": Service,
    "loadbalancer": LoadBalancer,
    "version": VersionFile,
    "policy": Policy,
    "freeze": Freeze,
}
"""Kinds of files that people write."""
MESSAGES: dict[str, type[BaseModel]] = {"assignment": Assignment, "report": Report, "rolloutstatus": RolloutStatus}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DEFINITION = "#/$defs/"


def schemas() -> dict[str, Schema]:
    """Every schema by name, with names as files and messages write them."""
    found = {name: _schema(name, model) for name, model in (FILES | MESSAGES).items()}
    _let_overrides_be_partial(found["service"])
    return found


def _schema(name: str, model: type[BaseModel]) -> Schema:
    made = model.model_json_schema(by_alias=True, mode="validation")
    for shape in (made, *made.get("$defs", {}).values()):
        for field in shape.get("properties", {}).values():
            _as_written(field)
            if name in FILES:
                _close_keys(field)
    return {"$schema": _DIALECT, **made}


def _as_written(field: Schema) -> None:
    """Pydantic titles a field like its attribute, and gives defaults as they are held: 30.0 for 30s."""
    field.pop("title", None)
    if isinstance(field.get("default"), float) and field.get("type") == "string":
        field["default"] = format_duration(field["default"])
    elif "$ref" in field or field.get("default") is None:
        field.pop("default", None)


def _close_keys(field: Schema) -> None:
    """Pydantic says what keys look like, not that there are no others."""
    for option in (field, *field.get("anyOf", [])):
        if "patternProperties" in option:
            option["additionalProperties"] = False


def _let_overrides_be_partial(service: Schema) -> None:
    """An override has the fields of a ServiceSpec, none of them required; what stands in lists is whole."""
    definitions = service["$defs"]
    for name in sorted(_parts(definitions, "ServiceSpec")):
        partial = deepcopy(definitions[name])
        partial.pop("required", None)
        partial["title"] = _partial(name)
        for field in partial["properties"].values():
            field.pop("default", None)
            _refer_to_partials(field)
        definitions[_partial(name)] = partial
    overrides = definitions["ServiceSpec"]["properties"]["fleets"]
    partial = {"$ref": _DEFINITION + _partial("ServiceSpec")}
    overrides["patternProperties"] = dict.fromkeys(overrides["patternProperties"], partial)
    del definitions[_partial("ServiceSpec")]["properties"]["fleets"]


def _partial(name: str) -> str:
    return f"Partial{name}"


def _parts(definitions: Schema, name: str) -> set[str]:
    """A definition and those that its fields consist of, directly or in one of several alternatives."""
    found = {name}
    for field in definitions[name].get("properties", {}).values():
        for reference in _references(field):
            found |= _parts(definitions, reference)
    return found


def _references(field: Schema) -> Iterator[str]:
    for option in [field, *field.get("anyOf", []), *field.get("allOf", [])]:
        if "$ref" in option:
            yield option["$ref"].removeprefix(_DEFINITION)


def _refer_to_partials(field: Schema) -> None:
    for option in [field, *field.get("anyOf", []), *field.get("allOf", [])]:
        if "$ref" in option:
            option["$ref"] = _DEFINITION + _partial(option["$ref"].removeprefix(_DEFINITION))
