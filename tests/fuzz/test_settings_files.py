"""Any file that an operator writes is understood or refused in words: at most 10 s and 128 MiB for one of 1 MiB."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.settings import BadSettings, read_settings
from tests.fuzz.budget import bounded, fuzzed
from tests.support.state_files import GOOD, read

SECONDS, MEBIBYTES = 10, 128


def agent_settings(text: bytes) -> None:
    with TemporaryDirectory() as folder, bounded(SECONDS, MEBIBYTES):
        path = Path(folder) / "agent.yaml"
        path.write_bytes(text)
        try:
            read_settings(path)
        except BadSettings as bad:
            assert "agent.yaml" in str(bad)
            str(bad).encode()


def state_file(path: str) -> Callable[[bytes], None]:
    def look(text: bytes) -> None:
        with bounded(SECONDS, MEBIBYTES):
            for problem in read({path: text}).problems:
                str(problem).encode()

    return look


READERS: dict[str, Callable[[bytes], None]] = {
    "agent.yaml": agent_settings,
    **{path: state_file(path) for path in GOOD},
}
SETTINGS = {
    "node": "h1",
    "bus": "https://a.example.com",
    "credentials": "c",
    "state": "s",
    "host": {"archive": {"keep": 3}},
    "runner": {"scripts": "x"},
    "secrets": {"a": {"file": "f"}, "b": {"command": ["x", "y"], "timeout": "3s"}, "c": {"environment": "E"}},
    "artifacts": [{"prefix": "https://a.example.com/", "user": "u", "password": "a", "ca": "ca.pem"}],
}
TEXTS = {"agent.yaml": yaml.safe_dump(SETTINGS), **GOOD}


def nested(open_it: str, close_it: str, times: int) -> bytes:
    return (open_it * times + close_it * times).encode()


def aliases(each: str, times: int) -> bytes:
    lines = [f"a{n}: &a{n} {each.format(n - 1)}" for n in range(1, times)]
    return "\n".join(["a0: &a0 {x: 1}", *lines]).encode()


HEAVY: dict[str, bytes] = {
    "deep": nested("[", "]", 500_000),
    "deep objects": nested("{a: ", "}", 200_000),
    "deep by indentation": "".join(f"{' ' * n}a:\n" for n in range(1400)).encode(),
    "aliases of aliases": (
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    ).encode(),
    "an alias of nothing": b"*a",
    "an alias of itself": b"a: &a [*a]\nb: &b {c: *b}\n",
    "merged aliases": (
        "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 30))
    ).encode(),
    "one long number": b"node: " + b"9" * 1_000_000,
    "one long base 60": b"node: " + b"1" + b":59" * 300_000,
    "one long word": b"node: " + b"x" * 1_000_000,
    "many keys": "".join(f"k{n}: 1\n" for n in range(20_000)).encode(),
    "many documents": b"---\na: 1\n" * 50_000,
    "an object of the language": b"!!python/object/apply:os.system ['true']",
    "binary": b"node: !!binary AAAA\nstate: !!set {a}\n",
    "dates": b"node: 2001-99-99\nstate: 2001-02-30T99:99:99Z\n",
    "no text": b"\xff\xfe\x00\x00a",
    "surrogates": b'node: "\\ud800"\nbus: "\\uDFFF"\n',
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", HEAVY)
def test_what_is_heavy_or_odd_is_refused_soon(reader: str, name: str) -> None:
    READERS[reader](HEAVY[name])


words = st.sampled_from(
    ["secrets", "file", "command", "name", "spec", "*a", "&a", "<<", "prefix", "25%", "30s", "~", "1.10"]
)
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words, st.text(max_size=8))
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | leaves, inner, max_size=4),
    max_leaves=12,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    pairs = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    return [found for key, each in pairs for found in [(value, key), *places(each)]]


@pytest.mark.parametrize("reader", READERS)
@fuzzed
@given(st.data())
def test_any_part_replaced(reader: str, data: st.DataObject) -> None:
    tree = yaml.safe_load(TEXTS[reader])
    container, key = data.draw(st.sampled_from(places(tree)))
    container[key] = data.draw(trees)
    READERS[reader](yaml.safe_dump(tree).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("reader", READERS)
@fuzzed
@given(st.data())
def test_any_bytes_put_in(reader: str, data: st.DataObject) -> None:
    text = TEXTS[reader].encode()
    at = data.draw(st.integers(0, len(text)))
    READERS[reader](text[:at] + data.draw(st.binary(max_size=12)) + text[at + data.draw(st.integers(0, 12)) :])
