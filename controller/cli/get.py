"""``drumbeat get``: resources as a table, as JSON or YAML, or by name."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer
import yaml

from controller.cli.client import Client, Resource
from controller.cli.kinds import Column, Kind, kind_of, name_of
from controller.cli.options import SERVER, Form, Output, Selector, Server, Watch, explained
from controller.cli.tables import Table, show, talk

INTERVAL = 1.0
"""Seconds between two looks of a watch."""
_MOVING = ("observedAt", "lastSeen", "nextWake")


def get(
    kind: Annotated[str, typer.Argument(help="targets, nodes, rollouts or pools; singular and short names will do.")],
    names: Annotated[list[str] | None, typer.Argument(help="Only these; a pool is named NODE/POOL.")] = None,
    output: Output = Form.TABLE,
    selector: Selector = "",
    watch: Watch = False,
    server: Server = SERVER,
) -> None:
    """Show targets, nodes, rollouts or pools.

    Asked for by name, -o json and -o yaml show everything: a target with its hosts, a node with its services, a pool
    with its servers.

    Exit codes: 0 shown, 1 not found or no answer, 2 wrong use.
    """
    if names and selector:
        raise typer.BadParameter("write names or a selector, not both")
    asked = kind_of(kind)
    client = Client(server)
    with explained():
        printer = Printer(asked, output)
        found = _read(client, asked, names, selector)
        printer.first(found, bool(names))
        while watch:
            time.sleep(INTERVAL)
            printer.changes(_items(_read(client, asked, names, selector)))


def _read(client: Client, kind: Kind, names: list[str] | None, selector: str) -> Resource:
    """One resource where one name was given, a list otherwise."""
    if not names:
        return client.listed(kind.plural, selector)
    found = [client.named(kind.plural, name) for name in names]
    return found[0] if len(found) == 1 else {"apiVersion": found[0]["apiVersion"], "kind": "List", "items": found}


def _items(found: Resource) -> list[Resource]:
    items: list[Resource] = found.get("items", [found])
    return items


class Printer:
    """Prints resources in one form: all at first, then those that changed."""

    def __init__(self, kind: Kind, form: Form) -> None:
        self._kind, self._form = kind, form
        self._columns = [column for column in kind.columns if form is Form.WIDE or not column.wide]
        self._table = Table([column.title for column in self._columns])
        self._last: dict[str, Resource] = {}

    def first(self, found: Resource, by_name: bool) -> None:
        """Everything that was found."""
        items = _items(found)
        self._last = {name_of(item): _lasting(item) for item in items}
        if self._form in (Form.JSON, Form.YAML):
            show(as_json(found) if self._form is Form.JSON else as_yaml(found))
        elif items:
            show(self._lines(items, header=self._form is not Form.NAME))
        elif not by_name:
            talk(f"no {self._kind.plural} found")

    def changes(self, items: list[Resource]) -> None:
        """Only what differs from what was printed of it last; ages alone are no change."""
        changed = [item for item in items if self._last.get(name_of(item)) != _lasting(item)]
        gone = self._last.keys() - {name_of(item) for item in items}
        self._last = {name_of(item): _lasting(item) for item in items}
        for name in sorted(gone):
            talk(f"{self._kind.name}/{name} is gone")
        if not changed:
            return
        if self._form is Form.JSON:
            show(json.dumps(item) for item in changed)
        elif self._form is Form.YAML:
            show("---\n" + as_yaml(item) for item in changed)
        else:
            show(self._lines(changed, header=False))

    def _lines(self, items: Iterable[Resource], header: bool) -> list[str]:
        if self._form is Form.NAME:
            return [f"{self._kind.name}/{name_of(item)}" for item in items]
        return self._table.lines([_row(self._columns, item) for item in items], header)


def _row(shown: list[Column], resource: Resource) -> list[object]:
    return [column.cell(resource) for column in shown]


def _lasting(part: Any) -> Any:
    """All but the times that move although nothing happens."""
    if isinstance(part, dict):
        return {key: _lasting(value) for key, value in part.items() if key not in _MOVING}
    return [_lasting(each) for each in part] if isinstance(part, list) else part


def as_json(resource: Any) -> str:
    """For programs."""
    return json.dumps(resource, indent=2)


def as_yaml(resource: Any) -> str:
    """For people and programs."""
    dump: Callable[..., str] = yaml.safe_dump
    return dump(resource, sort_keys=False, allow_unicode=True).rstrip()
