"""Tables of fields for docs/state-directory.md, made from the JSON Schemas.

``python -m controller.source.reference FILE`` writes them anew between the marks in the file.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crds.schema import FILES, schemas

Schema = dict[str, Any]

_MARKS = re.compile(r"(<!-- fields of (\w+), written by make reference -->\n).*?(<!-- end of fields -->)", re.DOTALL)
_DEFINITION = "#/$defs/"
_FRAME = ("apiVersion", "kind", "metadata")
"""Fields that resources with a kind share; the page explains them once."""


def with_tables(page: str) -> str:
    """The page with the tables between its marks made anew. Raises KeyError for a mark of no kind."""
    made = schemas()
    return _MARKS.sub(lambda found: f"{found[1]}\n{tables(made[found[2]])}\n{found[3]}", page)


def kinds_of(page: str) -> list[str]:
    """The kinds that the page has marks for, in its order."""
    return [found[2] for found in _MARKS.finditer(page)]


def tables(schema: Schema) -> str:
    """One table for the resource, and one for each part of it, in the order in which they are first named."""
    definitions = schema.get("$defs", {})
    if "spec" not in schema["properties"]:
        return "\n".join([_table("", schema), *(_table(f"`{n}`", shape) for n, shape in definitions.items())])
    names = _parts(definitions, schema["properties"]["spec"]["$ref"].removeprefix(_DEFINITION))
    first, *others = names
    return "\n".join([_table("`spec`", definitions[first]), *(_table(f"`{n}`", definitions[n]) for n in others)])


def _parts(definitions: Schema, name: str) -> list[str]:
    found = [name]
    for field in definitions[name]["properties"].values():
        for inner in _references(field):
            # A part of a part comes right after it; the partial copies are for editors alone.
            if not inner.startswith("Partial"):
                found += [each for each in _parts(definitions, inner) if each not in found]
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].removeprefix(_DEFINITION)
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _table(title: str, shape: Schema) -> str:
    required = shape.get("required", [])
    rows = [
        f"| `{name}` | {_type(field)} | {_default(field, name in required)} | {_cell(field.get('description', ''))} |"
        for name, field in shape["properties"].items()
        if name not in _FRAME or not title
    ]
    about = " ".join(_cell(shape.get("description", "")).split())
    head = [
        f"**{title}**: {about}" if title else about,
        "",
        "| field | type | default | meaning |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, ""])


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def _default(field: Schema, required: bool) -> str:
    if required:
        return "**required**"
    return f"`{_written(field['default'])}`" if "default" in field else "none"


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(str(each) for each in value)}]"
    return str(value)


def _type(field: Schema) -> str:
    """A field's type in words."""
    if "$ref" in field:
        return f"`{field['$ref'].removeprefix(_DEFINITION)}`"
    if "anyOf" in field:
        words = [_type(each) for each in field["anyOf"] if each.get("type") != "null"]
        return "number of hosts, or percentage" if words == ["integer, from 1", "text"] else " or ".join(words)
    if "enum" in field or "const" in field:
        return " or ".join(f"`{each}`" for each in field.get("enum", [field.get("const")]))
    if field["type"] == "array":
        return f"list: {_type(field['items'])}"
    if field["type"] == "object":
        return _mapping(field)
    return "duration" if "30s" in field.get("examples", []) else _plain(field)


def _mapping(field: Schema) -> str:
    values = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
    inner = next((_type(value) for value in values if isinstance(value, dict)), "anything")
    return f"map: {inner.replace('PartialServiceSpec', 'spec')}"


def _plain(field: Schema) -> str:
    if field["type"] == "string":
        return "text"
    bounds = [f"{word} {field[key]}" for word, key in (("from", "minimum"), ("to", "maximum")) if key in field]
    return ", ".join(filter(None, [field["type"], " ".join(bounds)]))


def main() -> None:
    """Write the tables of the file that is named on the command line."""
    path = Path(sys.argv[1])
    page = path.read_text(encoding="utf-8")
    missing = FILES.keys() - set(kinds_of(page))
    if missing:
        raise SystemExit(f"{path}: has no marks for {', '.join(sorted(missing))}; see controller/source/reference.py")
    path.write_text(with_tables(page), encoding="utf-8")


if __name__ == "__main__":
    main()
