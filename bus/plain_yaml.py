"""YAML that operators write on nodes: bounded in size, every key once, without tags, and without aliases, which may
outgrow memory."""

from typing import Any, BinaryIO

import yaml

LARGEST = 64 * 1024
"""Bytes of a file."""


class NotPlain(Exception):
    """The file is not YAML as it is read here; the text says why."""


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        alias = isinstance(event, yaml.AliasEvent)
        if alias or event.tag is not None:  # PyYAML raises whatever comes up for a value that its tag does not fit
            wrong = "aliases are not read; write it out" if alias else f"the tag {event.tag} is not read; remove it"
            raise yaml.MarkedYAMLError(problem=wrong, problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> Any:
        node: Any = super().compose_mapping_node(anchor)
        first: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # no settings have such a name
            if key.value in first:
                wrong = f"{key.value[:100]!r} is written twice, first in line {first[key.value]}; remove one of them"
                raise yaml.MarkedYAMLError(problem=wrong, problem_mark=key.start_mark)
            first[key.value] = key.start_mark.line + 1
        return node


def read_plain(file: BinaryIO) -> Any:
    """What the file says, in mappings, lists and scalars. Raises NotPlain, and OSError for what cannot be read."""
    raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise NotPlain(f"is larger than {LARGEST} bytes; is it the right file?")
    try:
        return yaml.load(raw.decode(), _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NotPlain(f"is not YAML that can be read: {error}") from error
