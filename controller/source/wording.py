"""From pydantic's errors to problems in a file: where, what, and what to write instead."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.source.fields import fields_at, near
from controller.source.problems import FieldPath

NAME_RULE = "write lower-case letters, digits and dashes, at most 63 characters"
PATTERNS = {
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$": ("a name", NAME_RULE),
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$": (
        "a host name",
        "write lower-case letters, digits, dashes and dots, such as vm1 or vm1.example.com",
    ),
    r"^[A-Za-z0-9_.:-]{1,128}$": ("a pool name", "write letters, digits and _ . : -, at most 128 of them"),
    r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$": (
        "a version",
        "write letters, digits and . _ + -, at most 128, beginning with a letter or digit",
    ),
    r"^[0-9a-f]{64}$": ("a SHA-256", "write 64 lower-case hexadecimal digits, as sha256sum prints them"),
    r"^[A-Za-z0-9]([A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?$": (
        "a label's name",
        "write letters, digits and _ . / -, at most 63, with a letter or digit at both ends",
    ),
    r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$": (
        "a label's value",
        "write letters, digits and _ . -, at most 63, with a letter or digit at both ends",
    ),
    r"^[0-9A-Za-z.:_-]{1,253}$": ("an address", "write an IP address or a DNS name, without port"),
    r"^(https?|file)://\S+$": ("a URL", "write https://, http:// or file://, and no spaces"),
    r"^https?://[^\s@/?#]+(/[^\s?#]*)?$": ("a URL", "write https:// or http:// without user, query and fragment"),
    r"^[!-9;-~]+$": ("a user", "write a name without spaces and colons"),
    r"^/[!-~]*$": ("a path of a URL", "write a path that begins with /, such as /health, without spaces"),
    r"^[A-Za-z_][A-Za-z0-9_]*$": ("a variable's name", "write letters, digits and _, not beginning with a digit"),
    r"^[a-z_][a-z0-9_-]{0,31}$": ("an account", "write a user name in lower case, such as trading"),
    r"^(ed25519:[0-9a-f]{64}|ssh-ed25519 [A-Za-z0-9+/]+=*( .*)?)$": (
        "a public key",
        "copy the line of the .pub file, which begins with ssh-ed25519, or write ed25519: and 64 hexadecimal digits",
    ),
}
"""What each pattern of crds/ stands for, and how to meet it."""

_KEY = "[key]"
_MISMATCHES = ("string_type", "int_type", "int_from_float", "dict_type", "list_type", "model_type", "float_type")


@dataclass(frozen=True)
class Complaint:
    """What is wrong at a field; ``about_name``: with its name, not with its value."""

    path: FieldPath
    message: str
    hint: str
    about_name: bool = False


def complaints(
    error: ValidationError, model: type[BaseModel], data: Any, originals: dict[FieldPath, str]
) -> list[Complaint]:
    """What pydantic found, once for each field, of the first thousand findings. ``originals`` as in Document."""
    by_field: dict[FieldPath, list[ErrorDetails]] = {}
    for found in error.errors(include_url=False)[:_MOST]:
        by_field.setdefault(_field(found, data), []).append(found)
    said = [_complaint(path, _telling(found), model, originals) for path, found in by_field.items()]
    meant = {(*path[:-1], near(str(path[-1]), fields_at(model, path[:-1]))) for path in _unknown(by_field)}
    return [complaint for complaint in said if not (complaint.message == _MISSING and complaint.path in meant)]


_MISSING = "this field is missing"
_MOST = 1000
"""What is meant by an unknown name takes a tenth of a millisecond to find, and a file may have a hundred thousand."""


def _unknown(by_field: dict[FieldPath, list[ErrorDetails]]) -> Iterable[FieldPath]:
    return [path for path, found in by_field.items() if found[0]["type"] == "extra_forbidden"]


def _field(found: ErrorDetails, data: Any) -> FieldPath:
    """The location without pydantic's own entries, which name the options of a union."""
    return tuple(_real_parts(found, data))


def _real_parts(found: ErrorDetails, data: Any) -> Iterator[str | int]:
    last = len(found["loc"]) - 1
    for number, part in enumerate(found["loc"]):
        missing = number == last and found["type"] == "missing"
        inside = isinstance(data, list) if isinstance(part, int) else isinstance(data, dict) and part in data
        if missing or inside:
            yield part
        if inside:
            data = data[part]


def _telling(found: list[ErrorDetails]) -> ErrorDetails:
    """Of a union's several errors, the one of the option that the value comes closest to."""
    return next((error for error in found if error["type"] not in _MISMATCHES), found[0])


