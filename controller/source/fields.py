"""Which fields a resource has at a path, for advice on what to write instead."""

import difflib
import types
from collections.abc import Iterable
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from controller.source.problems import FieldPath


def fields_at(model: type[BaseModel], path: FieldPath) -> list[str]:
    """Names of the fields at a path, as files write them; none where there is no resource's part."""
    found = _models(model)
    for part in path:
        found = [inner for outer in found for inner in _step(outer, part)]
    return [
        info.alias or name
        for shape in found
        if isinstance(shape, type) and issubclass(shape, BaseModel)
        for name, info in shape.model_fields.items()
    ]


def near(wrong: str, known: Iterable[str]) -> str | None:
    """The name that was meant, most likely; also where words were joined in another way."""
    by_letters = {_letters(name): name for name in sorted(known)}
    close = difflib.get_close_matches(_letters(wrong), by_letters, n=1)
    return by_letters[close[0]] if close else None


def _letters(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _step(shape: Any, part: str | int) -> list[Any]:
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        by_alias = {info.alias or name: info.annotation for name, info in shape.model_fields.items()}
        return _models(by_alias[part]) if part in by_alias else []
    return _models(get_args(shape)[-1])


def _models(annotation: Any) -> list[Any]:
    """Models, lists and mappings that an annotation allows."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _models(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [shape for option in get_args(annotation) for shape in _models(option)]
    if origin in (list, dict) or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return [annotation]
    return []
