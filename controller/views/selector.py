"""Label selectors: ``service=api,fleet!=staging``."""

import re
from collections.abc import Callable, Mapping

from controller.views.errors import QuestionError

Matches = Callable[[Mapping[str, str]], bool]
_TERM = re.compile(r"\s*([A-Za-z0-9_./-]+)\s*(==?|!=)\s*([A-Za-z0-9_.+@-]*)\s*")


def parse_selector(text: str) -> Matches:
    """What decides whether labels match every term; an empty text matches all.

    As in Kubernetes, ``key!=value`` also matches where the key is missing. Raises QuestionError.
    """
    terms = [_term(part, text) for part in text.split(",") if part.strip()]
    return lambda labels: all((labels.get(key) == value) is equal for key, equal, value in terms)


def _term(part: str, text: str) -> tuple[str, bool, str]:
    found = _TERM.fullmatch(part)
    if not found:
        raise QuestionError(
            f"{part.strip()!r} in selector {text!r} is not KEY=VALUE or KEY!=VALUE",
            "write terms with commas between, such as 'service=trading-api,fleet!=staging'",
        )
    return found[1], found[2] != "!=", found[3]
