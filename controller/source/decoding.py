"""From a file's bytes to text in which every character can be seen."""

import re

from controller.source.characters import HIDDEN, describe

MAX_BYTES = 1024 * 1024
"""Larger than any file that people keep by hand; a fleet of 5,000 hosts has about a third of it."""

_UTF_8 = "save the file as UTF-8 without a byte order mark"
_LINE_ENDS = "end lines with a line feed, or with a carriage return and a line feed"
_CONFLICT = re.compile(r"^(?:<{7}|>{7})(?: .*)?$", re.MULTILINE)


class Flaw(Exception):
    """What is wrong at one place of a file; lines and columns count from 1."""

    def __init__(self, message: str, hint: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.message, self.hint, self.line, self.column = message, hint, line, column


def decode(raw: bytes) -> str:
    """The file's text. Raises Flaw."""
    check_size(len(raw))
    _check_encoding(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode("utf-8")
        raise _flaw_at(good, len(good), f"the byte 0x{raw[error.start]:02X} is not UTF-8", _UTF_8) from None
    _check_characters(text)
    conflict = _CONFLICT.search(text)
    if conflict:
        hint = "choose one side and remove the lines with <<<<<<<, ======= and >>>>>>>"
        raise _flaw_at(text, conflict.start(), "a merge conflict was committed", hint)
    return text


def check_size(size: int) -> None:
    """Raises Flaw for a file that is too large to be read."""
    if size > MAX_BYTES:
        raise Flaw(
            f"the file has {size:,} bytes, more than {MAX_BYTES:,}", "split it, or keep what is no state elsewhere"
        )


def _check_encoding(raw: bytes) -> None:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Flaw("the file is UTF-16", _UTF_8, 1, 1)
    if raw.startswith(b"\xef\xbb\xbf"):
        raise Flaw("the file begins with a byte order mark", _UTF_8, 1, 1)
    if raw[:2].count(b"\0") == 1:
        raise Flaw("the file looks like UTF-16", _UTF_8, 1, 1)


def _check_characters(text: str) -> None:
    hidden = HIDDEN.search(text)
    if hidden:
        hint = _LINE_ENDS if hidden.group() == "\r" else "remove it"
        raise _flaw_at(text, hidden.start(), f"the file contains {describe(hidden.group())}", hint)


def _flaw_at(text: str, index: int, message: str, hint: str) -> Flaw:
    line_start = text.rfind("\n", 0, index) + 1
    return Flaw(message, hint, text.count("\n", 0, index) + 1, index - line_start + 1)
