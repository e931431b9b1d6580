"""docs/SECURITY.md: every test that it names exists, and every threat and attack is there with tests."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from bus.envelope import Reason

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/SECURITY.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
THREATS = ("broker", "controller", "repository", "CI", "host", "balancer node", "operator")
ATTACKS = (
    "arbitrary software",
    "rollback",
    "fast-forward",
    "indefinite freeze",
    "mix-and-match",
    "replay",
    "endless data",
    "slow retrieval",
    "wrong recipient",
    "extraneous dependency",
    "key compromise",
)
"""The Update Framework's and Uptane's, and what messages add to them."""
_SHOWN = re.compile(r"`tests/[\w/]+\.py::\w+`")


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def section(heading: str) -> str:
    """The text below a heading, up to the next of the same or a higher level."""
    marks = heading.partition(" ")[0]
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{2,{len(marks)}}} |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"no section {heading}"
    return found[1]


def rows(text: str) -> list[str]:
    """Rows of tables, without their heads."""
    return [row for row in re.findall(r"^\| .*$", text, re.MULTILINE) if "| shown by |" not in row]


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{path}::{name}" for path, name in NAMED])
def test_what_the_page_names_exists(path: str, name: str) -> None:
    assert (ROOT / path).is_file()
    assert name in functions_of(path)
    assert name.startswith("test_")


def test_nothing_looks_like_a_test_and_is_none() -> None:
    assert PAGE.count("::") - PAGE.count("`file::test`") == len(_SHOWN.findall(PAGE))
    assert len(NAMED) > 80


@pytest.mark.parametrize("threat", [*(f"A compromised {name}" for name in THREATS), "A network attacker"])
def test_each_threat_says_both_and_shows_it(threat: str) -> None:
    text = section(f"### {threat}")
    assert "| he can | shown by |" in text
    assert "| he cannot" in text
    assert "**Do:**" in text
    assert len(rows(text)) >= 4
    assert [row for row in rows(text) if not _SHOWN.search(row)] == []


def test_there_are_no_other_threats() -> None:
    assert len(re.findall(r"^### ", section("## Threats"), re.MULTILINE)) == len(THREATS) + 1


def test_each_attack_is_in_the_catalogue_with_its_tests() -> None:
    """A cell that names no test says why."""
    table = [row for row in rows(section("## The attack catalogue")) if row.startswith("| **")]
    assert tuple(re.findall(r"^\| \*\*([\w -]+)\*\*", "\n".join(table), re.MULTILINE)) == ATTACKS
    cells = [cell for row in table for cell in row.strip("|").split(" | ")[1:]]
    assert len(cells) == 5 * len(ATTACKS)
    assert [cell for cell in cells if not _SHOWN.search(cell) and not cell.strip().startswith("- ")] == []


def test_each_reason_for_a_refusal_is_named() -> None:
    """What an operator sees counted."""
    assert [reason for reason in get_args(Reason) if f"`{reason}`" not in section("## What is seen")] == []


def test_what_it_says_is_logged_and_counted_is() -> None:
    sources = [path for name in ("controller", "agent", "bus") for path in (ROOT / name).rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    seen = section("## What is seen")
    said = set(re.findall(r"`drumbeat_(\w+?)(?:_total)?[`{]|`([a-z]+\.[a-z_]+|[A-Z]\w+|[a-z]+ [a-z ]{12,})`", seen))
    words = {word for pair in said for word in pair if word}
    assert {"refusals", "report.refused", "NodeDisputed", "refused an assignment"} <= words
    assert [word for word in sorted(words) if f'"{word}"' not in code and f'"drumbeat_{word}"' not in code] == []
