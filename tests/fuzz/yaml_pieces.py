"""YAML documents as pieces that can be spoiled as data cannot be: keys twice, anchors, tags, words as they are written.

A piece is a list of [key, piece] pairs under "map", a list of pieces under "list", or a word as it is written under
"word"; ``before`` is what stands before it, such as an anchor or a tag.
"""

import json
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis import strategies as st


@dataclass
class Piece:
    """One node of a document."""

    kind: Literal["map", "list", "word"]
    pairs: list[tuple[str, "Piece"]] = field(default_factory=list)
    """Of a map; of a list with empty keys."""
    word: str = ""
    before: str = ""


def pieces(value: Any) -> Piece:
    """What plain data is made of."""
    if isinstance(value, dict):
        return Piece("map", [(json.dumps(key), pieces(each)) for key, each in value.items()])
    if isinstance(value, list):
        return Piece("list", [("", pieces(each)) for each in value])
    return Piece("word", word=json.dumps(value))


def written(piece: Piece) -> str:
    """As text, in the flow style: it can hold whatever the block style can."""
    if piece.kind == "word":
        return piece.before + piece.word
    inner = [f"{key}: {written(each)}" if piece.kind == "map" else written(each) for key, each in piece.pairs]
    return piece.before + ("{%s}" if piece.kind == "map" else "[%s]") % ",\n ".join(inner)


def in_lines(piece: Piece) -> str:
    """The same with the outermost fields one a line, as people write them."""
    if piece.kind != "map" or piece.before:
        return written(piece) + "\n"
    return "".join(f"{key}: {written(each)}\n" for key, each in piece.pairs)


def _all(piece: Piece) -> list[Piece]:
    return [piece, *(found for _, each in piece.pairs for found in _all(each))]


ODD = [
    *["", "~", "null", "no", "Yes", "1.10", "1e999", "-0", "0x1F", "010", "1_000", "1:30", ".inf", ".NaN", "=", "<<"],
    *["9" * 20, "9" * 5000, "1" + "0" * 400, "0.1e-400", "-1", "1e3", "0.5", "65536", "25%", "0%", "30s", "2026-02-30"],
    *["*a", "*b", "&a", "!!binary AAAA", "!x y", "? a", "- a", "|\n a", ">-\n  a", "'a", '"a', "%TAG", "---", "..."],
    *[
        '"\\0"',
        '"\\ud800"',
        '"\\x1b[31m"',
        '"\\u202e"',
        '"\\u2028"',
        '"\\r"',
        '"a\\nb"',
        "\t",
        "\x07",
        "\x85",
        "\ufeff",
    ],
    *['"{version}"', '"{host}"', '"{{version}}"', '"{"', '"../../etc"', '"con"', '"a/b"', '"A"', "x" * 5000],
    *["\U0001f0a1", "\u0661", "\u00e9", "e\u0301", "\ufb01", "{}", "[]", "[[[]]]", "{a: {b: {}}}", "true", "True", "x"],
    "9" * 400 + "s",
]
"""Words that readers take in different ways, or that nobody expects there."""
words = st.one_of(
    st.sampled_from(ODD), st.integers().map(str), st.text(max_size=6), st.text(max_size=6).map(json.dumps)
)


def documents(good: list[Any], most: int = 4) -> st.SearchStrategy[str]:
    """One of the good documents, spoiled in up to ``most`` ways."""

    @st.composite
    def spoiled(draw: st.DrawFn) -> str:
        document = pieces(draw(st.sampled_from(good)))
        others = [piece for value in good for piece in _all(pieces(value))]
        for _ in range(draw(st.integers(1, most))):
            _spoil(draw, document, others)
        return draw(st.sampled_from([written, in_lines]))(document)

    return spoiled()


def _spoil(draw: st.DrawFn, document: Piece, others: list[Piece]) -> None:
    everywhere = _all(document)
    piece = draw(st.sampled_from(everywhere))
    within = [each for each in everywhere if each.pairs]
    parent = draw(st.sampled_from(within)) if within else piece
    at = draw(st.integers(0, max(0, len(parent.pairs) - 1)))
    how = draw(st.sampled_from([*_INSIDE, *_OF_ONE]))
    if how in _INSIDE and parent.pairs:
        _INSIDE[how](draw, parent.pairs, at)
    elif how in _OF_ONE:
        _OF_ONE[how](draw, piece, others)


def _drop(_: st.DrawFn, pairs: list[tuple[str, Piece]], at: int) -> None:
    del pairs[at]


def _repeat(draw: st.DrawFn, pairs: list[tuple[str, Piece]], at: int) -> None:
    pairs[at:at] = [deepcopy(pairs[at]) for _ in range(draw(st.sampled_from([1, 2, 30])))]


def _rename(draw: st.DrawFn, pairs: list[tuple[str, Piece]], at: int) -> None:
    names = st.sampled_from([key for key, _ in pairs]) | words
    pairs[at] = (draw(names), pairs[at][1])


def _swap(draw: st.DrawFn, pairs: list[tuple[str, Piece]], at: int) -> None:
    other = draw(st.integers(0, len(pairs) - 1))
    pairs[at], pairs[other] = (pairs[at][0], pairs[other][1]), (pairs[other][0], pairs[at][1])


def _word(draw: st.DrawFn, piece: Piece, _: list[Piece]) -> None:
    piece.kind, piece.pairs, piece.word = "word", [], draw(words)


def _other(draw: st.DrawFn, piece: Piece, others: list[Piece]) -> None:
    """Put something in its place that is right elsewhere."""
    other = deepcopy(draw(st.sampled_from(others)))
    piece.kind, piece.pairs, piece.word = other.kind, other.pairs, other.word


def _nest(draw: st.DrawFn, piece: Piece, _: list[Piece]) -> None:
    kind: Literal["map", "list"] = draw(st.sampled_from(["map", "list"]))
    inner = Piece(piece.kind, piece.pairs, piece.word, piece.before)
    for _ in range(draw(st.sampled_from([1, 2, 45, 60])) - 1):
        inner = Piece(kind, [("a" if kind == "map" else "", inner)])
    piece.kind, piece.pairs, piece.word, piece.before = kind, [("a" if kind == "map" else "", inner)], "", ""


def _mark(draw: st.DrawFn, piece: Piece, _: list[Piece]) -> None:
    marks = [
        "&a ",
        "&b ",
        "!!str ",
        "!!int ",
        "! ",
        "!!python/object:os.system ",
        "!!set ",
        "!<x> ",
        "&a !x ",
        "? ",
        "- ",
    ]
    piece.before += draw(st.sampled_from(marks))


_INSIDE = {"drop": _drop, "repeat": _repeat, "rename": _rename, "swap": _swap}
_OF_ONE = {"word": _word, "other": _other, "nest": _nest, "mark": _mark}
