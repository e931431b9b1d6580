"""One file at a time: from its bytes to a resource, with every problem in it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from controller.source.decoding import Flaw, check_size
from controller.source.entries import FileEntry
from controller.source.layout import LAYOUT, Kind, Place
from controller.source.problems import FieldPath, Problem
from controller.source.strict_yaml import Document, load
from controller.source.wording import complaints
from crds.base import FileModel
from crds.fleet import Fleet
from crds.freeze import Freeze
from crds.loadbalancer import LoadBalancer
from crds.policy import Policy
from crds.service import Service, ServiceSpec
from crds.versionfile import VersionFile
from reconcilers.overrides import overlay

MODELS: dict[Kind, type[FileModel]] = {
    "Fleet": Fleet,
    "Service": Service,
    "LoadBalancer": LoadBalancer,
    "Version": VersionFile,
    "Policy": Policy,
    "Freeze": Freeze,
}
_Model = TypeVar("_Model", bound=BaseModel)
_MOST_PROBLEMS = 100
"""In one file: more would bury the first, which often is the cause."""


@dataclass(frozen=True)
class Loaded:
    """A file that holds a resource; ``model`` is None where anything in it is wrong."""

    place: Place
    document: Document
    model: FileModel | None
    problems: list[Problem]


def load_resource(place: Place, entry: FileEntry) -> Loaded:
    """Read and validate one file."""
    document = _document(place, entry)
    problems = list(document.problems)
    model = None
    if document.readable:
        model, wrong = validated(MODELS[place.kind], document, place)
        said = {(problem.line, problem.column) for problem in problems}
        problems += [problem for problem in wrong if (problem.line, problem.column) not in said]
    if isinstance(model, Service):
        problems += _override_problems(model, document)
    if len(problems) > _MOST_PROBLEMS:
        rest = Problem("error", place.path, "it has more problems", "mend the first ones")
        problems = [*problems[:_MOST_PROBLEMS], rest]
    return Loaded(place, document, None if problems else model, problems)


def unread(place: Place) -> Loaded:
    """A file that is there, and not looked into."""
    return Loaded(place, Document(place.path), None, [])


def _document(place: Place, entry: FileEntry) -> Document:
    try:
        check_size(entry.size)
    except Flaw as flaw:
        return Document(place.path, problems=[Problem("error", place.path, flaw.message, flaw.hint)])
    return load(place.path, entry.data or b"")


def validated(model: type[FileModel], document: Document, place: Place) -> tuple[FileModel | None, list[Problem]]:
    """The resource that a document holds, or what keeps it from being one."""
    data = document.data
    if not isinstance(data, dict):
        fields = ", ".join(info.alias or name for name, info in model.model_fields.items())
        return None, [document.problem((), "this is no resource", f"write its fields: {fields}")]
    stranger = next((kind for kind in LAYOUT if kind == data.get("kind")), place.kind)
    if "kind" in model.model_fields and stranger != place.kind:
        hint = f"a {place.kind} belongs here; move this file to {LAYOUT[stranger]}"
        return None, [document.problem(("kind",), f"a {stranger} cannot lie here", hint)]
    return _parsed(model, data, document)


def _parsed(model: type[FileModel], data: Any, document: Document) -> tuple[FileModel | None, list[Problem]]:
    try:
        return parse(model, data), []
    except ValidationError as error:
        said = complaints(error, model, data, document.originals)
        return None, [document.problem(each.path, each.message, each.hint, each.about_name) for each in said]


def parse(model: type[_Model], data: Any) -> _Model:
    """Validate plain data as a file would be. Raises ValidationError."""
    return model.model_validate_json(json.dumps(data), by_alias=True, by_name=False)


def _override_problems(service: Service, document: Document) -> Iterator[Problem]:
    """Each fleet's override must make a valid spec; the spec alone is valid, so what is wrong lies in the override."""
    spec = {name: value for name, value in document.data["spec"].items() if name != "fleets"}
    for fleet, override in service.spec.fleets.items():
        at: FieldPath = ("spec", "fleets", fleet)
        if "fleets" in override:
            yield document.problem((*at, "fleets"), "overrides cannot hold overrides", "move it one level up", key=True)
            continue
        merged = overlay(spec, override)
        originals = {path[3:]: text for path, text in document.originals.items() if path[:3] == at}
        try:
            parse(ServiceSpec, merged)
        except ValidationError as error:
            for each in complaints(error, ServiceSpec, merged, originals):
                yield document.problem((*at, *each.path), each.message, each.hint, each.about_name)
