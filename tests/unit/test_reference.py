"""The reference of the state files says what the models say."""

from pathlib import Path
from typing import Any

import pytest

from controller.source.reference import kinds_of, tables, with_tables
from crds.schema import FILES, schemas

PAGE = Path(__file__).parents[2] / "docs/state-directory.md"
FRAME = {"apiVersion", "kind", "metadata"}


def test_the_page_is_current() -> None:
    """If not: make reference."""
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page) == page
    assert set(kinds_of(page)) == FILES.keys()


def test_a_table_that_is_not_current_is_noticed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page.replace("| `soak` |", "| `soap` |")) == page


@pytest.mark.parametrize("kind", FILES)
def test_every_field_has_its_row(kind: str) -> None:
    schema: dict[str, Any] = schemas()[kind]
    shapes = [shape for name, shape in schema.get("$defs", {}).items() if not name.startswith(("Partial", "Metadata"))]
    shapes += [] if "spec" in schema["properties"] else [schema]
    made = tables(schema)
    for shape in shapes:
        for field in shape["properties"].keys() - (FRAME if shape is not schema else set()):
            assert f"| `{field}` |" in made
    assert made.count("\n| `") == sum(len(shape["properties"]) for shape in shapes)


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("service", "| `soak` | duration | `0s` | a host must stay healthy online for this long |"),
        ("service", "| `maxUnavailable` | number of hosts, or percentage | `25%` |"),
        ("service", "| `port` | integer, from 1 to 65535 | **required** | the service's port on each host |"),
        ("service", "| `onTimeout` | `hold` or `close` | `hold` |"),
        ("fleet", "| `zone` | text | none |"),
        ("loadbalancer", "| `pools` | map: `Pool` | **required** |"),
        ("version", "| `sha256` | text or map: text | none |"),
    ],
)
def test_a_row_says_type_and_default(kind: str, row: str) -> None:
    assert row in tables(schemas()[kind])
