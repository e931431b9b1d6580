"""What an unquoted scalar means: YAML 1.2's core schema, and refusal where YAML 1.1 would read something else.

Many programs that people use on the same files (Ruby's Psych, SnakeYAML, PyYAML) read YAML 1.1, in which ``no`` is
false, ``1_000`` a thousand, ``1:30`` ninety and ``010`` eight. What two readers would take differently is refused.
"""

import math
import re

from controller.source.decoding import Flaw

Scalar = str | int | float | bool | None

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_OTHERWISE = (
    ("a boolean", re.compile(r"y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF")),
    ("a date", re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?")),
    ("a number in base 60", re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")),
    ("a number in another base", re.compile(r"[-+]?0(?:x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+|[0-9_]+)")),
    ("a number", re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?")),
    ("no number", re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")),
    ("a default value", re.compile(r"=")),
)
_MOST_DIGITS = 15
"""As many as a double holds exactly."""


def resolve(text: str) -> Scalar:
    """The value of an unquoted scalar. Raises Flaw, without a place, for what other readers of YAML take otherwise."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(_exact(text))
    if _FLOAT.fullmatch(text):
        return float(_exact(text))
    for meaning, pattern in _OTHERWISE:
        if pattern.fullmatch(text):
            raise Flaw(f"some programs read {text} as {meaning}", f'write "{text}" for text')
    return text


def _exact(text: str) -> str:
    """Refuse what programs round, each in its own way."""
    if len(text) > _MOST_DIGITS or not math.isfinite(float(text)):
        raise Flaw(f"the number {text[:20]} is too long or too large", f'write "{text[:20]}" for text')
    return text
