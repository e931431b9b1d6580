"""Bytes, and JSON, of which a few parts are replaced by anything."""

import json
from typing import Any

from hypothesis import strategies as st

texts = st.one_of(st.text(max_size=20), st.sampled_from(["\ud800", "\0", "9" * 5000, "1e999", "2026-01-01", "a@b"]))
numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([2**53, -1, 10**400, float("nan")]))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a tree."""
    pairs = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    return [found for key, each in pairs for found in [(value, key), *places(each)]]


def changed(said: str, data: st.DataObject) -> bytes:
    """The JSON with a few of its parts replaced by anything."""
    tree = json.loads(said)
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(tree)))
        container[key] = data.draw(values)
    return json.dumps(tree).encode()


def with_bytes(text: str | bytes) -> st.SearchStrategy[bytes]:
    """The text with a few bytes of it replaced by any."""
    raw = text.encode() if isinstance(text, str) else text

    def put(said: tuple[int, bytes, int]) -> bytes:
        at, noise, instead = said
        return raw[:at] + noise + raw[at + instead :]

    return st.tuples(st.integers(0, len(raw)), st.binary(max_size=12), st.integers(0, 12)).map(put)