def _complaint(
    path: FieldPath, found: ErrorDetails, model: type[BaseModel], originals: dict[FieldPath, str]
) -> Complaint:
    kind = found["type"]
    about_name = kind == "extra_forbidden" or found["loc"][-1:] == (_KEY,)
    if kind == "missing":
        said = _MISSING, _how_to_begin(path, model)
    elif kind == "extra_forbidden":
        said = "there is no such field", _advice(path, model)
    else:
        said = _wrong_value(found) or _wrong_type(kind, path, found["input"], model, originals)
    return Complaint(path, *said, about_name=about_name)


def _wrong_value(found: ErrorDetails) -> tuple[str, str] | None:
    """Message and hint for a value of the right type; None for one of a wrong type."""
    context, value = found.get("ctx", {}), found["input"]
    said: tuple[str, str] | None = None
    match found["type"]:
        case "literal_error":
            said = _literal(context["expected"], value)
        case "string_pattern_mismatch":
            meaning, hint = PATTERNS.get(context["pattern"], ("right", f"it must match {context['pattern']}"))
            said = f"{_quoted(value)} is not {meaning}", hint
        case "value_error":
            said = _sentence(found["msg"])
        case "greater_than_equal":
            said = f"{value} is too small", f"write {context['ge']} or more"
        case "less_than_equal":
            said = f"{value} is too large", f"write {context['le']} or less"
        case "too_short" | "string_too_short":
            said = "this must not be empty", "write at least one, or leave the field out"
        case "too_long" | "string_too_long":
            said = "this is too long", f"write at most {context['max_length']}"
    return said


def _how_to_begin(path: FieldPath, model: type[BaseModel]) -> str:
    name = path[-1]
    if path == ("apiVersion",):
        return "write apiVersion: drumbeat/v1alpha1"
    if path == ("kind",):
        return f"write kind: {model.__name__}"
    inner = fields_at(model, path)
    return f"write {name}: with {', '.join(inner)} in it" if inner else f"write {name}: and its value"


def _advice(path: FieldPath, model: type[BaseModel]) -> str:
    known = fields_at(model, path[:-1])
    meant = near(str(path[-1]), known)
    return f"did you mean {meant}?" if meant else f"the fields here are {', '.join(known)}"


def _literal(expected: str, value: Any) -> tuple[str, str]:
    options = expected.replace("'", "").replace(" or ", ", ").split(", ")
    meant = near(str(value), options)
    if meant and len(options) > 1:
        return f"{_quoted(value)} is not known here", f"did you mean {meant}?"
    return f"{_quoted(value)} is not known here", f"write {' or '.join(options)}"


def _sentence(message: str) -> tuple[str, str]:
    """Messages of crds/ say what is wrong, then what to write, divided by a semicolon."""
    wrong, _, hint = message.removeprefix("Value error, ").rpartition("; ")
    if wrong:
        return wrong, hint
    return ("something is missing", hint) if hint.startswith("write ") else (hint, "")


def _wrong_type(
    kind: str, path: FieldPath, value: Any, model: type[BaseModel], originals: dict[FieldPath, str]
) -> tuple[str, str]:
    name = f"{path[-1]}: " if path and isinstance(path[-1], str) else ""
    if value is None:
        return "this field is empty", "write its value, or leave the field out"
    if kind == "string_type" and path in originals:
        return f"{originals[path]} is {_called(value)}, not text", f'write {name}"{originals[path]}"'
    if kind in ("int_type", "int_from_float") and isinstance(value, str) and value.isascii() and value.isdigit():
        return f'"{value}" is text, not a number', f"write {name}{value}"
    if kind == "list_type" and isinstance(value, str | int | float):
        return "this must be a list", f"write {name}[{json.dumps(value)}]"
    if kind in ("dict_type", "model_type"):
        inner = fields_at(model, path)
        return (
            f"{_called(value)} cannot stand here",
            f"write fields{': ' + ', '.join(inner) if inner else ' and values'}",
        )
    wanted = {
        "string_type": ("text", "write it in quotes"),
        "int_type": ("a whole number", "write digits only"),
        "int_from_float": ("a whole number", "write digits only"),
        "float_type": ("a duration", 'write a number with a unit, such as "30s"'),
        "list_type": ("a list", "write each entry on a line that begins with '- '"),
    }.get(kind, ("this", "see the schema: drumbeat schema"))
    return f"{_called(value)} cannot stand here; {wanted[0]} can", wanted[1]


def _called(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "nothing")


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text if len(text) <= 60 else text[:57] + "...", ensure_ascii=False)
