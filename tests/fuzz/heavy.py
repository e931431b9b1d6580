"""YAML of up to 1 MiB that costs a careless reader far more, or means more to it than it should."""


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
    "many keys": "".join(f"k{n}: 1\n" for n in range(100_000)).encode(),
    "many documents": b"---\na: 1\n" * 50_000,
    "an object of the language": b"!!python/object/apply:os.system ['true']",
    "binary": b"node: !!binary AAAA\nstate: !!set {a}\n",
    "dates": b"node: 2001-99-99\nstate: 2001-02-30T99:99:99Z\n",
    "no text": b"\xff\xfe\x00\x00a",
    "surrogates": b'node: "\\ud800"\nbus: "\\uDFFF"\n',
}
