"""Characters that a reader of a file would not see, or would see elsewhere than they are."""

import re

_INVISIBLE = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters, but tab and line breaks
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # change the direction of text: a line may read otherwise than it is
    "\u2028\u2029"  # break lines in some programs and not in others
    "\ufeff\ufffe\uffff"  # byte order marks and what is no character
    "\ud800-\udfff"  # halves of characters
)
HIDDEN = re.compile(f"[{_INVISIBLE}]|\r(?!\n)")
"""What text may not contain. A carriage return alone would overwrite its line on a terminal."""

_NOT_ON_ONE_LINE = re.compile(f"[{_INVISIBLE}\r\n\t]")


def visible(text: str) -> str:
    """The text on one line, with what cannot be seen written as an escape."""
    return _NOT_ON_ONE_LINE.sub(lambda found: code_point(found.group()), text)


def code_point(character: str) -> str:
    """``U+202E``."""
    return f"U+{ord(character):04X}"


def describe(character: str) -> str:
    """What kind of hidden character it is, with its number."""
    number = ord(character)
    if number == 0:
        return "a NUL character"
    if number < 0xA0:
        return f"the control character {code_point(character)}"
    if number in (0x2028, 0x2029):
        return f"the line separator {code_point(character)}"
    if number >= 0xD800 and (number <= 0xDFFF or number >= 0xFEFF):
        return f"{code_point(character)}, which is no character"
    return f"{code_point(character)}, which changes the direction of text"
