"""Every input that is wrong as YAML, and what is said about it. These tables document the messages."""

import pytest

from controller.source.entries import FileEntry
from tests.support.bad_input import Case
from tests.support.state_files import VERSION, read, spoiled

V = "versions/prod/api.yaml"
BOMB = """\
a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
d: [*c, *c]
"""

CASES = [
    Case(
        "not YAML",
        {V: "version: [1\n"},
        "versions/prod/api.yaml:2:1: error: this is not YAML: did not find expected ',' or ']' (check "
        "quotes, colons and indentation)",
    ),
    Case(
        "a tab",
        {V: "a:\n\tb: 1\n"},
        "versions/prod/api.yaml:2:1: error: this is not YAML: found character that cannot start any token "
        "(indent with spaces, not tabs)",
    ),
    Case(
        "an empty file",
        {V: ""},
        "versions/prod/api.yaml:1:1: error: the file is empty (write a resource into it, or remove the file)",
    ),
    Case(
        "comments only",
        {V: "# later\n"},
        "versions/prod/api.yaml:1:1: error: the file is empty (write a resource into it, or remove the file)",
    ),
    Case(
        "several documents",
        {V: VERSION + '---\nversion: "2"\n'},
        "versions/prod/api.yaml:4:1: error: a second document begins here (one file holds one resource; "
        "move it into a file of its own)",
    ),
    Case(
        "a duplicate key",
        {V: VERSION + 'version: "2"\n'},
        "versions/prod/api.yaml:4:1: error: version: written twice, first in line 2 (remove one of them)",
    ),
    Case(
        "an alias bomb",
        {V: BOMB},
        "versions/prod/api.yaml:3:40: error: aliases stand for more than 1,000 values (write the values out)",
    ),
    Case(
        "an alias of nothing",
        {V: "version: *v\n"},
        "versions/prod/api.yaml:1:10: error: the alias *v has no anchor before it (write the value out)",
    ),
    Case(
        "an alias within itself",
        {V: "version: &v [*v]\n"},
        "versions/prod/api.yaml:1:14: error: the alias *v stands for what it is part of (write the value out)",
    ),
    Case(
        "nested too deep",
        {V: "version: " + "[" * 1000 + "]" * 1000},
        "versions/prod/api.yaml:1:60: error: nested deeper than 50 levels (nothing in desired state is; flatten it)",
    ),
    Case(
        "a file that was not read for its size",
        {V: FileEntry("blob", None, 10_000_000)},
        "versions/prod/api.yaml: error: the file has 10,000,000 bytes, more than 1,048,576 (split it, or "
        "keep what is no state elsewhere)",
    ),
    Case(
        "ten megabytes",
        {V: b"#" * 10_000_000},
        "versions/prod/api.yaml: error: the file has 10,000,000 bytes, more than 1,048,576 (split it, or "
        "keep what is no state elsewhere)",
    ),
    Case(
        "UTF-16",
        {V: VERSION.encode("utf-16")},
        "versions/prod/api.yaml:1:1: error: the file is UTF-16 (save the file as UTF-8 without a byte order mark)",
    ),
    Case(
        "UTF-16 without a mark",
        {V: VERSION.encode("utf-16-le")},
        "versions/prod/api.yaml:1:1: error: the file looks like UTF-16 (save the file as UTF-8 without a "
        "byte order mark)",
    ),
    Case(
        "a byte order mark",
        {V: VERSION.encode("utf-8-sig")},
        "versions/prod/api.yaml:1:1: error: the file begins with a byte order mark (save the file as UTF-8 "
        "without a byte order mark)",
    ),
    Case(
        "NUL",
        {V: VERSION.replace("1.0.0", "1.0\0")},
        "versions/prod/api.yaml:2:14: error: the file contains a NUL character (remove it)",
    ),
    Case(
        "not UTF-8",
        {V: "# über\n".encode("latin-1")},
        "versions/prod/api.yaml:1:3: error: the byte 0xFC is not UTF-8 (save the file as UTF-8 without a "
        "byte order mark)",
    ),
    Case(
        "a control character",
        {V: VERSION.replace("1.0.0", "1\x1b[2K")},
        "versions/prod/api.yaml:2:12: error: the file contains the control character U+001B (remove it)",
    ),
    Case(
        "a bidirectional character",
        {V: VERSION.replace("1.0.0", "1\u202e.0")},
        "versions/prod/api.yaml:2:12: error: the file contains U+202E, which changes the direction of text (remove it)",
    ),
    Case(
        "a bidirectional character, escaped",
        {V: VERSION.replace("1.0.0", "1\\u202e.0")},
        "versions/prod/api.yaml:2:10: error: version: the text contains U+202E, which changes the "
        "direction of text (remove it)",
    ),
    Case(
        "a carriage return alone",
        {V: "version: 1\rversion: 2"},
        "versions/prod/api.yaml:1:11: error: the file contains the control character U+000D (end lines "
        "with a line feed, or with a carriage return and a line feed)",
    ),
    Case(
        "a merge conflict",
        {V: '<<<<<<< HEAD\nversion: "1"\n=======\n'},
        "versions/prod/api.yaml:1:1: error: a merge conflict was committed (choose one side and remove the "
        "lines with <<<<<<<, ======= and >>>>>>>)",
    ),
    Case(
        "a tag",
        spoiled(V, '"1.0.0"', "!python/object:os.system x"),
        "versions/prod/api.yaml:2:10: error: version: the tag !python/object:os.system is not allowed "
        "(remove it, and quote what is text)",
    ),
    Case(
        "a key that is a number",
        {V: VERSION + "1: x\n"},
        'versions/prod/api.yaml:4:1: error: the key 1 is not text (write "1" in quotes)',
    ),
    Case(
        "a key that is a list",
        {V: VERSION + "[a]: x\n"},
        "versions/prod/api.yaml:4:1: error: a key is not plain text (write a name before the colon)",
    ),
    Case(
        "a merge key",
        {V: VERSION + "<<: {a: 1}\n"},
        "versions/prod/api.yaml:4:1: error: merge keys are not read (write the fields out)",
    ),
    Case(
        "a list instead of a resource",
        {V: "- version\n"},
        "versions/prod/api.yaml:1:1: error: this is no resource (write its fields: apiVersion, version, "
        "sha256, state, profile, breakGlass)",
    ),
    Case(
        "a version that is a number",
        spoiled(V, '"1.0.0"', "1.10"),
        'versions/prod/api.yaml:2:10: error: version: 1.10 is a number, not text (write version: "1.10")',
    ),
    Case(
        "a version that is a boolean for some",
        spoiled(V, '"1.0.0"', "no"),
        'versions/prod/api.yaml:2:10: error: version: some programs read no as a boolean (write "no" for text)',
    ),
    Case(
        "a version that is a boolean",
        spoiled(V, '"1.0.0"', "true"),
        'versions/prod/api.yaml:2:10: error: version: true is a boolean, not text (write version: "true")',
    ),
    Case(
        "a version that is a date",
        spoiled(V, '"1.0.0"', "2024-10-01"),
        "versions/prod/api.yaml:2:10: error: version: some programs read 2024-10-01 as a date (write "
        '"2024-10-01" for text)',
    ),
    Case(
        "a version with an underscore",
        spoiled(V, '"1.0.0"', "1_000"),
        'versions/prod/api.yaml:2:10: error: version: some programs read 1_000 as a number (write "1_000" for text)',
    ),
    Case(
        "a version that is octal for some",
        spoiled(V, '"1.0.0"', "010"),
        "versions/prod/api.yaml:2:10: error: version: some programs read 010 as a number in another base "
        '(write "010" for text)',
    ),
    Case(
        "a version in base 60",
        spoiled(V, '"1.0.0"', "12:30"),
        "versions/prod/api.yaml:2:10: error: version: some programs read 12:30 as a number in base 60 "
        '(write "12:30" for text)',
    ),
    Case(
        "a version that is empty",
        spoiled(V, '"1.0.0"', ""),
        "versions/prod/api.yaml:1:1: error: something is missing (write version and sha256, or state: "
        "absent to remove the service)",
    ),
    Case(
        "a number that programs round",
        spoiled(V, '"1.0.0"', "9007199254740993"),
        "versions/prod/api.yaml:2:10: error: version: the number 9007199254740993 is too long or too large "
        '(write "9007199254740993" for text)',
    ),
    Case(
        "a number out of range",
        spoiled(V, '"1.0.0"', "1e999"),
        "versions/prod/api.yaml:2:10: error: version: the number 1e999 is too long or too large "
        '(write "1e999" for text)',
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(case: Case) -> None:
    case.check()


def test_a_large_file_is_refused_at_once_and_never_parsed() -> None:
    """A gigabyte that was not read says so just the same."""
    result = read({V: FileEntry("blob", None, 2**30)})

    assert "1,073,741,824 bytes" in str(result.problems[0])
